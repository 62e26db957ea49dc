package top

import (
	"fmt"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// BenchmarkObserve shows what the reader pays for a record, at three rates of records a second.
func BenchmarkObserve(b *testing.B) {
	all := audittest.Capture(b, "audit-3.0.9-enriched.string.gz")
	for _, c := range []struct{ rate, batch int }{{1_000, 5}, {15_000, 30}, {500_000, 600}} {
		b.Run(fmt.Sprint(c.rate), func(b *testing.B) {
			b.ReportAllocs()
			m := New(Self{})
			now, n := m.started, 0
			for b.Loop() {
				batches(all, c.batch, func(batch *record.Batch) {
					now = now.Add(time.Second * time.Duration(len(batch.Recs)) / time.Duration(c.rate))
					m.Observe(batch, now)
					if m.filling.half() {
						m.filling.reset()
					}
				})
				n += len(all.Recs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}

// BenchmarkCount shows what counting a picked event costs, in its own goroutine.
func BenchmarkCount(b *testing.B) {
	all := audittest.Capture(b, "audit-3.0.9-enriched.string.gz")
	m := New(Self{})
	m.sampler.fixed = true
	m.sampler.setEvery(5)
	b.ReportAllocs()
	for b.Loop() {
		batches(all, 100, func(batch *record.Batch) {
			m.Observe(batch, m.started)
			m.count()
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(m.counter.samples), "ns/sample")
}
