package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"audisp-relay/audit/record"
)

// The bytes of a frame; docs/spool.md has the tables.
const (
	magic      = "ARs1"
	headerSize = 84
	metaSize   = 24

	// A queue's block has at most 4096 records and 64 KiB, or one event of up to
	// 1 MiB. The bounds leave room and keep what a damaged length can ask for small.
	maxRecords = 8192
	maxText    = 1<<20 + 64<<10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what stands in front of a frame.
type header struct {
	file, salt uint32 // of the segment that the frame is in
	run        uint32
	seq        uint64 // frames of the run before this one
	before     uint64 // records in those frames
	whole      uint64 // records in those frames, pieces of one line counted once
	sum        uint32 // CRC of metadata and text
	Frame
}

// mark reports whether this is a header without records: where a segment
// begins, and where a run has ended properly.
func (h *header) mark() bool { return h.Records == 0 }

// end returns the number after the last record.
func (f *Frame) end() uint64 { return f.First + uint64(f.Records) }

// size is the length of the frame on disk.
func (h *header) size() int64 {
	return headerSize + int64(h.Records)*metaSize + int64(h.Bytes)
}

// put writes the header to the first headerSize bytes of p.
func (h *header) put(p []byte) {
	le := binary.LittleEndian
	copy(p, magic)
	le.PutUint32(p[8:], h.file)
	le.PutUint32(p[12:], h.salt)
	le.PutUint32(p[16:], h.off)
	le.PutUint32(p[20:], h.run)
	le.PutUint64(p[24:], h.seq)
	le.PutUint64(p[32:], h.First)
	le.PutUint64(p[40:], h.before)
	le.PutUint64(p[48:], h.whole)
	le.PutUint32(p[56:], h.Records)
	le.PutUint32(p[60:], h.Bytes)
	le.PutUint32(p[64:], h.Whole)
	le.PutUint32(p[68:], h.Events)
	le.PutUint32(p[72:], h.FirstSerial)
	le.PutUint32(p[76:], h.LastSerial)
	le.PutUint32(p[80:], h.sum)
	le.PutUint32(p[4:], crc32.Checksum(p[8:headerSize], castagnoli))
}

// parseHeader reads a header from p and reports whether it is one. Whether it
// belongs to the place it was found at is for the caller to say.
func parseHeader(p []byte) (h header, ok bool) {
	le := binary.LittleEndian
	if len(p) < headerSize || string(p[:4]) != magic ||
		le.Uint32(p[4:]) != crc32.Checksum(p[8:headerSize], castagnoli) {
		return h, false
	}
	h = header{
		file: le.Uint32(p[8:]), salt: le.Uint32(p[12:]), run: le.Uint32(p[20:]), seq: le.Uint64(p[24:]),
		before: le.Uint64(p[40:]), whole: le.Uint64(p[48:]), sum: le.Uint32(p[80:]),
		Frame: Frame{
			off: le.Uint32(p[16:]), First: le.Uint64(p[32:]),
			Records: le.Uint32(p[56:]), Bytes: le.Uint32(p[60:]), Whole: le.Uint32(p[64:]),
			Events: le.Uint32(p[68:]), FirstSerial: le.Uint32(p[72:]), LastSerial: le.Uint32(p[76:]),
		},
	}

	h.total = h.Records
	ok = h.Records <= maxRecords && h.Bytes <= maxText && h.Whole <= h.Records && h.Events <= h.Records &&
		h.First+uint64(h.Records) >= h.First && (h.Records > 0 || h.Bytes == 0)
	return h, ok
}

// appendFrame appends to dst, which is empty, what b is on disk, the header left
// blank, and fills in what h says of it.
func appendFrame(dst []byte, h *header, b *record.Batch) ([]byte, error) {
	if len(b.Recs) == 0 || len(b.Recs) > maxRecords {
		return dst, fmt.Errorf("a frame holds 1 to %d records, not %d", maxRecords, len(b.Recs))
	}

	dst = append(dst, make([]byte, headerSize)...)
	h.count(b.Recs)
	for i := range b.Recs {
		dst = appendMeta(dst, &b.Recs[i])
	}

	for i := 0; i < len(b.Recs); {
		// Records that lie together are copied together.
		from := b.Recs[i].Off
		end := from
		for ; i < len(b.Recs) && b.Recs[i].Off == end; i++ {
			end += b.Recs[i].Len
		}
		if len(dst)+int(end-from) > headerSize+len(b.Recs)*metaSize+maxText {
			return dst, fmt.Errorf("a frame holds %d bytes of text, not more", maxText)
		}
		dst = append(dst, b.Buf[from:end]...)
	}
	h.sum = crc32.Checksum(dst[headerSize:], castagnoli)
	return dst, nil
}

// count fills in what a frame says of the records in it.
func (f *Frame) count(recs []record.Record) {
	f.Records, f.Whole, f.Bytes, f.Events, f.FirstSerial, f.LastSerial = uint32(len(recs)), 0, 0, 0, 0, 0
	var millis int64
	for i := range recs {
		r := &recs[i]
		f.Bytes += r.Len
		if r.Flags&record.Marker != 0 {
			continue // it reports records, and is no record itself
		}
		if r.Flags&record.Cont == 0 {
			f.Whole++
		}
		if !r.HasID() || (f.Events > 0 && f.LastSerial == r.Serial && millis == r.Millis) {
			continue
		}
		if f.Events == 0 {
			f.FirstSerial = r.Serial
		}
		f.Events++
		f.LastSerial, millis = r.Serial, r.Millis
	}
}

// What kinds and flags are on disk, docs/spool.md says. In memory they have the same values today,
// which the compiler checks here: where one of them changes, appendMeta and parseMeta have to
// translate.
const (
	diskLine, diskVer0, diskVer1, diskJunk = 0, 1, 2, 3

	diskNoID, diskOpen, diskCont, diskFromLog  = 1, 2, 4, 8
	diskLate, diskMarker, diskEnd, diskPartial = 16, 32, 64, 128
)

var _ = [1]struct{}{}[(diskLine^record.Line)|(diskVer0^record.Ver0)|(diskVer1^record.Ver1)|(diskJunk^record.Junk)]

var _ = [1]struct{}{}[(diskNoID^record.NoID)|(diskOpen^record.Open)|(diskCont^record.Cont)|(diskFromLog^record.FromLog)|
	(diskLate^record.Late)|(diskMarker^record.Marker)|(diskEnd^record.End)|(diskPartial^record.Partial)]

func appendMeta(dst []byte, r *record.Record) []byte {
	var p [metaSize]byte
	le := binary.LittleEndian
	le.PutUint32(p[0:], r.Len)
	le.PutUint32(p[4:], r.Type)
	le.PutUint32(p[8:], r.Serial)
	le.PutUint64(p[12:], uint64(r.Millis))
	p[20], p[21] = byte(r.Kind), r.Flags
	le.PutUint16(p[22:], r.NodeLen)
	return append(dst, p[:]...)
}

// parseMeta appends the records that meta describes to recs, as they lie one after
// another in size bytes of text. It reports whether they can be: no record
// of a frame that passes reaches beyond its bytes.
func parseMeta(recs []record.Record, meta []byte, size uint32) ([]record.Record, bool) {
	le := binary.LittleEndian
	off := uint32(0)
	for ; len(meta) >= metaSize; meta = meta[metaSize:] {
		r := record.Record{
			Off: off, Len: le.Uint32(meta), Type: le.Uint32(meta[4:]), Serial: le.Uint32(meta[8:]),
			Millis: int64(le.Uint64(meta[12:])), Kind: record.Kind(meta[20]), Flags: meta[21], NodeLen: le.Uint16(meta[22:]),
		}
		if r.Len > size-off || r.Kind > record.Junk || (r.NodeLen > 0 && uint32(r.NodeLen)+uint32(len("node=")) > r.Len) {
			return recs, false
		}
		off += r.Len
		recs = append(recs, r)
	}
	return recs, off == size
}
