package spool

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Damage is what could not be read of what earlier runs left. Each Open finds it
// again until the segment is gone.
type Damage struct {
	Frames  uint64 // that are missing, as far as later frames show
	Records uint64 // in these
	Whole   uint64 // the same, pieces of one line counted once
	Bytes   uint64 // of files that were skipped, because they are no frame
	// Uncounted is how many unreadable places have nothing after them that shows what
	// is missing: mostly a last frame that a kill or a power cut has torn, which did not
	// count as stored.
	Uncounted uint64
	// Lost are the missing frames, sorted by First; neighbours are one. First,
	// Records and Whole are set. They cannot be read.
	Lost []Frame
	// Err is the first I/O error. Segments that had one are kept until the next Open.
	Err error
}

// Limits of a scan.
const (
	window    = 4 << 10  // what is read at once to look at a header
	chunk     = 64 << 10 // what is read at once to search for one
	maxIOErrs = 8        // each may take a dying disk seconds
)

// store is a spool directory as it is read. It writes nothing.
type store struct {
	fs      fileSystem
	dir     string
	segs    []*segment // in the order they were made
	foreign []string   // names in the directory that are no segments
	frames  []Frame
	damage  Damage
	next    uint64 // greater than all record numbers seen

	reader    handle // of the segment that was read last
	readerSeg *segment
	meta      []byte // scratch of read
	ioErrs    int
}

// scan finds all segments and the frames in them.
func (st *store) scan() error {
	names, err := st.fs.List(st.dir)
	if err != nil {
		return err
	}

	slices.Sort(names)
	for _, name := range names {
		if seg := parseName(name); seg != nil {
			st.segs = append(st.segs, seg)
		} else {
			st.foreign = append(st.foreign, name)
		}
	}

	slices.SortStableFunc(st.segs, func(a, b *segment) int { return cmp.Compare(a.file, b.file) })
	sc := scanner{store: st}
	st.segs = slices.DeleteFunc(st.segs, func(seg *segment) bool { return !sc.segment(seg) })
	sc.endRun()
	st.frames = st.overlay(st.frames)
	for i := range st.frames {
		st.frames[i].id = st.frames[i].seg.addFrame()
	}
	slices.SortStableFunc(st.damage.Lost, func(a, b Frame) int { return cmp.Compare(a.First, b.First) })
	return nil
}

func (st *store) path(seg *segment) string { return filepath.Join(st.dir, seg.name) }

// failed notes an I/O error on seg.
func (st *store) failed(seg *segment, err error) {
	st.ioErrs++
	seg.keep = true
	if st.damage.Err == nil {
		st.damage.Err = err
	}
}

// scanner goes through the segments in the order they were written and compares
// what it finds with what each frame says of those before it.
type scanner struct {
	*store
	seg  *segment
	h    handle
	buf  []byte // the bytes of seg at from
	from int64

	run                uint32 // that the counts below are of, 0 before the first
	seq, before, whole uint64 // expected of the next frame of the run
	end                uint64 // number after the last record seen of it
	hole               bool   // there was something unreadable since the last header
	earlier            bool   // hole, as it was when this segment began
}

// segment scans one and reports whether it is one: regular files are.
func (sc *scanner) segment(seg *segment) bool {
	var st os.FileInfo
	h, err := sc.fs.Open(sc.path(seg), unix.O_RDONLY)
	if err == nil {
		defer h.Close()
		st, err = h.Stat()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false // deleted while we look
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO), err == nil && !st.Mode().IsRegular(): // a link, a socket, a directory
		sc.foreign = append(sc.foreign, seg.name)
		return false
	case err != nil:
		sc.failed(seg, err)
		sc.hole = true
		return true
	}

	seg.size = st.Size()
	sc.seg, sc.h, sc.buf, sc.earlier = seg, h, sc.buf[:0], sc.hole
	sc.walk()
	return true
}

// walk goes from header to header.
func (sc *scanner) walk() {
	seg := sc.seg
	size := min(seg.size, math.MaxUint32)
	for off := int64(0); off < size; {
		h, ok := sc.headerAt(off)
		if !ok {
			next := sc.search(off+1, size)
			sc.skip(next - off)
			off = next
			continue
		}
		end := off + h.size()
		if end > size {
			sc.skip(size - off) // torn
			break
		}
		sc.meet(&h)
		seg.clean = h.mark() && off > 0 && end == size
		off = end
	}

	if seg.size > size {
		sc.skip(seg.size - size)
	}
}

func (sc *scanner) skip(n int64) {
	sc.damage.Bytes += uint64(n)
	sc.seg.skipped += n
	sc.hole = true
}

// meet takes a frame, or a mark, as the next of its run.
func (sc *scanner) meet(h *header) {
	if h.run != sc.run {
		sc.startRun(h)
	}
	// Less than expected is seen where a frame is left that could not be cut off when
	// its write had failed.
	if n := int64(h.seq - sc.seq); n > 0 {
		sc.lose(n, h.before-sc.before, h.whole-sc.whole)
	}

	sc.hole = false
	sc.seq, sc.before, sc.whole = h.seq, h.before+uint64(h.Records), h.whole+uint64(h.Whole)
	sc.end = h.end()
	sc.next = max(sc.next, sc.end)
	if h.mark() {
		return
	}

	sc.seq++
	f := h.Frame
	f.seg = sc.seg
	sc.frames = append(sc.frames, f)
}

