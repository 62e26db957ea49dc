package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/sinks"
)

// logCheck is how often it is looked whether the log's file is still at its path, and
// one that could not be opened is tried again.
const logCheck = time.Second

// writeLogTime is how long a device may take for a line: a terminal may be stopped.
const writeLogTime = 50 * time.Millisecond

// diskLogTime is how long the log's disk may take for a line: it may hang, as that of a server or one that is frozen.
const diskLogTime = 200 * time.Millisecond

// errLogHangs: what was begun with the log's file has not ended.
var errLogHangs = errors.New("its disk does not answer")

// fileOrSyslog writes to a file, and to syslog while the file cannot be written or its disk hangs. Only the holder of
// the lock of its logQueue uses it.
type fileOrSyslog struct {
	file *logFile
	sys  logPlace
	last <-chan struct{} // closed when what was begun last with the file has ended; nil: nothing was
}

// do does something with the file, and waits a moment for that. It begins nothing else until that has ended, so that a
// disk that hangs cannot hold up the reader of the stream, which logs, too.
func (l *fileOrSyslog) do(f func() error) error {
	if l.last != nil && !sinks.IsClosed(l.last) {
		return errLogHangs
	}
	var err error
	l.last = inBackground(func() { err = f() })
	if !awaitFor(diskLogTime, l.last) {
		return errLogHangs
	}
	return err
}

// open opens the file, so that its fault is known.
func (l *fileOrSyslog) open() {
	_ = l.do(func() error { l.file.check(); return nil })
}

// put writes the line to the file, or to stderr and syslog if the file cannot be written or its disk hangs. A write that
// was begun on such a disk still ends when that answers.
func (l *fileOrSyslog) put(e zapcore.Entry, line []byte) error {
	own := bytes.Clone(line) // the caller's is used again
	if l.do(func() error { return l.file.write(own) }) == nil {
		return nil
	}
	stderrLog{}.put(e, line)
	return l.sys.put(e, line)
}

// fault says why the file is not written, "" if it is.
func (l *fileOrSyslog) fault() string {
	var text string
	err := l.do(func() error { text = l.file.Fault(); return nil })
	if err != nil {
		return fmt.Sprintf("%s: %v; log lines go to syslog", l.file.path, err)
	}
	return text
}

func (l *fileOrSyslog) close() {
	_ = l.do(func() error { l.file.close(); return nil }) // where the disk hangs the end of the process does it
	l.sys.close()
}

// logFile is the log as a file. It is opened again when it was renamed or removed, and
// when its directory is there again. One call at a time: fileOrSyslog begins none before the last one has ended.
type logFile struct {
	path  string
	not   []config.Reserved // what it must not be
	f     *os.File
	info  os.FileInfo
	next  time.Time // when it is looked at again
	fault error     // why there is no file
}

// write writes a line. What a full disk has taken of it is cut off again.
func (l *logFile) write(line []byte) error {
	l.look()
	if l.f == nil {
		return l.fault
	}
	l.f.SetWriteDeadline(time.Now().Add(writeLogTime)) // nothing to a regular file
	n, err := l.f.Write(line)
	if n > 0 && n < len(line) && l.info.Mode().IsRegular() {
		if now, serr := l.f.Stat(); serr == nil {
			l.f.Truncate(now.Size() - int64(n))
		}
	}
	l.fault = err
	return err
}

// look checks the file if that was not done just now.
func (l *logFile) look() {
	if now := time.Now(); !now.Before(l.next) {
		l.next = now.Add(logCheck)
		l.check()
	}
}

// check opens the file where the path does not lead to it.
func (l *logFile) check() {
	if l.f != nil {
		if l.inPlace() {
			return
		}
		l.f.Close()
		l.f = nil
	}
	if m := broker.Monitor(); m != nil {
		l.f, l.info, l.fault = askLog(m, l.path)
		return
	}
	l.f, l.info, l.fault = openLog(l.path, l.not)
}

// inPlace reports whether the path leads to the file.
func (l *logFile) inPlace() bool {
	m := broker.Monitor()
	if m == nil {
		now, err := os.Lstat(l.path)
		return err == nil && os.SameFile(now, l.info)
	}
	var now place
	st, ok := l.info.Sys().(*syscall.Stat_t)
	err := m.Do(ownLogItem, opThere, nil, &now)
	return ok && err == nil && now == place{uint64(st.Dev), st.Ino}
}

// askLog has the monitor open the file.
func askLog(m *broker.Client, path string) (*os.File, os.FileInfo, error) {
	fd, err := m.Open(ownLogItem, opOpen, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// openLog opens the file for appending. It does not make the directory, as only the administrator knows who should own
// that. It neither waits for a FIFO nor writes to a disk, to a file that has further names, which may be any file of
// the system, or to a file of auditd's.
func openLog(path string, not []config.Reserved) (*os.File, os.FileInfo, error) {
	for _, r := range not {
		if r.Is(path) {
			return nil, nil, fmt.Errorf("%s: of the files of %s: name another path", path, r.Of)
		}
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeCharDevice == 0 {
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	fd, err := unix.Open(path, unix.O_APPEND|unix.O_CREAT|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}

	var now unix.Stat_t
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil {
		err = unix.Lstat(path, &now) // by its name: a link that is gone again does not count in f's names
	}
	if err == nil && now.Nlink > 1 && info.Mode().IsRegular() {
		err = fmt.Errorf("%s has %d names (hard links), so it may be another file, too: move it away", path, now.Nlink)
	}
	if err == nil && !sameFile(info, &now) {
		err = fmt.Errorf("%s was replaced while it was opened", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func sameFile(info os.FileInfo, st *unix.Stat_t) bool {
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && uint64(sys.Dev) == uint64(st.Dev) && sys.Ino == st.Ino
}

// reserve notes what the file must not be: auditd may take it for its own log at any time.
func (l *logFile) reserve(not []config.Reserved) {
	if slices.Equal(l.not, not) {
		return
	}
	l.not, l.next = not, time.Time{}
	if l.f != nil { // it is opened again with the next line, where it may be
		l.f.Close()
		l.f = nil
	}
}

// Fault says why there is no file, "" if there is one.
func (l *logFile) Fault() string {
	l.look()
	if l.fault == nil {
		return ""
	}
	return fmt.Sprintf("%v; log lines go to syslog", l.fault)
}

func (l *logFile) close() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
	l.next = time.Now().Add(time.Hour) // so that it is not opened again
}
