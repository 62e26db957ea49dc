package laurel

import (
	"bytes"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

// FuzzAppendEvent: whatever the records are, the line is valid JSON without a key twice, and
// the encoder remembers nothing of the event before. flags go to the records in turn.
func FuzzAppendEvent(f *testing.F) {
	for _, c := range readExamples(f) {
		f.Add(c.lines, []byte{0})
	}
	for _, name := range captures.Names(f, "*.string.gz") {
		for i, b := range wholeEvents(captures.Read(f, name)) {
			if i%10 == 0 {
				f.Add(b.Buf, []byte{0, record.FromLog, record.Marker})
			}
		}
	}
	f.Add(sinktest.OddLines(), []byte{record.Marker})
	f.Add(sinktest.OddFrames(), []byte{record.NoID})
	used := New(Options{Node: "n\xff\""})
	f.Fuzz(func(t *testing.T, data, flags []byte) {
		for _, b := range sinktest.Batches(data, 64<<10) {
			for i := range b.Recs {
				if len(flags) > 0 {
					b.Recs[i].Flags |= flags[i%len(flags)]
				}
			}
			got := used.AppendEvent(nil, &b, 0, len(b.Recs))
			checkLines(t, got)
			if bytes.Count(got, []byte("\n")) != 1 {
				t.Errorf("not one line: %q", got)
			}
			if again := New(Options{Node: "n\xff\""}).AppendEvent(nil, &b, 0, len(b.Recs)); !bytes.Equal(got, again) {
				t.Errorf("a new encoder says %q, one that was used %q", again, got)
			}
		}
	})
}
