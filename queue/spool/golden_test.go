package spool

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// goldenBatch has each kind and each flag, and numbers in which every byte differs.
func goldenBatch() *record.Batch {
	b := new(record.Batch)
	add := func(kind record.Kind, flags uint8, nodeLen uint16, text string) {
		n := uint32(len(b.Recs))
		b.Recs = append(b.Recs, record.Record{Off: uint32(len(b.Buf)), Len: uint32(len(text)), Type: 0x01020304 + n, Serial: 0x11121314 + n,
			Millis: 0x2122232425262728 + int64(n), Kind: kind, Flags: flags, NodeLen: nodeLen})
		b.Buf = append(b.Buf, text...)
	}
	for k, kind := range []record.Kind{record.Line, record.Ver0, record.Ver1, record.Junk} {
		add(kind, 0, 0, string(rune('a'+k)))
	}
	for k, flag := range []uint8{record.NoID, record.Open, record.Cont, record.FromLog, record.Late, record.Marker, record.End, record.Partial} {
		add(record.Line, flag, 0, string(rune('A'+k)))
	}
	add(record.Line, 0, 1, "node=n type=X")
	return b
}

// TestGoldenFrame: the bytes of a frame, as testdata/frame.hex has them, are written and read so.
// They are on users' disks: where they change, version 1 must still be read.
func TestGoldenFrame(t *testing.T) {
	b := goldenBatch()
	h := header{file: 0x41424344, salt: 0x51525354, run: 0x71727374, seq: 0x8182838485868788, before: 0x9192939495969798, whole: 0xa1a2a3a4a5a6a7a8,
		Frame: Frame{off: 0x61626364, First: 0x3132333435363738}}
	frame, err := appendFrame(nil, &h, b)
	if err != nil {
		t.Fatal(err)
	}
	h.put(frame)

	text, err := os.ReadFile("testdata/frame.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden := make([]byte, 0, len(text)/2)
	for line := range strings.Lines(string(text)) {
		part, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		golden = append(golden, part...)
	}
	if string(frame) != string(golden) {
		t.Errorf("a frame is written as\n%s", hex.Dump(frame))
	}

	got, ok := parseHeader(golden)
	if !ok || got.First != h.First || got.Records != uint32(len(b.Recs)) {
		t.Fatalf("the header is read as %+v, %v", got, ok)
	}
	meta := golden[headerSize : headerSize+len(b.Recs)*metaSize]
	recs, ok := parseMeta(nil, meta, got.Bytes)
	if !ok || !slices.Equal(recs, b.Recs) {
		t.Errorf("the records are read as %+v, %v", recs, ok)
	}
}
