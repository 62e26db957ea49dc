package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// lineReader reads frames as audisp-af_unix of audit 4.0.5 does: up to a newline, or so many bytes.
func lineReader(b []byte) (frames [][]byte) {
	for len(b) > 0 {
		n := min(len(b), stream.HeaderSize+stream.MaxPayload)
		if k := bytes.IndexByte(b[:n], '\n'); k >= 0 {
			n = k + 1
		}
		frames = append(frames, b[:n])
		b = b[n:]
	}
	return frames
}

// TestPaddedFramesSurviveAReaderOfLines: records of every length and type come out of a reader of lines whole.
func TestPaddedFramesSurviveAReaderOfLines(t *testing.T) {
	enc := Encoder{Format: Binary, Padded: func() bool { return true }}
	for size := 30; size < 9100; size++ {
		for _, typ := range []uint32{1300, 1290, 1802, 0xA0A} {
			if size%50 != 0 && typ != 1300 && size > 300 {
				continue
			}
			text := fmt.Sprintf("audit(1.000:%d): x\ny ", size)
			text += strings.Repeat("z", size-len(text))
			b := record.Batch{Buf: []byte(text), Recs: []record.Record{{Len: uint32(size), Kind: record.Ver0, Type: typ}}}
			out := enc.Encode(b)
			var got string
			for _, f := range lineReader(out.Bytes) {
				if len(f) != stream.HeaderSize+stream.MaxPayload {
					t.Fatalf("size %d, type %d: a frame of %d bytes", size, typ, len(f))
				}
				part, _, _ := strings.Cut(string(f[stream.HeaderSize:][:binary.NativeEndian.Uint32(f[12:])]), "\x00")
				got += part
				if ver, number := binary.NativeEndian.Uint32(f), binary.NativeEndian.Uint32(f[8:]); ver == 0 && number != typ {
					t.Fatalf("size %d: type %d, want %d", size, number, typ)
				}
			}
			want := strings.ReplaceAll(text, "\n", " ")
			if hasNewline(typ) {
				want = "type=" + string(record.AppendTypeName(nil, typ)) + " msg=" + want
			}
			if got != want {
				t.Fatalf("size %d, type %d: %.80q, want %.80q", size, typ, got, want)
			}
		}
	}
}

// TestPaddedBatchIsBounded: a batch of small records does not become hundreds of times its size.
func TestPaddedBatchIsBounded(t *testing.T) {
	asked := 0
	enc := Encoder{Format: Binary, Padded: func() bool { asked++; return true }}
	var b record.Batch
	for range 100 {
		b.Recs = append(b.Recs, record.Record{Off: uint32(len(b.Buf)), Len: 6, Kind: record.Line})
		b.Buf = append(b.Buf, "short\n"...)
	}
	total := 0
	for len(b.Recs) > 0 {
		out := enc.Encode(b)
		if len(out.Bytes) != out.Len()*(stream.HeaderSize+stream.MaxPayload) || out.Len() > maxPadded {
			t.Fatalf("%d records in %d bytes", out.Len(), len(out.Bytes))
		}
		total += out.Len()
		b.Recs = b.Recs[out.Len():]
	}
	if total != 100 || asked != 1 {
		t.Errorf("%d records, asked %d times", total, asked)
	}
}
