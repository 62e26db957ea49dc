package event

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"audisp-relay/stream"
	"audisp-relay/testdata/captures"
)

// readAll returns all records of a stream in one batch of its own memory.
func readAll(t testing.TB, data []byte) *stream.Batch {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(data))
	all := new(stream.Batch)
	var b stream.Batch
	for {
		err := r.Next(&b)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Recs {
			rec := b.Recs[i]
			rec.Off = uint32(len(all.Buf))
			all.Buf = append(all.Buf, b.Bytes(i)...)
			all.Recs = append(all.Recs, rec)
		}
	}
}

// capture returns the records of a capture; those of a log are marked FromLog.
func capture(t testing.TB, name string) *stream.Batch {
	t.Helper()
	b := readAll(t, captures.Read(t, name))
	if len(b.Recs) < 500 {
		t.Fatalf("%s: %d records only", name, len(b.Recs))
	}
	if isLog(name) {
		for i := range b.Recs {
			b.Recs[i].Flags |= stream.FromLog
		}
	}
	return b
}

func isLog(name string) bool { return bytes.HasSuffix([]byte(name), []byte(".log.gz")) }

// lines makes a batch of lines.
func lines(t testing.TB, text string) *stream.Batch {
	t.Helper()
	return readAll(t, []byte(text))
}

var epoch = time.Unix(1_800_000_000, 0)

// only returns the records of b that keep says, in the same buffer.
func only(b *stream.Batch, keep func(i int) bool) *stream.Batch {
	out := &stream.Batch{Buf: b.Buf}
	for i := range b.Recs {
		if keep(i) {
			out.Recs = append(out.Recs, b.Recs[i])
		}
	}
	return out
}

func TestCapturesAreWithoutFault(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		if bytes.HasPrefix([]byte(name), []byte("audit-4.2.1-raw")) && !isLog(name) {
			continue
		}
		b := capture(t, name)
		tr := NewTracker(Options{})
		if n := tr.Observe(b, epoch); n != len(b.Recs) {
			t.Errorf("%s: record %d looks cut: %q", name, n, b.Bytes(n))
			continue
		}
		if got := tr.Due(epoch.Add(time.Hour)); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
		c := tr.Counts()
		c.Nodes = 0
		if c != (Counts{}) {
			t.Errorf("%s: %+v", name, c)
		}
		for i := range b.Recs {
			b.Recs[i].Flags &^= stream.FromLog
			if Cut(b, i) {
				t.Errorf("%s: Cut(%q)", name, b.Bytes(i))
			}
		}
	}
}

func TestEveryKernelRecordOf421RawIsCut(t *testing.T) {
	for _, name := range captures.Names(t, "audit-4.2.1-raw.[sb]*.gz") {
		b := capture(t, name)
		seen := 0
		for i := range b.Recs {
			kernel := b.Recs[i].Type/100 != 12
			if got := Cut(b, i); got != kernel {
				t.Errorf("%s: Cut is %v of %q", name, got, b.Bytes(i))
			}
			if kernel {
				seen++
			}
		}
		if seen < 500 {
			t.Errorf("%s: %d kernel records", name, seen)
		}
	}
}
