package event

import (
	"testing"
	"time"

	"audisp-relay/stream"
)

// BenchmarkObserve shows what watching costs a record; the serials of each round
// are moved on, as the stream's would be.
func BenchmarkObserve(b *testing.B) {
	for _, name := range []string{"audit-3.0.9-raw.string.gz", "audit-3.0.9-enriched.string.gz", "audit-3.0.9-node.string.gz", "audit-3.0.9-raw.binary.gz"} {
		b.Run(name, func(b *testing.B) {
			in := capture(b, name)
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
				now := epoch.Add(time.Duration(n) * time.Second)
				tr.Due(now)
				for from := 0; from < len(in.Recs); from += 100 { // as read(2) brings them
					part := stream.Batch{Buf: in.Buf, Recs: in.Recs[from:min(from+100, len(in.Recs))]}
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
