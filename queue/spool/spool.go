// Package spool keeps batches of records of one consumer in a directory, in
// files that are only ever appended to: what does not fit into memory, and what
// was not delivered when the relay ended. docs/spool.md has the bytes and says
// what survives which fault.
package spool

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// What a caller can distinguish.
var (
	// ErrLocked: another process has the directory.
	ErrLocked = errors.New("in use by another process")
	// ErrFull: MaxSize would be exceeded, or the file system has no room. What
	// was stored before is untouched, and Append may be tried again.
	ErrFull = errors.New("spool is full")
	// ErrDamaged: the frame is not what was written, and never will be again.
	ErrDamaged = errors.New("frame is damaged")
)

var (
	errClosed  = errors.New("spool is closed")
	errSyncing = errors.New("being synced")
)

// Sync says when what was written is forced to the disk: the key sync of the
// configuration.
type Sync string

const (
	None     Sync = "none"     // the kernel decides
	Interval Sync = "interval" // by Tick, at most once a second
	Batch    Sync = "batch"    // before Append returns
)

// Bounds of SegmentSize: a segment is freed as a whole, so there are to be
// several of them, and a few thousand files at most.
const (
	minSegment = 64 << 10
	defSegment = 8 << 20
	maxSegment = 1 << 30
)

// Options of Open.
type Options struct {
	Dir         string // made with mode 0700 when it is not there
	MaxSize     int64  // bytes of all files together
	Sync        Sync
	SegmentSize int64 // bytes of a file; 0: an eighth of MaxSize, 64 KiB to 8 MiB

	fs fileSystem // nil but in tests
}

// Frame is a stored batch: what is known of it without reading it. It is a
// value and comparable, and good until the Spool it comes from is closed.
type Frame struct {
	First       uint64 // number of its first record
	Records     uint32 // records in it, pieces of long lines counted each
	Whole       uint32 // records in it, pieces of one line counted once
	Bytes       uint32 // of record text
	Events      uint32 // runs of records of one event
	FirstSerial uint32 // of the first record that has one
	LastSerial  uint32

	seg   *segment
	off   uint32 // where it begins in its file
	total uint32 // records it has on disk
	skip  uint32 // how many of those on disk come before First: an overlap was cut off
	id    uint32 // among seg's frames
}

// Spool is an open spool directory. One goroutine calls everything but Size.
type Spool struct {
	store
	opt  Options
	dirH handle // holds the lock
	cur  *segment
	buf  []byte // scratch of Append
	size atomic.Int64

	run                uint32 // file number of the first segment made, 0 while there is none
	file               uint32 // highest file number
	seq, before, whole uint64 // of the next frame

	syncing  chan error // answers when a sync in the background is done; nil: none is under way
	batch    []*segment // the segments that it syncs
	waiting  []*segment // ended, still open, to be synced and then closed
	newFile  bool       // the directory is to be synced too
	lastSync time.Time
	lastTidy time.Time
	pending  error // to be reported by Tick
	closed   bool
}

// Open opens a spool and finds what earlier runs have left. Files are
// not changed, but those with no readable frame are deleted, oldest first.
func Open(o Options) (*Spool, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = min(o.MaxSize/8, defSegment)
	}
	o.SegmentSize = min(max(o.SegmentSize, minSegment), maxSegment)
	if o.fs == nil {
		o.fs = osFS{}
	}

	s := &Spool{opt: o, store: store{fs: o.fs, dir: o.Dir}}
	if err := s.lock(); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}
	if err := s.scan(); err != nil {
		s.dirH.Close()
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}

	for _, seg := range s.segs {
		s.size.Add(seg.size)
		s.file = max(s.file, seg.file)
	}
	s.sweep()
	return s, nil
}

func (s *Spool) lock() error {
	err := os.MkdirAll(s.dir, 0o700)
	if err != nil {
		return err
	}
	s.dirH, err = s.fs.Open(s.dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	if err := s.dirH.Lock(); err != nil {
		s.dirH.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrLocked
		}
		return err
	}
	return nil
}

// relock makes the directory again, which was removed, and takes it.
func (s *Spool) relock() error {
	if s.syncing != nil {
		return errSyncing // it may use the old one; whoever appends tries again
	}
	old := s.dirH
	if err := s.lock(); err != nil {
		s.dirH = old
		return err
	}
	old.Close()
	return nil
}

// Frames returns what earlier runs have left, sorted by First, none overlapping.
// The slice is the Spool's own. All have to be released.
func (s *Spool) Frames() []Frame { return s.frames }

// Damage returns what Open could not read.
func (s *Spool) Damage() Damage { return s.damage }

// Next returns a number greater than those of all records that were ever seen in the
// directory, also of frames that cannot be read now: records that are stored are to
// have it or higher ones.
func (s *Spool) Next() uint64 { return s.next }

// Read reads a frame. The text goes to buf and the records, their bytes one after
// another from Off 0 on, to recs; where these are too small new ones are
// allocated. An error is ErrDamaged or an I/O error.
func (s *Spool) Read(f Frame, buf []byte, recs []record.Record) (record.Batch, error) {
	if s.closed {
		return record.Batch{}, errClosed
	}
	return s.read(f, buf, recs)
}

// Size returns the bytes of all files. It may be called from any goroutine.
func (s *Spool) Size() int64 { return s.size.Load() }

// Release says that a frame is not needed any more. A file whose frames are all
// released is deleted, oldest first. What goes wrong is reported by Tick.
func (s *Spool) Release(f Frame) {
	if f.seg == nil || s.closed {
		return
	}
	f.seg.release(f.id)
	if f.seg.live == 0 && f.seg != s.cur {
		s.sweep()
	}
}

// sweep deletes segments that are not needed any more, up to the first that is. Those
// that could not be read stay: perhaps they can be at the next start.
func (s *Spool) sweep() {
	kept, n := 0, 0
	for ; n < len(s.segs); n++ {
		seg := s.segs[n]
		if seg.live > 0 || seg == s.cur {
			break
		}
		if seg.keep {
			s.segs[kept] = seg
			kept++
			continue
		}
		if err := s.remove(seg); err != nil {
			s.pending = fmt.Errorf("%w: it is tried again", err)
			break
		}
	}
	s.segs = slices.Delete(s.segs, kept, n)
}

// remove deletes the file of a segment.
func (s *Spool) remove(seg *segment) error {
	if err := s.fs.Remove(s.path(seg)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if seg == s.readerSeg {
		s.closeReader()
	}
	seg.gone = true
	s.size.Add(-seg.size)
	return nil
}
