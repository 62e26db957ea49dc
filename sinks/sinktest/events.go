package sinktest

import (
	"bytes"
	"fmt"

	"audisp-relay/audit/record"
	"audisp-relay/format"
)

const eventRecords = 3

// Event returns an event of n records with about size bytes of text more than it
// needs.
func Event(serial, n, size int) (b record.Batch) {
	for i := range n {
		text := fmt.Appendf(nil, "type=PATH msg=audit(1700000000.123:%d): item=%d name=", firstSerial+serial, i)
		text = append(text, bytes.Repeat([]byte{byte('a' + (serial+i)%26)}, size/n+(serial+i)%5*20)...)
		text = append(text, '\n')
		b.Recs = append(b.Recs, record.Record{
			Off: uint32(len(b.Buf)), Len: uint32(len(text)), Type: 1302, Serial: uint32(firstSerial + serial), Millis: 1700000000123,
		})
		b.Buf = append(b.Buf, text...)
	}
	b.Recs[n-1].Flags |= record.End
	return b
}

// joiner is a format of events for these tests: the records after one another, on
// one line.
type joiner struct{}

// NewEvents makes the encoder of that format, for format.Encoder.
func NewEvents() format.EventEncoder { return joiner{} }

func (joiner) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	for ; i < j; i++ {
		dst = append(dst, bytes.TrimSuffix(b.Bytes(i), []byte("\n"))...)
		dst = append(dst, ';')
	}
	return append(dst, '\n')
}
