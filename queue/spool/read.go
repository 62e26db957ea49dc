package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// read reads a frame. Its text goes to buf, its records to recs, or to new ones
// where these are too small.
func (st *store) read(f Frame, buf []byte, recs []record.Record) (record.Batch, error) {
	if f.seg == nil {
		return record.Batch{}, fmt.Errorf("%w: it was never read", ErrDamaged)
	}
	h, err := st.handleOf(f.seg)
	if err != nil {
		return record.Batch{}, err
	}

	metaEnd := headerSize + int(f.total)*metaSize
	st.meta = slices.Grow(st.meta[:0], metaEnd)[:metaEnd]
	if err := readFull(h, st.meta, int64(f.off)); err != nil {
		return record.Batch{}, st.readError(f, err)
	}
	hdr, ok := parseHeader(st.meta)
	if !ok || hdr.file != f.seg.file || hdr.salt != f.seg.salt || hdr.off != f.off || hdr.Records != f.total {
		return record.Batch{}, st.readError(f, errBadHeader)
	}

	buf = slices.Grow(buf[:0], int(hdr.Bytes))[:hdr.Bytes]
	if err := readFull(h, buf, int64(f.off)+int64(metaEnd)); err != nil {
		return record.Batch{}, st.readError(f, err)
	}
	meta := st.meta[headerSize:]
	if crc32.Update(crc32.Checksum(meta, castagnoli), castagnoli, buf) != hdr.sum {
		return record.Batch{}, st.readError(f, errBadSum)
	}

	recs, ok = parseMeta(recs[:0], meta, hdr.Bytes)
	if !ok || uint64(f.skip)+uint64(f.Records) > uint64(len(recs)) {
		return record.Batch{}, st.readError(f, errBadMeta)
	}
	return record.Batch{Buf: buf, Recs: recs[f.skip:][:f.Records]}, nil
}

// What can be wrong with a frame.
var (
	errBadHeader = fmt.Errorf("%w: its header has changed", ErrDamaged)
	errBadSum    = fmt.Errorf("%w: its checksum does not match", ErrDamaged)
	errBadMeta   = fmt.Errorf("%w: its metadata makes no sense", ErrDamaged)
	errShort     = fmt.Errorf("%w: the file ends within it", ErrDamaged)
)

// readError says where an error occurred.
func (st *store) readError(f Frame, err error) error {
	return fmt.Errorf("frame at %d of %s: %w", f.off, st.path(f.seg), err)
}

func readFull(h handle, p []byte, off int64) error {
	_, err := h.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}

// handleOf returns a handle to read seg with. One is kept open: frames are read
// in the order they were written.
func (st *store) handleOf(seg *segment) (handle, error) {
	if seg.h != nil {
		return seg.h, nil
	}
	if st.reader != nil && st.readerSeg == seg {
		return st.reader, nil
	}
	st.closeReader()
	h, err := st.fs.Open(st.path(seg), unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: its file was deleted: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	st.reader, st.readerSeg = h, seg
	return h, nil
}

func (st *store) closeReader() {
	if st.reader != nil {
		st.reader.Close() // it was only read
	}
	st.reader, st.readerSeg = nil, nil
}
