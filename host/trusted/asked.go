package trusted

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
)

// Item is what a worker calls the files that its configuration names for reading (keys, certificates, values of
// headers, lists of filters) when it asks its monitor for one of them.
const Item = "read"

// OpOpen is the op of Item. Its argument is the path.
const OpOpen = "open"

// open opens a file for reading. Where a worker may not, its monitor does.
func open(path string) (*os.File, error) {
	// O_NONBLOCK: opening a FIFO must not wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	m := broker.Monitor()
	if m == nil || !errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	fd, err := m.Open(Item, OpOpen, path, nil)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Stat looks at a file that a configuration names for reading.
func Stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if broker.Monitor() == nil || !errors.Is(err, fs.ErrPermission) {
		return info, err
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Serve opens a file for a worker, if it is one of those that the configuration names.
func Serve(call *broker.Call, named func(path string) bool) (a broker.Answer, err error) {
	var path string
	if err := call.Args(&path); err != nil {
		return a, err
	}
	if call.Op != OpOpen || !named(path) {
		return a, call.Unknown()
	}
	f, _, err := openRegular(path)
	if err != nil {
		return a, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return a, err
	}
	a.FDs = []int{fd}
	return a, nil
}
