package spool

import (
	"errors"
	"slices"
	"time"
)

// Tick does what is due at now, at most once a second: it has the disk brought
// up to date in the background (Interval), deletes what could not be deleted
// before, and a current segment that is not needed any more. It reports what went
// wrong since the last call, also with Release. It waits for the deletion, not for
// the disk.
func (s *Spool) Tick(now time.Time) error {
	if s.closed {
		return errClosed
	}
	select {
	case err := <-s.syncing:
		s.synced(err)
	default:
	}

	if now.Sub(s.lastTidy) >= time.Second {
		s.lastTidy = now
		if s.cur != nil && s.cur.live == 0 {
			s.endSegment()
		}
		s.sweep()
	}
	if s.opt.Sync == Interval && s.syncing == nil && now.Sub(s.lastSync) >= time.Second {
		s.startSync(now)
	}

	err := s.pending
	s.pending = nil
	return err
}

// startSync has all that was written synced in the background: on a busy disk
// that can take seconds, in which frames can still be written and read.
func (s *Spool) startSync(now time.Time) {
	s.batch, s.waiting = s.waiting, nil
	if s.cur != nil {
		s.batch = append(s.batch, s.cur)
	}

	var files []handle
	for _, seg := range s.batch {
		if seg.dirty && !seg.gone {
			seg.dirty = false
			files = append(files, seg.h)
		}
	}
	if s.newFile {
		s.newFile = false
		files = append(files, s.dirH)
	}
	if len(files) == 0 {
		s.synced(nil)
		return
	}

	s.lastSync = now
	done := make(chan error, 1)
	s.syncing = done
	go func() {
		var errs []error
		for _, h := range files {
			errs = append(errs, h.Sync())
		}
		done <- errors.Join(errs...)
	}()
}

// synced deals with the end of a sync.
func (s *Spool) synced(err error) {
	s.syncing = nil
	for _, seg := range s.batch {
		// One that was ended meanwhile is synced once more.
		if seg != s.cur && !slices.Contains(s.waiting, seg) {
			s.closeSegment(seg)
		}
	}
	s.batch = nil
	if err == nil {
		return
	}
	// The kernel may have dropped what it could not write, and says so only once.
	s.pending = errors.Join(s.pending, err)
	if s.cur != nil && s.cur.size > headerSize {
		s.endSegment()
	}
}

// Close ends the spool properly: it writes the end mark, syncs what was written
// unless Sync is None, and closes all files. Frames that are not released stay
// for the next Open. It waits for the disk. The Spool must not be used any more.
func (s *Spool) Close() error {
	if s.closed {
		return nil
	}
	if s.syncing != nil {
		s.synced(<-s.syncing)
	}
	if s.cur != nil && (s.cur.live > 0 || s.segs[0] != s.cur) && s.Size()+headerSize <= s.opt.MaxSize {
		if err := s.mark(s.next); err != nil {
			s.pending = errors.Join(s.pending, err)
		}
	}
	if s.cur != nil {
		s.endSegment()
	}

	s.sweep()
	if s.opt.Sync == Interval {
		s.startSync(time.Time{})
		if s.syncing != nil {
			s.synced(<-s.syncing)
		}
	}

	s.closed = true
	s.closeReader()
	return errors.Join(s.pending, s.dirH.Close())
}
