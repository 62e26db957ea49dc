package nats

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
	servers "audisp-relay/test/engine"
)

// BenchmarkRecords measures how many records a host delivers to one server and to a cluster of
// three, all of which sync each message, as fast as they are acknowledged.
func BenchmarkRecords(b *testing.B) {
	for _, replicas := range []int{1, 3} {
		b.Run(fmt.Sprint("R", replicas), func(b *testing.B) {
			cluster := servers.StartNATS(b, replicas, "")
			servers.NewAdmin(b, cluster.URLs()).Make(servers.Records(replicas))
			c := testConfig(cluster.URLs()...)
			s := newSink(config.Sink{Name: "fleet", Format: "string", Settings: c, StateDir: b.TempDir()}, format.Encoder{}, newHostID(), zap.NewNop())
			q := queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true}})
			defer q.Shutdown()
			stop := runSink(s, q)
			defer stop()
			batches := sinktest.Batches(sinktest.Lines(0, 10_000), 64<<10)
			b.ResetTimer()
			began, n := time.Now(), 0
			for range b.N {
				for i := range batches {
					q.Put(&batches[i])
					n += len(batches[i].Recs)
				}
			}
			for q.Counts().Queued > 0 {
				time.Sleep(time.Millisecond)
			}
			took, counts := time.Since(began), s.Counts()
			b.ReportMetric(float64(n)/took.Seconds(), "records/s")
			b.ReportMetric(float64(counts.Ack.Microseconds())/1000, "ms/ack")
			b.ReportMetric(float64(counts.BatchSize)/1024, "KiB/batch")
			b.ReportMetric(0, "ns/op")
		})
	}
}
