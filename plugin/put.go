package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/state"
)

// maxPut bounds a file that a worker has its monitor write: a report, or numbers.
const maxPut = 16 << 20

// servePut replaces a file of the relay's own by what the worker has in memory, or removes it.
func (d *desk) servePut(c *broker.Call) (a broker.Answer, err error) {
	path, perm := d.config().Metrics.TextFile, fs.FileMode(0o644)
	if c.Item == reportItem {
		dir := d.started().RunDir // where the sockets are
		path, perm = filepath.Join(dir, stateName), 0o640
		if err := makeDir(dir); err != nil {
			return a, err
		}
	}

	removes := c.Op == opRemove && c.Item == textItem
	switch {
	case removes && d.text != "": // not what a reload has named since
		return a, d.removeText()
	case path == "":
		return a, c.Unknown()
	case removes:
		return a, removeFile(path)
	case c.Op != opPut || len(c.FDs) != 1:
		return a, c.Unknown()
	}

	text, ok, err := readMemory(c.FDs[0])
	if !ok {
		return a, c.Unknown()
	}
	if err != nil {
		return a, fmt.Errorf("read the new content of %s: %w", path, err)
	}
	if c.Item == reportItem {
		text = shown(text)
	}

	err = inPlace(path, func(path string) error { return state.ReplaceFile(path, text, perm) })
	if err == nil && c.Item == textItem {
		err = d.noteText(path)
	}
	return a, err
}

// readMemory reads a file that is in memory only, and has at most maxPut bytes. ok is false for any other: the file system of
// another process (FUSE) could make a read last for ever.
func readMemory(fd int) (text []byte, ok bool, err error) {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil { // only files in memory have seals
		return nil, false, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxPut {
		return nil, false, nil
	}
	text = make([]byte, st.Size)
	n, err := unix.Pread(fd, text, 0)
	return text[:max(n, 0)], true, err
}

// noteText notes that the numbers are at path now, and removes them from where they were before a reload.
func (d *desk) noteText(path string) (err error) {
	if d.text != "" && d.text != path {
		err = d.removeText()
	}
	d.text = path
	return err
}

// removeText removes the numbers that were put last.
func (d *desk) removeText() error {
	path := d.text
	d.text = ""
	return removeFile(path)
}

// removeFile removes the file at path, if there is one.
func removeFile(path string) error {
	return inPlace(path, func(path string) error {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// inPlace does something with the file at path, after it has made sure that no other user can replace the directory,
// because what is in the file comes from the worker. do gets another path to the file, which no error shows.
func inPlace(path string, do func(path string) error) error {
	above := filepath.Dir(path)
	dir, err := broker.Find(above)
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return fmt.Errorf("directory %s: %w", above, errno)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err = do(filepath.Join(dir.Path(), filepath.Base(path))); err == nil {
		return nil
	}
	errno, _ := errors.AsType[unix.Errno](err)
	return &broker.Error{Text: strings.ReplaceAll(err.Error(), dir.Path(), above), Errno: errno}
}
