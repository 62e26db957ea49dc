package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestContinueDropsWhatIsLeftOfARecord cuts a stream at every byte, has one Reader read up to there and another go on: what the
// second gives is whole records, all of those that begin after the cut.
func TestContinueDropsWhatIsLeftOfARecord(t *testing.T) {
	var lines, frames []byte
	var begins [2][]int
	for n := range 6 {
		line := fmt.Sprintf("type=SYSCALL msg=audit(1700000000.%03d:%d): arch=c000003e %s", n, 100+n, strings.Repeat("x", 7*n))
		begins[0] = append(begins[0], len(lines))
		lines = append(append(lines, line...), '\n')
		begins[1] = append(begins[1], len(frames))
		frames = AppendFrame(frames, 1, 1300, []byte(line))
	}
	for kind, text := range [][]byte{lines, frames} {
		for cut := 1; cut < len(text); cut++ {
			before := NewReader(bytes.NewReader(text[:cut]))
			var b record.Batch
			_ = before.Next(&b) // some records, or none yet
			framing := before.Framing()
			if framing == "" {
				continue // too little to say
			}
			want := 0
			for _, begin := range begins[kind] {
				if begin >= cut {
					want++
				}
			}
			got := readAll(t, text[cut:], framing)
			if len(got) != want {
				t.Errorf("kind %d cut at %d (%s): %d records, want %d: %q", kind, cut, framing, len(got), want, got)
			}
			for _, rec := range got {
				if !bytes.Contains(text, []byte(rec)) || !strings.HasPrefix(rec, "type=") {
					t.Errorf("cut at %d: a part of a record: %q", cut, rec)
				}
			}
		}
	}
}

// readAll returns the records that a Reader gives which goes on in the middle of a stream.
func readAll(t *testing.T, text []byte, f Framing) (list []string) {
	t.Helper()
	r := NewReader(bytes.NewReader(text))
	r.Continue(f)
	var b record.Batch
	for {
		err := r.Next(&b)
		for _, rec := range b.Recs {
			list = append(list, string(b.Buf[rec.Off:rec.Off+rec.Len]))
		}
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestContinueDropsALineWithoutEnd: however long what is left of it is, and if it never ends.
func TestContinueDropsALineWithoutEnd(t *testing.T) {
	whole := "type=SYSCALL msg=audit(1700000000.000:1): a=b\n"
	long := strings.Repeat("y", 3*record.MaxRecord)
	if got := readAll(t, []byte(long+"\n"+whole), "lines"); len(got) != 1 || got[0] != whole {
		t.Errorf("after a long line: %d records", len(got))
	}
	for _, rest := range []string{"rest", long} {
		if got := readAll(t, []byte(rest), "lines"); len(got) != 0 {
			t.Errorf("of a line that does not end: %.40q", got)
		}
	}
	if got := readAll(t, []byte("rest\n"+whole), ""); len(got) != 2 {
		t.Errorf("without a framing nothing is dropped: %q", got)
	}
}

// TestRestOfARecordAtTheEndIsCounted, also where the stream is over within it.
func TestRestOfARecordAtTheEndIsCounted(t *testing.T) {
	for _, text := range []string{"", "arch=c000003e exe=\"/x\"", strings.Repeat("x", 100_000), "exe=\"/x\"\n"} {
		for _, f := range []Framing{"lines", "exact", "fixed"} {
			r := NewReader(strings.NewReader(text))
			r.Continue(f)
			var b record.Batch
			for {
				err := r.Next(&b)
				if len(b.Recs) > 0 {
					t.Errorf("%.20q as %s: a part of a record: %q", text, f, b.Bytes(0))
				}
				if err != nil {
					break
				}
			}
			if n := r.Counts().Junk; n != uint64(len(text)) {
				t.Errorf("%.20q as %s: %d bytes are counted of %d", text, f, n, len(text))
			}
		}
	}
}
