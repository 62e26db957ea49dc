package integrity

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// BenchmarkObserve shows what watching costs a record; the serials of each round
// are moved on, as the stream's would be.
func BenchmarkObserve(b *testing.B) {
	for _, name := range []string{"audit-3.0.9-raw.string.gz", "audit-3.0.9-enriched.string.gz", "audit-3.0.9-node.string.gz", "audit-3.0.9-raw.binary.gz", "audit-3.0.9-enriched.string.gz without EXECVE"} {
		b.Run(name, func(b *testing.B) {
			name, noExec := strings.CutSuffix(name, " without EXECVE")
			in := audittest.Capture(b, name)
			if noExec {
				in = audittest.WithoutExecs(in)
			}
			in = dense(in)
			low, high := ^uint32(0), uint32(0)
			for i := range in.Recs {
				if r := &in.Recs[i]; counts(r) {
					low, high = min(low, r.Serial), max(high, r.Serial)
				}
			}
			tr := NewTracker(Options{})
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(in.Recs) {
				for i := range in.Recs {
					in.Recs[i].Serial += high - low + 1
				}
				now := audittest.Epoch.Add(time.Duration(n) * time.Second)
				tr.Due(now)
				for from := 0; from < len(in.Recs); from += 100 { // as read(2) brings them
					part := record.Batch{Buf: in.Buf, Recs: in.Recs[from:min(from+100, len(in.Recs))]}
					if k := tr.Observe(&part, now); k != len(part.Recs) {
						b.Fatalf("record %d is cut", from+k)
					}
				}
			}
			b.StopTimer()
			if c := tr.Counts(); c.Holes != 0 {
				b.Fatalf("%+v", c)
			}
		})
	}
}

// dense returns b with new serials, one after another, in the text as well.
func dense(b *record.Batch) *record.Batch {
	const first = 1_000_000_000 // no more digits in the rounds to come
	out := new(record.Batch)
	serials := make(map[uint32]uint32)
	for i := range b.Recs {
		r, text := b.Recs[i], b.Bytes(i)
		if counts(&r) {
			if serials[r.Serial] == 0 {
				serials[r.Serial] = uint32(first + len(serials))
			}
			r.Serial = serials[r.Serial]
			from := bytes.Index(text, []byte("audit("))
			from += bytes.IndexByte(text[from:], ':') + 1
			to := from + bytes.IndexByte(text[from:], ')')
			text = fmt.Appendf(nil, "%s%d%s", text[:from], r.Serial, text[to:])
			r.Head = uint16(from + bytes.IndexByte(text[from:], ')') + 1)
		}
		r.Off, r.Len = uint32(len(out.Buf)), uint32(len(text))
		out.Buf = append(out.Buf, text...)
		out.Recs = append(out.Recs, r)
	}
	return out
}
