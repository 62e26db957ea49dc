// Package auditlog reads auditd's own log: it follows the file through its rotations, and finds the
// place of a time or of a record in them.
package auditlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"audisp-relay/audit/record"
)

var (
	// ErrGone: a line or place is not in the log, or no longer.
	ErrGone = errors.New("is no longer in the log")
	// ErrSkipped: the log was rotated, or replaced, so often between two looks that
	// files may have been deleted unread. It is returned once for each time, and
	// reading continues with the oldest file there is.
	ErrSkipped = errors.New("lines may have been deleted unread")
	// ErrTruncated: the file has become shorter than what was read of it. It is
	// returned once, and reading continues at its beginning.
	ErrTruncated = errors.New("was truncated by someone other than auditd")
)

// absentGrace is how long audit.log may be missing before that is an error:
// between two steps of a rotation there is none (auditd-event.c, rotate_logs).
const absentGrace = time.Second

// Reader reads audit.log and its rotations: the newest is PATH, then PATH.1 …
// PATH.N, which auditd renames upward, overwriting the oldest. Files are
// followed by inode, through any number of rotations. It is for one goroutine.
//
// An error that lasts (no file, no right to read it, something that is no
// regular file) is returned by each call until its cause is gone, always with
// the same text; what can be read is read nevertheless.
type Reader struct {
	path   string
	files  []*logFile   // oldest first: those in the directory and those held open
	cur    *logFile     // being read, always open; nil before Go
	in     lineReader   // of cur
	seek   lineReader   // of what is searched
	batch  record.Batch // of seek
	maxGen uint64
	absent time.Time // since when audit.log is missing

	linear, probe int64 // see defaultLinear, defaultProbe
}

// New returns a Reader for the log_file of auditd.conf; it touches nothing.
func New(path string) *Reader {
	// maxGen leaves room for older files that are found later.
	return &Reader{path: path, maxGen: 1 << 32, linear: defaultLinear, probe: defaultProbe}
}

// Close lets go of all files and buffers. The Reader may be used again, with Go
// first: as long as it is not followed it should hold no deleted files.
func (l *Reader) Close() {
	l.cur, l.in, l.seek, l.batch = nil, lineReader{}, lineReader{}, record.Batch{}
	for _, f := range l.files {
		f.close()
	}
}

// Go makes Next continue at p, which this Reader gave. The zero Position is the
// beginning of the oldest file; then there need not be one yet. The error is
// ErrGone when the file of p is no longer there.
func (l *Reader) Go(p Position) error {
	if p == (Position{}) {
		l.cur = nil
		return nil
	}
	f := l.byGen(p.gen)
	if f == nil {
		return fmt.Errorf("continue in %s: the file %w: raise num_logs in auditd.conf", l.path, ErrGone)
	}
	if err := l.open(f); err != nil {
		return err
	}
	end, err := size(f.f)
	if err != nil {
		return l.fault("stat", f.index, err)
	}
	if p.Off > end+1 { // 1: a last line is handed on with the newline it lacks
		return fmt.Errorf("continue in %s at byte %d: that place %w: the file %w", l.name(f.index), p.Off, ErrGone, ErrTruncated)
	}
	l.enter(f, min(p.Off, end))
	return nil
}

// enter makes f, which is open, the file that is read.
func (l *Reader) enter(f *logFile, off int64) {
	l.cur = f
	l.in.start(f.f, off)
	l.openAhead()
}

// Next puts the next complete lines into b, at most a read of 256 KiB, each
// a record of kind Line with flag FromLog, and returns where the first one
// begins. The buffer of b is the Reader's and valid until the next call. A last
// line without newline is handed on (with one) only when its file was rotated and
// is no longer written. io.EOF: there is no more at this moment.
//
// Before the first Go it begins with the oldest file.
func (l *Reader) Next(b *record.Batch) (Position, error) {
	b.Recs = b.Recs[:0]
	if l.cur == nil {
		if err := l.begin(); err != nil {
			return Position{}, err
		}
	}

	for {
		lookErr := l.look()
		// auditd closes the file before it renames it: when it was not the newest
		// before this read, the end that is read now is its last one.
		final := l.cur != l.newest()
		at, n, err := l.in.next(b)
		if final && n == 0 && err == io.EOF {
			at = l.in.end(b)
		}
		switch {
		case len(b.Recs) > 0:
			return Position{l.cur.gen, at}, nil
		case n > 0:
		case err != io.EOF:
			return Position{}, l.fault("read", l.cur.index, err)
		case final:
			if err := l.advance(); err != nil {
				return Position{}, err
			}
		case lookErr != nil:
			return Position{}, lookErr
		default:
			return Position{}, l.checkSize()
		}
	}
}

// begin enters the oldest file that can be read.
func (l *Reader) begin() error {
	if err := l.refresh(); err != nil {
		return err
	}
	err := l.fault("open", 0, fs.ErrNotExist)
	for _, f := range slices.Clone(l.files) {
		if err = l.open(f); err == nil {
			l.enter(f, 0)
			return nil
		}
	}
	return err
}

// look sees whether the newest file known is audit.log still.
func (l *Reader) look() error {
	newest := l.newest()
	at, err := lookAtPath(l.path)
	if err == syscall.ENOENT {
		if l.absent.IsZero() {
			l.absent = time.Now()
		}
		if time.Since(l.absent) < absentGrace {
			return nil
		}
	} else {
		l.absent = time.Time{}
	}
	if err != nil {
		return l.fault("open", 0, err)
	}
	if at.Dev == newest.dev && at.Ino == newest.ino {
		return nil
	}
	return l.refresh()
}

// advance continues with the file after the current one, the next one that can be
// opened. What is left out is reported once.
func (l *Reader) advance() error {
	gap := false
	for from := l.cur; ; {
		f := l.after(from.gen)
		if f == nil {
			return l.fault("open", 0, fs.ErrNotExist)
		}
		gap = gap || f.gap
		err := l.open(f)
		if err == nil {
			f.gap = false
			l.cur.close()
			l.enter(f, 0)
			break
		}
		if f == l.newest() {
			return err
		}
		from, gap = f, true
	}

	if !gap {
		return nil
	}
	return fmt.Errorf("follow %s: %w: it was rotated too often, replaced or is unreadable in part: "+
		"raise num_logs or max_log_file in auditd.conf", l.path, ErrSkipped)
}

// checkSize distinguishes the end of the file from a file that was truncated meanwhile.
func (l *Reader) checkSize() error {
	end, err := size(l.cur.f)
	if err != nil {
		return l.fault("stat", l.cur.index, err)
	}
	if end >= l.in.read {
		return io.EOF
	}
	// What comes now is newer than all there was.
	l.maxGen++
	l.cur.gen = l.maxGen
	l.in.start(l.cur.f, 0)
	return fmt.Errorf("follow %s: it %w, continuing at its beginning: let auditd rotate it (max_log_file_action)",
		l.name(l.cur.index), ErrTruncated)
}

// size of an open file.
func size(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
