package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"audisp-relay/fleet/wire"
)

// An entry of the journal is one batch:
//
//	magic    4 bytes, "ajb1"
//	sum      CRC-32C of all that follows
//	size     of all that follows, uint32
//	next     number in the queue after the last record, uint64
//	run      the process that sent it, uint64
//	header   uint32, and so many bytes: "Name: value\n" for each field (wire.Header)
//	records  uint32, and for each 8 bytes (idOf)
//	body     the rest
//
// All numbers are in little-endian order.
const (
	entryMagic = "ajb1"
	entryHead  = 12
	entryFixed = 8 + 8 + 4 + 4
)

// maxEntry bounds an entry: a batch that is one event of the largest kind is less.
const maxEntry = 128 << 20

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("is damaged")
)

// entry is a batch as it was read, and who sent it.
type entry struct {
	Batch
	run uint64
}

// appendEntry appends b, sent by run.
func appendEntry(dst []byte, b *Batch, run uint64) []byte {
	from := len(dst)
	dst = append(dst, entryMagic+"\x00\x00\x00\x00\x00\x00\x00\x00"...)
	dst = binary.LittleEndian.AppendUint64(dst, b.next)
	dst = binary.LittleEndian.AppendUint64(dst, run)
	mark := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, f := range b.Header.Append(nil) {
		dst = append(append(append(append(dst, f.Name...), ": "...), f.Value...), '\n')
	}

	binary.LittleEndian.PutUint32(dst[mark:], uint32(len(dst)-mark-4))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.ids)))
	for _, id := range b.ids {
		dst = binary.LittleEndian.AppendUint64(dst, id)
	}
	dst = append(dst, b.Body...)
	rest := dst[from+entryHead:]
	binary.LittleEndian.PutUint32(dst[from+4:], crc32.Checksum(rest, castagnoli))
	binary.LittleEndian.PutUint32(dst[from+8:], uint32(len(rest)))
	return dst
}

// parseEntry reads the entry that data begins with, and returns how many bytes it has. Its body
// lies in data.
func parseEntry(data []byte) (e entry, n int, err error) {
	if len(data) < entryHead+entryFixed || string(data[:4]) != entryMagic {
		return entry{}, 0, fmt.Errorf("%w: no entry", errDamaged)
	}
	size := binary.LittleEndian.Uint32(data[8:])
	if size < entryFixed || size > maxEntry || int(size) > len(data)-entryHead {
		return entry{}, 0, fmt.Errorf("%w: an entry of %d bytes", errDamaged, size)
	}
	rest := data[entryHead:][:size:size]
	if crc32.Checksum(rest, castagnoli) != binary.LittleEndian.Uint32(data[4:]) {
		return entry{}, 0, fmt.Errorf("%w: a checksum is wrong", errDamaged)
	}

	e.next, e.run = binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
	head, rest, ok := cutSized(rest[16:], 1)
	ids, rest, ok2 := cutSized(rest, 8)
	if !ok || !ok2 {
		return entry{}, 0, fmt.Errorf("%w: lengths of an entry", errDamaged)
	}
	e.ids = make([]uint64, len(ids)/8)
	for i := range e.ids {
		e.ids[i] = binary.LittleEndian.Uint64(ids[8*i:])
	}
	e.Body = rest
	if err := parseHeader(&e.Header, string(head)); err != nil {
		return entry{}, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return e, entryHead + int(size), nil
}

// cutSized cuts a number off data, and that many items of so many bytes each.
func cutSized(data []byte, each int) (items, rest []byte, ok bool) {
	if len(data) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(data)) * uint64(each)
	if data = data[4:]; n > uint64(len(data)) || n > math.MaxInt32 {
		return nil, nil, false
	}
	return data[:n], data[n:], true
}

// parseHeader reads what appendEntry has written of a header.
func parseHeader(h *wire.Header, text string) error {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		fields[name] = value
	}
	return h.Parse(func(name string) string { return fields[name] })
}
