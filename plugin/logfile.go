package plugin

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// logCheck is how often it is looked whether the log's file is still at its path, and
// one that could not be opened is tried again.
const logCheck = time.Second

// logFile is the log as a file. It is opened again when it was renamed or removed, and
// when its directory is there again; what comes while there is none goes to instead.
type logFile struct {
	path    string
	instead func(line []byte)

	mu    sync.Mutex // guards what follows
	f     *os.File
	info  os.FileInfo
	next  time.Time // when it is looked at again
	fault error     // why there is no file
}

// Write writes a line.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	if l.f != nil {
		if _, err := l.f.Write(line); err == nil {
			l.fault = nil
			return len(line), nil
		} else {
			l.fault = err
		}
	}
	l.instead(line)
	return len(line), nil
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
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
			return
		}
		l.f.Close()
		l.f = nil
	}
	l.f, l.info, l.fault = openLog(l.path)
}

// openLog opens the file for appending. Its directory is not made: whose it should be
// only the administrator knows. A FIFO is not waited for, and what another name leads to
// as well is not written to: that may be any file of the system.
func openLog(path string) (*os.File, os.FileInfo, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&(fs.ModeType&^fs.ModeCharDevice&^fs.ModeDevice) != 0 {
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

// Sync does nothing: lines are written at once.
func (l *logFile) Sync() error { return nil }

// Fault says why there is no file.
func (l *logFile) Fault() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	if l.fault == nil {
		return ""
	}
	return fmt.Sprintf("%v; what is to be said goes to syslog", l.fault)
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
	l.next = time.Now().Add(time.Hour) // nobody opens it again
}
