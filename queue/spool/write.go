package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// Append stores a batch whose first record has the number first. After an error
// it is not stored: ErrFull, or an I/O error. It may be tried again, also with
// other records; nothing that was stored before is touched.
func (s *Spool) Append(first uint64, b *record.Batch) (Frame, error) {
	if s.closed {
		return Frame{}, errClosed
	}

	h := header{Frame: Frame{First: first}}
	buf, err := appendFrame(s.buf[:0], &h, b)
	s.buf = buf
	if err != nil {
		return Frame{}, err
	}
	if first+uint64(h.Records) < first {
		return Frame{}, fmt.Errorf("record number %d is too large", first)
	}
	if err := s.room(first, int64(len(buf))); err != nil {
		return Frame{}, err
	}

	s.place(&h)
	h.put(buf)
	if err := s.write(buf); err != nil {
		s.dropEmpty()
		return Frame{}, err
	}

	f := h.Frame
	f.seg, f.total, f.id = s.cur, h.Records, s.cur.addFrame()
	s.seq++
	s.before += uint64(f.Records)
	s.whole += uint64(f.Whole)
	s.next = max(s.next, f.end())
	return f, nil
}

// place fills in where the next frame is and what is before it.
func (s *Spool) place(h *header) {
	h.file, h.salt, h.off = s.cur.file, s.cur.salt, uint32(s.cur.size)
	h.run, h.seq, h.before, h.whole = s.run, s.seq, s.before, s.whole
}

// room makes sure that a segment takes n bytes more within the bounds.
func (s *Spool) room(first uint64, n int64) error {
	if s.full(n) && s.cur != nil && s.cur.live == 0 {
		s.endSegment()
		s.sweep()
	}
	if s.full(n) {
		return fmt.Errorf("%w: %s has %d of %d bytes", ErrFull, s.dir, s.Size(), s.opt.MaxSize)
	}
	if s.cur != nil && s.cur.size > headerSize && s.cur.size+n > s.opt.SegmentSize {
		s.endSegment()
		s.sweep()
	}
	if s.cur != nil {
		return nil
	}
	return s.newSegment(first)
}

// full reports whether n bytes, and the marks that may go with them, are more
// than there may be.
func (s *Spool) full(n int64) bool { return s.Size()+n+2*headerSize > s.opt.MaxSize }

// newSegment makes a file and writes the mark it begins with.
func (s *Spool) newSegment(first uint64) error {
	var salt [4]byte
	rand.Read(salt[:]) // never fails
	seg := &segment{first: first, file: s.file + 1, salt: binary.LittleEndian.Uint32(salt[:])}
	seg.name = segmentName(first, seg.file, seg.salt)

	h, err := s.fs.Open(s.path(seg), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if errors.Is(err, unix.ENOENT) && s.relock() == nil {
		h, err = s.fs.Open(s.path(seg), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	}
	if err != nil {
		return fullError(err)
	}

	seg.h, s.file = h, seg.file
	run := s.run
	if run == 0 {
		s.run = seg.file
	}
	s.segs, s.cur = append(s.segs, seg), seg

	err = s.mark(first)
	if err == nil && s.opt.Sync == Batch {
		err = s.dirH.Sync()
	}
	if err == nil {
		s.newFile = true
		return nil
	}
	s.run = run
	if s.cur != nil {
		s.endSegment()
	}
	s.dropEmpty()
	return fullError(err)
}

// dropEmpty deletes the newest segment if it was ended before a frame got into
// it. It need not wait for its turn, and while writing fails there would be a new
// one with each try.
func (s *Spool) dropEmpty() {
	last := s.segs[len(s.segs)-1]
	if last == s.cur || len(last.released) > 0 || s.remove(last) != nil {
		return
	}
	s.segs = s.segs[:len(s.segs)-1]
}

// mark writes a header without records.
func (s *Spool) mark(first uint64) error {
	h := header{Frame: Frame{First: first}}
	s.place(&h)
	var p [headerSize]byte
	h.put(p[:])
	return s.write(p[:])
}

// write appends p to the current segment, or takes back what it could write of it.
func (s *Spool) write(p []byte) error {
	seg := s.cur
	_, err := seg.h.WriteAt(p, seg.size)
	if err == nil && s.opt.Sync == Batch {
		err = seg.h.Sync()
	}
	if err == nil {
		seg.size += int64(len(p))
		seg.dirty = true
		s.size.Add(int64(len(p)))
		return nil
	}

	cut := seg.h.Truncate(seg.size)
	if cut == nil && OutOfSpace(err) {
		return fullError(err)
	}
	// Bytes may be left after the last good frame, or the kernel may have dropped
	// what it could not write: nothing more goes into this file.
	if st, serr := seg.h.Stat(); serr == nil && cut != nil {
		s.size.Add(st.Size() - seg.size)
		seg.size = st.Size()
	}
	s.endSegment()
	return fullError(errors.Join(err, cut))
}

// fullError makes ErrFull of a file system without room.
func fullError(err error) error {
	if OutOfSpace(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// OutOfSpace reports whether an error of writing is that a disk, or what of it a user may have, is full.
func OutOfSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// endSegment ends the current segment. One that is to be synced stays open until
// that is done.
func (s *Spool) endSegment() {
	seg := s.cur
	s.cur = nil
	if s.opt.Sync == Interval {
		s.waiting = append(s.waiting, seg)
		return
	}
	s.closeSegment(seg)
}

func (s *Spool) closeSegment(seg *segment) {
	if err := seg.h.Close(); err != nil && s.pending == nil {
		s.pending = err
	}
	seg.h = nil
}
