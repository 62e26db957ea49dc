package engine

import (
	"testing"
	"time"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// BenchmarkBatch measures what a batch costs before it is sent: identities, compression and the
// journal.
func BenchmarkBatch(b *testing.B) {
	batches := sinktest.Batches(sinktest.Lines(0, 1000), 64<<10)
	for name, zstd := range map[string]bool{"zstd": true, "none": false} {
		b.Run(name, func(b *testing.B) {
			j, _, err := openJournal(b.TempDir(), 64<<20, time.Hour)
			if err != nil {
				b.Fatal(err)
			}
			defer j.close()
			w := builder{enc: format.Encoder{}}
			if zstd {
				w.zip = newZip()
			}
			b.ReportAllocs()
			n, seq := 0, uint64(1)
			for b.Loop() {
				w.reset()
				for _, batch := range batches {
					w.add(batch, seq)
					n += len(batch.Recs)
				}
				out := w.batch(testBatch(1, 1, "").Header, seq)
				if err := j.append(out); err != nil {
					b.Fatal(err)
				}
				seq += out.Header.Count
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}