// lose counts frames that are missing before the one met.
func (sc *scanner) lose(frames int64, records, whole uint64) {
	// What no frame can hold was not written by this program.
	records = min(records, uint64(frames)*maxRecords)
	whole = min(whole, records)
	d := &sc.damage
	d.Frames += uint64(frames)
	d.Records += records
	d.Whole += whole
	d.Lost = append(d.Lost, Frame{
		First: sc.end, Records: uint32(min(records, math.MaxUint32)), Whole: uint32(min(whole, math.MaxUint32)),
	})
}

func (sc *scanner) startRun(h *header) {
	// The run's first segment has the run's number: what is unreadable at its
	// beginning is counted from zero. Of a later one, whose predecessors are gone, the
	// beginning is not known.
	begins := sc.seg.file == h.run
	sc.hole = sc.earlier
	sc.endRun()
	sc.run, sc.end = h.run, sc.seg.first
	sc.seq, sc.before, sc.whole = h.seq, h.before, h.whole
	if begins {
		sc.seq, sc.before, sc.whole = 0, 0, 0
	} else if h.off > 0 {
		sc.damage.Uncounted++
	}
}

// endRun says that nothing more of the run will come.
func (sc *scanner) endRun() {
	if sc.hole {
		sc.damage.Uncounted++
	}
	sc.hole = false
}

// headerAt reads the header at off, if there is one that belongs there.
func (sc *scanner) headerAt(off int64) (header, bool) {
	if off < sc.from || off+headerSize > sc.from+int64(len(sc.buf)) {
		if !sc.read(off, window) {
			return header{}, false
		}
	}
	return sc.parse(sc.buf[off-sc.from:], off)
}

func (sc *scanner) parse(p []byte, off int64) (header, bool) {
	h, ok := parseHeader(p)
	return h, ok && h.file == sc.seg.file && h.salt == sc.seg.salt && int64(h.off) == off
}

// read fills buf with up to n bytes at off. An I/O error counts and leaves it empty.
func (sc *scanner) read(off int64, n int) bool {
	sc.buf, sc.from = slices.Grow(sc.buf[:0], n)[:n], off
	n, err := sc.h.ReadAt(sc.buf, off)
	if err != nil && err != io.EOF {
		sc.failed(sc.seg, err)
		n = 0
	}
	sc.buf = sc.buf[:n]
	return n > 0
}

// search returns where the next header is from off on, size if there is none.
// Pages that cannot be read are left out.
func (sc *scanner) search(off, size int64) int64 {
	for off < size {
		if !sc.read(off, chunk) {
			if sc.ioErrs > maxIOErrs {
				return size
			}
			off = (off/window + 1) * window
			continue
		}

		for at := 0; ; at++ {
			k := bytes.Index(sc.buf[at:], []byte(magic))
			if k < 0 {
				off += int64(max(1, len(sc.buf)-len(magic)+1))
				break
			}
			at += k
			if len(sc.buf)-at < headerSize && off+int64(len(sc.buf)) < size && at > 0 {
				off += int64(at) // have the whole of it in the next chunk
				break
			}
			if _, ok := sc.parse(sc.buf[at:], off+int64(at)); ok {
				return off + int64(at)
			}
		}
	}
	return size
}

// overlay makes one sequence of frames, given in the order they were written:
// where two have the same numbers the later one is right, and of the earlier
// only what it lacks is used.
func (st *store) overlay(frames []Frame) (out []Frame) {
	var pieces []Frame
	for _, f := range frames {
		i, _ := slices.BinarySearchFunc(out, f.First, func(g Frame, n uint64) int {
			return cmp.Compare(g.end(), n+1) // the first that ends after n
		})
		j, _ := slices.BinarySearchFunc(out, f.end(), func(g Frame, n uint64) int { return cmp.Compare(g.First, n) })
		pieces = pieces[:0]
		if i < j && out[i].First < f.First {
			pieces = st.cut(pieces, out[i], out[i].First, f.First)
		}
		pieces = append(pieces, f)
		if i < j && out[j-1].end() > f.end() {
			pieces = st.cut(pieces, out[j-1], f.end(), out[j-1].end())
		}
		out = slices.Replace(out, i, j, pieces...)
	}
	return out
}

// cut appends the part of f that has the records from up to to. If f cannot be
// read it counts as missing.
func (st *store) cut(to []Frame, f Frame, from, end uint64) []Frame {
	b, err := st.read(f, nil, nil)
	piece := f
	piece.First = from
	piece.Records = uint32(end - from)
	piece.skip += uint32(from - f.First)
	if err == nil {
		piece.count(b.Recs[from-f.First:][:end-from])
		return append(to, piece)
	}
	d := &st.damage
	d.Frames++
	d.Records += uint64(piece.Records)
	piece.Whole = min(piece.Whole, piece.Records)
	d.Whole += uint64(piece.Whole)
	d.Lost = append(d.Lost, piece)
	return to
}
