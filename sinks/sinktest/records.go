package sinktest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
)

// firstSerial keeps all serials of the suite at the same number of digits.
const firstSerial = 1_000_000

// Lines returns n log lines that differ in their serials, counted from first,
// and in length.
func Lines(first, n int) []byte {
	var out []byte
	for i := range n {
		serial := firstSerial + first + i
		out = fmt.Appendf(out, "type=SYSCALL msg=audit(1700000000.123:%d): arch=c000003e syscall=257 success=yes exit=3", serial)
		if pad := serial % 7 * 40; pad > 0 {
			out = append(out, " comm="...)
			out = append(out, bytes.Repeat([]byte{byte('a' + serial%26)}, pad)...)
		}
		out = append(out, '\n')
	}
	return out
}

// Batches cuts data, a stream as auditd writes it, into batches: as a Splitter
// gives them when chunk bytes are read at a time, and what the end of the
// stream leaves. The batches own their buffers.
func Batches(data []byte, chunk int) []record.Batch {
	var out []record.Batch
	s := stream.NewSplitter()
	keep := func(b record.Batch) {
		if len(b.Recs) > 0 {
			out = append(out, own(b))
		}
	}
	var b record.Batch
	for len(data) > 0 {
		n := copy(s.Space(), data[:min(chunk, len(data))])
		s.Cut(&b, n)
		keep(b)
		data = data[n:]
	}
	s.End(&b)
	keep(b)
	return out
}

// own copies a batch and the part of its buffer that it needs.
func own(b record.Batch) record.Batch {
	recs := slices.Clone(b.Recs)
	base, end := recs[0].Off, recs[0].Off
	for i := range recs {
		end = max(end, recs[i].Off+recs[i].Len)
		recs[i].Off -= base
	}
	return record.Batch{Buf: bytes.Clone(b.Buf[base:end]), Recs: recs}
}

// OddLines is a string stream of what a well-behaved auditd does not send:
// control bytes, invalid UTF-8, lines without a header, empty lines.
func OddLines() []byte {
	odd := []string{
		"type=USER_CMD msg=audit(1700000000.123:77): pid=1 cmd=\x00\x00\x00 res=1",
		"type=SYSCALL msg=audit(1700000000.123:78): auid=0\x1dAUID=\"root\" UID=\"root\"",
		"type=USER msg=audit(1700000000.123:79): msg='a\x1db\x1dc'\x1d",
		"node=\xff\xfe type=CWD msg=audit(1700000000.123:80): cwd=\"\xc3\x28\x80\"",
		"type=SYSCALL msg=audit(nonsense",
		"<13>1 - - - - - \r\t\x1b[31m\x7f",
		"%s%n%d",
		"",
		"",
		"x",
		"type=EOE msg=audit(1700000000.123:81): ",
	}
	return append([]byte(strings.Join(odd, "\n")+"\n"), Lines(1000, 3)...)
}

// OddFrames is a binary stream of version 0 and 1 frames with such payloads,
// newlines in them, and the longest auditd sends.
func OddFrames() []byte {
	const (
		syscall = 1300
		cwd     = 1307
		unknown = 0xFFFFFFFF
	)
	long := []byte("audit(1700000000.123:90): a0=")
	long = append(long, bytes.Repeat([]byte{'x'}, stream.MaxPayload-len(long))...)

	var out []byte
	frame := func(ver, typ uint32, payload string) { out = stream.AppendFrame(out, ver, typ, []byte(payload)) }
	frame(0, syscall, "audit(1700000000.123:88): arch=c000003e syscall=59\nitems=2 ")
	frame(1, syscall, "type=SYSCALL msg=audit(1700000000.123:88): arch=c000003e\x1dARCH=x86_64")
	frame(1, unknown, "node=far type=STRANGE msg=audit(1700000000.123:89): a=\x00\xff")
	frame(0, cwd, string(long))
	frame(0, unknown, "audit(1700000000.123:91): \x00\n\x1d\n")
	for i := range 50 {
		frame(uint32(i%2), syscall, []string{
			fmt.Sprintf("audit(1700000001.000:%d): a", 100+i),
			fmt.Sprintf("type=SYSCALL msg=audit(1700000001.000:%d): a", 100+i)}[i%2])
	}
	return out
}

// LongLine is a line of n bytes, newline included, between two short ones: it
// comes in pieces.
func LongLine(n int) []byte {
	out := Lines(2000, 1)
	long := []byte("type=USER msg=audit(1700000000.123:95): msg=")
	for len(long) < n-1 {
		long = append(long, byte('A'+len(long)%53))
	}
	out = append(out, append(long[:n-1], '\n')...)
	return append(out, Lines(2001, 1)...)
}

// Records counts the records in batches as a queue does, pieces of one line once.
func Records(batches []record.Batch) (n uint64) {
	for _, b := range batches {
		for i := range b.Recs {
			if b.Recs[i].Flags&record.Cont == 0 {
				n++
			}
		}
	}
	return n
}

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
