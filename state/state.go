// Package state keeps what the relay must still know when it is started again:
// how far each consumer has got, and the totals of its balance. It is a
// directory with a lock, so that no two relays use it, and one small file in it. The
// spools are beside that (queue/spool).
//
// A Dir is for one goroutine at a time.
package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/host/broker"
)

// Version is that of the file's content. A file of another one is not read.
const Version = 1

// maxFile is far more than thousands of consumers need.
const maxFile = 16 << 20

// State is what is kept.
type State struct {
	Version   int                 `json:"version"` // set by Save
	BootID    string              `json:"boot_id"` // /proc/sys/kernel/random/boot_id
	Saved     time.Time           `json:"saved"`
	Tracker   json.RawMessage     `json:"tracker,omitempty"` // of integrity.Tracker, whose format it is
	Input     map[string]uint64   `json:"input,omitempty"`   // totals of what was read, by name
	Consumers map[string]Consumer `json:"consumers,omitempty"`
}

// Consumer is how far a consumer has got.
type Consumer struct {
	Position
	// Floor is where it has to continue instead, if it may lack something before its position
	// (queue.Queue.Floor).
	Floor  *Position         `json:"floor,omitempty"`
	Totals map[string]uint64 `json:"totals,omitempty"`
	Losses []LossPeriod      `json:"losses,omitempty"` // of the last day, oldest first
}

// LossPeriod is what was lost within five minutes.
type LossPeriod struct {
	From    int64             `json:"from"`    // when they began, in seconds since 1970
	Records map[string]uint64 `json:"records"` // by cause
}

// Position is a place among the records of a consumer: all that the next run needs to
// resume there.
type Position struct {
	// Number: every record with a lower one is delivered, was discarded or is reported as
	// lost. Records are numbered over restarts.
	Number uint64 `json:"number"`
	// ID is the identity of the last record before Number that stands in audit.log,
	// where HasID is set. It may be that of an earlier one, never of a later one.
	ID    record.ID `json:"id"`
	HasID bool      `json:"has_id"`
	// First is set while there is none such before Number: then ID is that of the
	// first record there is.
	First bool `json:"first,omitempty"`
}

// envelope is the file: with a checksum, since a position with one digit wrong
// would make a consumer skip records.
type envelope struct {
	Sum   *uint32         `json:"crc32c"` // of State's bytes
	State json.RawMessage `json:"state"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ErrDamaged is what Load returns of a file that is not one Save wrote.
var ErrDamaged = errors.New("is damaged")

// Load reads the state that was saved last. Whatever is wrong, the State is
// empty and the error, one line, says what: fs.ErrNotExist before the first Save,
// ErrDamaged for a file that cannot be believed. Then it is not known how far
// the consumers got; the spools do not depend on it.
func (d *Dir) Load() (State, error) {
	path := d.statePath()
	data, err := ReadFile(path)
	if err != nil {
		return State{}, fmt.Errorf("saved positions: %w", err)
	}
	s, err := decode(data)
	if err != nil {
		return State{}, fmt.Errorf("saved positions: %s %w", path, err)
	}
	return s, nil
}

func decode(data []byte) (State, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return State{}, fmt.Errorf("%w: %d bytes: %w", ErrDamaged, len(data), err)
	}
	if e.Sum == nil || sumOf(e.State) != *e.Sum {
		return State{}, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	var s State
	if err := json.Unmarshal(e.State, &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if s.Version != Version {
		return State{}, fmt.Errorf("is of version %d, this relay reads %d", s.Version, Version)
	}

	for name, c := range s.Consumers {
		if c.Number > maxNumber || (c.Floor != nil && c.Floor.Number > maxNumber) {
			return State{}, fmt.Errorf("%w: there is no record of the number of consumer %q", ErrDamaged, name)
		}
	}
	return s, nil
}

// maxNumber is more than there ever are records: from there on numbers would soon begin again at 0. Those of a run without
// state_dir begin at its time in nanoseconds.
const maxNumber = 1 << 62

// ReadFile reads a file that ReplaceFile may have written: not through a symbolic
// link, and without waiting for whoever writes to a FIFO. One of more than 16 MiB is damaged.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s %w: it is no regular file", path, ErrDamaged)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s %w: it has %d bytes", path, ErrDamaged, info.Size())
	}
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Save replaces the file as a whole: whenever the process is killed, there is
// the state before or this one. It does not wait for the disk, so a crash of the
// host may leave a file that Load calls damaged. After an error the state before
// is still there.
func (d *Dir) Save(s State) error {
	s.Version = Version
	content, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("save positions: %w", err)
	}

	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"crc32c\":%d,\"state\":%s}\n", sumOf(content), content)
	if b.Len() > maxFile {
		return fmt.Errorf("save positions: %d bytes are more than would be read again", b.Len())
	}
	err = ReplaceFile(d.statePath(), b.Bytes(), 0o600)
	if m := broker.Monitor(); m != nil && errors.Is(err, fs.ErrPermission) && m.Do(Item, OpMake, nil, nil) == nil {
		err = ReplaceFile(d.statePath(), b.Bytes(), 0o600) // a package had given the directory to root
	}
	if err != nil {
		return fmt.Errorf("save positions: %w", err)
	}
	return nil
}

// ReplaceFile puts a new file in the place of path, as a whole or not at all, with that mode
// whatever the umask is. It does not wait for the disk.
func ReplaceFile(path string, data []byte, perm os.FileMode) error {
	return replaceFile(path, data, perm, (*os.File).Close)
}

// ReplaceSynced is ReplaceFile that waits until the disk has the file.
func ReplaceSynced(path string, data []byte, perm os.FileMode) error {
	err := replaceFile(path, data, perm, func(f *os.File) error { return cmp.Or(f.Sync(), f.Close()) })
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// replaceFile replaces path by a file that end ends.
func replaceFile(path string, data []byte, perm os.FileMode, end func(*os.File) error) error {
	next := path + ".new"
	os.Remove(next) // of a run that was killed; or a link, or a FIFO
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}

	_, err = f.Write(data)
	f.Chmod(perm) // whatever the umask was; some file systems have no modes
	if err = cmp.Or(err, end(f)); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		os.Remove(next) // a full disk needs the room
	}
	return err
}

func (d *Dir) statePath() string { return filepath.Join(d.path, "state.json") }

// SpoolDir is the directory of a consumer's spool. name is a consumer's, of the
// characters A-Z a-z 0-9 _ and -. Nothing is made.
func (d *Dir) SpoolDir(name string) string { return filepath.Join(d.path, "spool", name) }
