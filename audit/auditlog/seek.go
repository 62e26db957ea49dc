package auditlog

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"

	"audisp-relay/audit/record"
)

const (
	// seekMargin allows for a clock that was set back a little and for records
	// whose time is coarser than the file's.
	seekMargin = 2000 // ms
	// A file is halved by time down to so many bytes and read line by line from
	// there: times are not in order, a few MiB take milliseconds.
	defaultLinear = 8 << 20
	// So much is read to find the time at which a part of a file was written. A
	// record's time is that of its syscall's entry, never later than the writing but
	// at times much earlier, so the latest of many counts.
	defaultProbe = 128 << 10
)

// SeekEnd returns the place after the last complete line. Like all seeking it
// leaves alone where Next is, and its last batch.
func (l *Reader) SeekEnd() (Position, error) {
	if err := l.begun(); err != nil {
		return Position{}, err
	}
	f := l.newest()
	off := int64(0)
	err := l.with(f, func(file *os.File) (err error) {
		off, err = l.lastEnd(file)
		return err
	})
	if err != nil {
		return Position{}, err
	}
	return Position{f.gen, off}, nil
}

// lastEnd returns the place after the last complete record of a file. auditd writes
// one that has newlines within in two parts, so after a newline need not be the
// beginning of a record. A last line that is longer than any that auditd writes is skipped.
func (l *Reader) lastEnd(f *os.File) (int64, error) {
	end, err := size(f)
	if err != nil {
		return 0, err
	}

	r, b := &l.seek, &l.batch
	from := max(0, end-record.MaxRecord)
	last := int64(-1)
	r.start(f, from)
	for {
		_, n, err := r.next(b)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if n == 0 {
			break
		}
		if len(b.Recs) > 0 && !r.open {
			last = r.cut
		}
	}

	switch {
	case last >= 0:
		return last, nil
	case from == 0:
		return 0, nil
	}
	return r.read, nil
}

// SeekTime returns the first line that can belong to an event of that time (ms
// since 1970): nothing before it has that time or a later one, give or take 2 s.
// It is the end of the log when all of it is older. Of more than one file, and where
// back is not 0, no more than about back bytes before the log's end are looked at;
// cut says that there is more before that, which was not looked at.
func (l *Reader) SeekTime(millis, back int64) (p Position, cut bool, err error) {
	if err := l.begun(); err != nil {
		return Position{}, false, err
	}
	floor, whole := Position{}, true
	if back > 0 {
		if floor, whole, err = l.floor(back); err != nil {
			return Position{}, false, err
		}
	}
	p, err = l.firstAt(millis-seekMargin, floor)
	return p, err == nil && !whole && p == floor, err
}

// floor returns the first line in the last so many bytes of the log, and whether
// that is all of it.
func (l *Reader) floor(back int64) (p Position, whole bool, err error) {
	newest := l.newest()
	p, whole = l.before(Position{newest.gen, newest.size}, back)
	if p.Off == 0 {
		return p, whole, nil
	}
	err = l.with(l.byGen(p.gen), func(file *os.File) error {
		return l.eachLine(file, p.Off, math.MaxInt64, true, func(_ *record.Batch, _ int, at int64) bool {
			p.Off = at
			return false
		})
	})
	if unreachable(err) {
		err = nil
	}
	return p, whole, err
}

// Before calls fn with the lines that begin before p, oldest first, of about so many bytes
// in front of it. The buffer of b is the Reader's and valid until fn returns. What cannot
// be read is left out.
func (l *Reader) Before(p Position, bytes int64, fn func(b *record.Batch, i int)) error {
	start, _ := l.before(p, bytes)
	for _, f := range slices.Clone(l.files) {
		if f.gen < start.gen || f.gen > p.gen {
			continue
		}
		from, to := int64(0), int64(math.MaxInt64)
		if f.gen == start.gen {
			from = start.Off
		}
		if f.gen == p.gen {
			to = p.Off
		}

		err := l.with(f, func(file *os.File) error {
			return l.eachLine(file, from, to, f.gen < p.gen, func(b *record.Batch, i int, _ int64) bool {
				fn(b, i)
				return true
			})
		})
		if err != nil && !unreachable(err) {
			return err
		}
	}
	return nil
}

// SeekAfter returns the place after the line with that identity. When there is none
// the error is ErrAbsent, with the place where it would stand, or ErrGone, with the
// beginning of the oldest file, when all that is there is newer.
func (l *Reader) SeekAfter(id record.ID) (Position, error) {
	s, err := l.find(id)
	return s.end, err
}

// SeekAt returns the place of the line with that identity itself, otherwise what
// SeekAfter does.
func (l *Reader) SeekAt(id record.ID) (Position, error) {
	s, err := l.find(id)
	return s.at, err
}

// begun brings the list of files up to date; there must be one.
func (l *Reader) begun() error {
	if err := l.refresh(); err != nil {
		return err
	}
	if len(l.files) == 0 {
		return l.fault("open", 0, fs.ErrNotExist)
	}
	return nil
}

