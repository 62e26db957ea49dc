package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
)

// logger is the relay's own log. Its level can be changed while it runs.
type logger struct {
	*zap.Logger
	core    zapcore.Core
	level   zap.AtomicLevel
	dropped *atomic.Uint64 // lines the rate limit kept back
	queue   *logQueue
}

// logBurst is how many lines with one message a second are written, for each sink; the rest
// is counted.
const logBurst = 5

// newLogger opens the log that cfg names. While a file cannot be opened or written its
// lines go to syslog, and to stderr, which auditd does not keep. What cannot be written
// anywhere is kept, the last of each message, until it can.
func newLogger(cfg config.Log) *logger {
	l := &logger{level: zap.NewAtomicLevel(), dropped: new(atomic.Uint64), queue: new(logQueue)}
	l.setLevel(cfg.Level)
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	enc.ConsoleSeparator = " " // syslog daemons write a tab as #011

	core := &logCore{LevelEnabler: l.level, to: l.queue}
	switch cfg.Output {
	case "syslog":
		enc.TimeKey, enc.LevelKey = "", "" // syslog has both
		core.enc = zapcore.NewConsoleEncoder(enc)
		l.queue.place = &syslogConn{path: devLog}
	case "stderr":
		core.enc = zapcore.NewConsoleEncoder(enc)
		l.queue.place = stderrLog{}
	default:
		core.enc = zapcore.NewJSONEncoder(enc)
		f := &fileOrSyslog{file: &logFile{path: cfg.Output, not: cfg.Reserved}, sys: &syslogConn{path: devLog}}
		f.open()
		l.queue.place = f
	}

	l.core = core
	l.Logger = l.limited()
	return l
}

func (l *logger) close() { l.queue.close() }

// limited returns a logger with a rate limit of its own. Each consumer has one:
// the limit goes by the message, and six sinks may lose records in one second.
func (l *logger) limited() *zap.Logger {
	return zap.New(zapcore.NewSamplerWithOptions(l.core, time.Second, logBurst, 0,
		zapcore.SamplerHook(func(_ zapcore.Entry, d zapcore.SamplingDecision) {
			if d&zapcore.LogDropped != 0 {
				l.dropped.Add(1)
			}
		})))
}

func (l *logger) setLevel(name string) {
	if lvl, err := zapcore.ParseLevel(name); err == nil {
		l.level.SetLevel(lvl)
	}
}

// devLog is where syslog(3) sends messages.
const devLog = "/dev/log"

// syslogConn is the connection to the local syslog daemon, ident audisp-relay, LOG_DAEMON.
// It does not wait for the daemon, but for a moment: the log must not hold anything up.
// One goroutine at a time uses it.
type syslogConn struct {
	path   string
	conn   net.Conn
	stream bool // conn is a stream, in which a newline ends a line
}

func (c *syslogConn) close() {
	if c.conn != nil {
		c.conn.Close()
	}
}

const logDaemon = 3 << 3 // LOG_DAEMON

// put sends a line with the time that it was said at.
func (c *syslogConn) put(e zapcore.Entry, line []byte) error {
	return c.send(fmt.Appendf(nil, "<%d>%s audisp-relay[%d]: %s", logDaemon|severity(e.Level),
		e.Time.Format(time.Stamp), os.Getpid(), bytes.TrimRight(line, "\n")))
}

func (c *syslogConn) send(msg []byte) error {
	for try := 0; ; try++ {
		if c.conn == nil {
			if err := c.dial(); err != nil {
				return err
			}
		}
		text := msg
		if c.stream {
			text = append(text, '\n')
		}
		c.conn.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		n, err := c.conn.Write(text)
		late := os.IsTimeout(err)
		if err != nil && (!late || n > 0) { // the daemon was restarted, or has a line in part
			c.conn.Close()
			c.conn = nil
		}
		if err == nil || late || try > 0 {
			return err
		}
	}
}

// dial connects as syslog(3) does: most daemons have a datagram socket, some a stream socket. It does not wait, as a stream
// socket whose backlog is full refuses.
func (c *syslogConn) dial() (err error) {
	c.conn, err = net.Dial("unixgram", c.path)
	if c.stream = errors.Is(err, unix.EPROTOTYPE); c.stream {
		c.conn, err = net.Dial("unix", c.path)
	}
	return err
}

// stderrLog is stderr, which may be a pipe or a terminal that is not read.
type stderrLog struct{}

// put writes the line if there is room for it: poll says so for as much as a pipe takes at
// once.
func (stderrLog) put(_ zapcore.Entry, line []byte) error {
	const fd = 2
	for len(line) > 0 {
		set := []unix.PollFd{{Fd: fd, Events: unix.POLLOUT}}
		n, err := unix.Poll(set, 5)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("write to stderr: %w", err)
		case n == 0:
			return errors.New("write to stderr: its reader takes nothing")
		}
		n, err = unix.Write(fd, line[:min(len(line), pipeBuf)])
		if err != nil {
			return fmt.Errorf("write to stderr: %w", err)
		}
		line = line[n:]
	}
	return nil
}

func (stderrLog) close() {}

// pipeBuf is what a write to a pipe puts there whole (PIPE_BUF).
const pipeBuf = 4096

// severity maps a level to that of syslog(3).
func severity(l zapcore.Level) int {
	switch {
	case l >= zapcore.ErrorLevel:
		return 3
	case l == zapcore.WarnLevel:
		return 4
	case l == zapcore.InfoLevel:
		return 6
	}
	return 7
}
