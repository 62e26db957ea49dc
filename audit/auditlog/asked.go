package auditlog

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"audisp-relay/host/broker"
)

// LogItem is what a worker calls audit.log and its rotations when it asks its monitor for one of them.
const LogItem = "audit.log"

// Ops of LogItem. Their argument is the path.
const (
	opOpen = "open"
	opLook = "look"
)

// place is what opLook gives.
type place struct{ Dev, Ino uint64 }

// lookAtPath says which file a path leads to.
func lookAtPath(path string) (p place, err error) {
	if m := broker.Monitor(); m != nil {
		err = m.Do(LogItem, opLook, path, &p)
		return p, err
	}
	var st syscall.Stat_t
	err = syscall.Lstat(path, &st)
	return place{uint64(st.Dev), st.Ino}, err
}

// askOpen is openRegular in a worker. Of what may not be opened it knows nothing.
func askOpen(m *broker.Client, name string) (f *os.File, info fs.FileInfo, err error) {
	fd, err := m.Open(LogItem, opOpen, name, nil)
	if e, ok := errors.AsType[*broker.Error](err); ok && e.Text == errNotRegular.Error() {
		return nil, nil, errNotRegular
	}
	if err != nil {
		return nil, nil, err
	}
	f = os.NewFile(uintptr(fd), name)
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Serve returns what serves LogItem in a monitor. paths lists where a log is.
func Serve(paths func() []string) broker.Handler {
	return func(c *broker.Call) (a broker.Answer, err error) {
		var name string
		if err := c.Args(&name); err != nil {
			return a, err
		}
		if !slices.ContainsFunc(paths(), func(log string) bool { return isOf(name, log) }) {
			return a, c.Unknown()
		}
		switch c.Op {
		case opLook:
			a.Result, err = lookAtPath(name)
			return a, err
		case opOpen:
		default:
			return a, c.Unknown()
		}
		f, _, err := openRegular(name)
		return broker.Give(f, err)
	}
}

// isOf reports whether name is that of the log or of one of its rotations, as auditd calls these.
func isOf(name, log string) bool {
	if name == log {
		return true
	}
	index, ok := strings.CutPrefix(name, log+".")
	n, err := strconv.Atoi(index)
	return ok && err == nil && n > 0 && strconv.Itoa(n) == index
}