// oldest returns the beginning of the oldest file that can be read.
func (l *Reader) oldest() Position {
	for _, f := range slices.Clone(l.files) {
		if l.with(f, func(*os.File) error { return nil }) == nil {
			return Position{gen: f.gen}
		}
	}
	return Position{}
}

// with calls fn with f opened for the time.
func (l *Reader) with(f *logFile, fn func(*os.File) error) error {
	held := f.f != nil
	if err := l.open(f); err != nil {
		return err
	}
	err := fn(f.f)
	if !held && (l.cur == nil || f.gen < l.cur.gen) {
		f.close()
	}
	if err != nil {
		return l.fault("read", f.index, err)
	}
	return nil
}

// unreachable reports whether a file was deleted while it was searched for
// or is closed to us: then it is as if it were not there.
func unreachable(err error) bool {
	return errors.Is(err, ErrGone) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// firstAt returns the first line from floor on with a time not before millis.
func (l *Reader) firstAt(millis int64, floor Position) (Position, error) {
	files := slices.DeleteFunc(slices.Clone(l.files), func(f *logFile) bool { return f.gen < floor.gen })
	first := len(files)
	for ; first > 0; first-- {
		f := files[first-1]
		if f.mtime >= millis {
			continue
		}
		// Written last before that. A copy may have any such time, so its
		// last lines must say the same.
		last := int64(math.MinInt64)
		err := l.with(f, func(file *os.File) (err error) {
			last, err = l.latest(file, max(0, f.size-l.probe), f.believed(millis))
			return err
		})
		if err != nil && !unreachable(err) {
			return Position{}, err
		}
		if err == nil && last < millis {
			break
		}
	}

	for _, f := range files[first:] {
		off := int64(-1)
		err := l.with(f, func(file *os.File) (err error) {
			off, err = l.firstIn(file, floor.in(f), f.size, millis, f.believed(millis))
			return err
		})
		if err != nil && !unreachable(err) {
			return Position{}, err
		}
		if off >= 0 {
			return Position{f.gen, off}, nil
		}
	}
	return l.SeekEnd()
}

// believed returns up to which time the file's lines are believed, in a search for
// that time: none is of an event later than the file's last writing, unless the clock
// was set back meanwhile. So a line with a forged time leads no search astray.
func (f *logFile) believed(millis int64) int64 {
	const margin = 60_000
	return max(f.mtime, millis) + margin
}

// firstIn returns where, from from on, the first line with a time not before millis
// begins, -1 if there is none. Later ones than limit count only where there is no
// other.
func (l *Reader) firstIn(f *os.File, from, size, millis, limit int64) (int64, error) {
	lo, hi := from, max(from, size)
	for hi-lo > l.linear {
		mid := lo + (hi-lo)/2
		at, err := l.latest(f, mid, limit)
		if err != nil {
			return -1, err
		}
		// A part without any time says nothing: then rather too early.
		if at != math.MinInt64 && at < millis {
			lo = mid
		} else {
			hi = mid
		}
	}

	found, odd := int64(-1), int64(-1)
	err := l.eachLine(f, lo, math.MaxInt64, true, func(b *record.Batch, i int, at int64) bool {
		r := &b.Recs[i]
		switch {
		case !r.HasID() || r.Millis < millis:
		case r.Millis <= limit:
			found = at
		case odd < 0:
			odd = at
		}
		return found < 0 && (odd < 0 || at < hi+l.linear)
	})
	if found < 0 {
		found = odd
	}
	return found, err
}

// latest returns the latest time in the part of the file from off on, the least
// there is when it has none. Later ones than limit count only where there is no other.
func (l *Reader) latest(f *os.File, off, limit int64) (int64, error) {
	millis, odd := int64(math.MinInt64), int64(math.MinInt64)
	err := l.eachLine(f, off, off+l.probe, true, func(b *record.Batch, i int, _ int64) bool {
		if r := &b.Recs[i]; !r.HasID() {
		} else if r.Millis <= limit {
			millis = max(millis, r.Millis)
		} else {
			odd = r.Millis
		}
		return true
	})
	if millis == math.MinInt64 {
		millis = odd
	}
	return millis, err
}

// lookBack is how far before a place anywhere in the log reading begins, so that what
// is cut at the place are records: after a newline there may be the rest of one. It is
// more than the longest that auditd writes.
const lookBack = 16 << 10

// eachLine calls fn with the records that begin from from (or the first after it)
// to before to, until it returns false; torn: also with a last line without
// newline.
func (l *Reader) eachLine(f *os.File, from, to int64, torn bool, fn func(b *record.Batch, i int, at int64) bool) error {
	r, b := &l.seek, &l.batch
	begin := max(0, from-lookBack)
	partial := begin > 0 // the first line that is read
	r.start(f, begin)

	for more := true; more && r.cut < to; {
		at, n, err := r.next(b)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			more = false
			if torn {
				at = r.end(b)
			}
		}
		for i := range b.Recs {
			if at >= to {
				return nil
			}
			if !partial && at >= from && !fn(b, i, at) {
				return nil
			}
			partial = false
			at += int64(b.Recs[i].Len)
		}
	}
	return nil
}
