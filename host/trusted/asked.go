package trusted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
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
	f, info, err := openRegular(path)
	if err != nil {
		return a, err
	}
	if err := mayGive(path, info); err != nil {
		f.Close()
		return a, err
	}
	return broker.Give(f, nil)
}

// mayGive says why a file that was opened at path is not for a worker: one who can change where path leads is not the one whose
// the file is, and could have it lead to any file that root may read.
func mayGive(path string, info fs.FileInfo) error {
	err := runnable.In{}.CheckWay(path)
	way, ok := errors.AsType[*runnable.Error](err)
	if !ok {
		return err
	}
	if at, err := os.Lstat(way.File); err == nil && !runnable.Trusted(at) && runnable.OwnerOf(at) == runnable.OwnerOf(info) {
		return nil
	}
	return fmt.Errorf("%s is not read with root's rights: %s %s: %s", path, way.File, way.Why, way.Fix)
}
