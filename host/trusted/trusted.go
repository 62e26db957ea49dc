// Package trusted reads files that tell the relay what to do, its configuration above all: only where none but root could have
// written them.
//
// It only reads. All functions may be called from any goroutine.
package trusted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
)

var (
	errNotRegular = errors.New("is not a regular file")
	errChanges    = errors.New("is being written at this moment: try again when that is done")
)

// How often a file that changes while it is read is read again, and how long after.
const (
	readTries = 5
	readPause = 20 * time.Millisecond
)

// Read reads a regular file of at most limit bytes. Running as root it
// refuses files that root does not own or that have one of the mode bits in
// forbidden: who can write them would command root. Symbolic links are
// followed, what counts is the file that was opened. One that is written meanwhile
// is read again, and refused if that does not end.
func Read(path string, limit int, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	return ReadChecked(path, limit, func(info fs.FileInfo) error { return check(path, info, forbidden) })
}

// ReadChecked reads a regular file that allow, if any, has no objection to.
func ReadChecked(path string, limit int, allow func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	for try := 1; ; try++ {
		data, info, err := readOnce(path, limit, allow)
		if !errors.Is(err, errChanges) || try == readTries {
			return data, info, err
		}
		time.Sleep(readPause)
	}
}

func readOnce(path string, limit int, allow func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if allow != nil {
		if err := allow(info); err != nil {
			return nil, nil, err
		}
	}

	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > limit {
		return nil, nil, fmt.Errorf("%s: file too large (limit %s)", path, sizeText(limit))
	}

	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if after.Size() != int64(len(data)) || !after.ModTime().Equal(info.ModTime()) {
		return nil, nil, fmt.Errorf("%s: %w", path, errChanges)
	}
	return data, info, nil
}

// openRegular opens a file for reading, if it is one. A symbolic link that leads nowhere
// is an error of its own kind: a file was wanted there.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := open(path)
	if err != nil {
		if to, lerr := os.Readlink(path); lerr == nil && errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%s: is a symbolic link to %s, which is not there", path, to)
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// check checks owner and mode, for root and a worker of root's: anybody else runs with no
// rights that the file's writers could borrow.
func check(path string, info fs.FileInfo, forbidden fs.FileMode) error {
	if !broker.Privileged() {
		return nil
	}
	if uid := runnable.OwnerOf(info); uid != 0 {
		return fmt.Errorf("%s: is owned by uid %d, must be root's: run chown root %s", path, uid, path)
	}
	if open := info.Mode().Perm() & forbidden; open != 0 {
		who := "o"
		switch {
		case open&0o020 != 0 && forbidden&0o002 != 0:
			who = "go"
		case open&0o020 != 0:
			who = "g"
		}
		return fmt.Errorf("%s: has mode %04o, others than root must not write it: run chmod %s-w %s", path, info.Mode().Perm(), who, path)
	}
	return nil
}

// sizeText returns a limit as configurations write it.
func sizeText(bytes int) string {
	switch {
	case bytes%(1<<20) == 0:
		return strconv.Itoa(bytes>>20) + "MiB"
	case bytes%(1<<10) == 0:
		return strconv.Itoa(bytes>>10) + "KiB"
	}
	return strconv.Itoa(bytes)
}
