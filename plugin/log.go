package plugin

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"audisp-relay/config"
)

// logger is the relay's own log. Its level can be changed while it runs.
type logger struct {
	*zap.Logger
	core    zapcore.Core
	level   zap.AtomicLevel
	dropped *atomic.Uint64 // lines the rate limit kept back
	close   func()
	fault   func() string // why lines do not go where the configuration has it
}

// How many lines with one message a second are written, for each sink; the rest
// is counted.
const logBurst = 5

// newLogger opens the log that cfg names. While a file cannot be opened or written its
// lines go to syslog, and to stderr, which auditd does not keep.
func newLogger(cfg config.Log) *logger {
	l := &logger{level: zap.NewAtomicLevel(), dropped: new(atomic.Uint64), close: func() {}, fault: func() string { return "" }}
	l.setLevel(cfg.Level)
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	enc.ConsoleSeparator = " " // syslog daemons write a tab as #011
	switch cfg.Output {
	case "syslog":
		enc.TimeKey, enc.LevelKey = "", "" // syslog has both
		sys := &syslogConn{path: devLog}
		l.close = sys.close
		l.core = &syslogCore{LevelEnabler: l.level, enc: zapcore.NewConsoleEncoder(enc), conn: sys}
	case "stderr":
		l.core = zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(os.Stderr), l.level)
	default:
		sys := &syslogConn{path: devLog}
		f := &logFile{path: cfg.Output, instead: func(line []byte) {
			os.Stderr.Write(line)
			sys.send(fmt.Appendf(nil, "<%d>%s audisp-relay[%d]: %s", logDaemon|severity(zapcore.WarnLevel),
				time.Now().Format(time.Stamp), os.Getpid(), bytes.TrimSpace(line)))
		}}
		f.check()
		l.close = func() { f.close(); sys.close() }
		l.fault = f.Fault
		l.core = zapcore.NewCore(zapcore.NewJSONEncoder(enc), f, l.level)
	}
	l.Logger = l.limited()
	return l
}

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

// syslogConn is the connection to the local syslog daemon. A message it does
// not take at once is dropped: the log must not hold anything up.
type syslogConn struct {
	path string
	mu   sync.Mutex // guards conn
	conn net.Conn
}

func (c *syslogConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
	}
}

func (c *syslogConn) send(msg []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for try := 0; ; try++ {
		if c.conn == nil {
			conn, err := net.Dial("unixgram", c.path)
			if err != nil {
				return err
			}
			c.conn = conn
		}
		c.conn.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		_, err := c.conn.Write(msg)
		if err == nil || os.IsTimeout(err) || try > 0 {
			return err
		}
		c.conn.Close() // the daemon was restarted
		c.conn = nil
	}
}

// syslogCore writes entries to syslog: ident audisp-relay, LOG_DAEMON.
type syslogCore struct {
	zapcore.LevelEnabler
	enc  zapcore.Encoder
	conn *syslogConn
}

func (c *syslogCore) With(fields []zapcore.Field) zapcore.Core {
	enc := c.enc.Clone()
	for _, f := range fields {
		f.AddTo(enc)
	}
	return &syslogCore{LevelEnabler: c.LevelEnabler, enc: enc, conn: c.conn}
}

func (c *syslogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

const logDaemon = 3 << 3 // LOG_DAEMON

var linePool = buffer.NewPool()

func (c *syslogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	text, err := c.enc.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer text.Free()
	line := linePool.Get()
	defer line.Free()
	line.AppendString("<" + strconv.Itoa(logDaemon|severity(e.Level)) + ">")
	line.AppendTime(e.Time, time.Stamp)
	line.AppendString(" audisp-relay[" + strconv.Itoa(os.Getpid()) + "]: ")
	line.Write(text.Bytes())
	line.TrimNewline()
	return c.conn.send(line.Bytes())
}

func (c *syslogCore) Sync() error { return nil }

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
