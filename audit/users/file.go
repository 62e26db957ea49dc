package users

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	// maxFile is how much of a file is read, maxNames how many ids of it are kept.
	maxFile, maxNames = 32 << 20, 65536
	// maxName is the longest name that is kept; useradd(8) allows 32 bytes.
	maxName = 256
	// settleTime is how old a file's change must be for its time to distinguish it
	// from the next: clocks of file systems are coarse.
	settleTime = 2 * time.Second
)

// file is a passwd or group file, and what it was when it was read.
type file struct {
	path string
	last identity
}

// identity distinguishes states of a file: programs replace it by another one, editors may
// write to it.
type identity struct {
	inode    uint64
	size     int64
	modified time.Time
}

// read returns the names that are in the file, nil when it is as it was or cannot be
// read: a file that is away for a moment takes no names away.
func (f *file) read() map[uint32]string {
	if info, err := os.Stat(f.path); err != nil || identify(info) == f.last {
		return nil
	}
	text, info, err := readRegular(f.path)
	if err != nil {
		return nil
	}
	f.last = identity{}
	if time.Since(info.ModTime()) > settleTime {
		f.last = identify(info)
	}
	return parse(text)
}

// readRegular reads a file, as far as it is read at all. A pipe in its place must not stop the
// goroutine.
func readRegular(path string) ([]byte, os.FileInfo, error) {
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New(path + " is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	return text, info, err
}

func identify(info os.FileInfo) identity {
	id := identity{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		id.inode = sys.Ino
	}
	return id
}

// parse reads the lines "NAME:PASSWORD:ID:..." of passwd(5) and group(5). As for
// getpwuid(3) the first line of an id counts; other lines are skipped.
func parse(text []byte) map[uint32]string {
	names := make(map[uint32]string)
	for line := range bytes.Lines(text) {
		name, id, ok := entry(bytes.TrimSuffix(line, []byte{'\n'}))
		if _, known := names[id]; ok && !known && len(names) < maxNames {
			names[id] = string(name)
		}
	}
	return names
}

// entry reads one line. Lines that begin with + or - are for other sources of names
// (nsswitch.conf(5), compat mode).
func entry(line []byte) (name []byte, id uint32, ok bool) {
	name, rest, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(name) == 0 || len(name) > maxName || name[0] == '#' || name[0] == '+' || name[0] == '-' {
		return nil, 0, false
	}
	if _, rest, ok = bytes.Cut(rest, []byte{':'}); !ok {
		return nil, 0, false
	}
	number, _, ok := bytes.Cut(rest, []byte{':'})
	if !ok || len(number) > len("4294967295") {
		return nil, 0, false
	}
	n, err := strconv.ParseUint(string(number), 10, 32)
	return name, uint32(n), err == nil
}
