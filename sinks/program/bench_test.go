package program

import (
	"context"
	"testing"

	"go.uber.org/zap"

	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// BenchmarkCat is 20 000 records through a child that only reads.
func BenchmarkCat(b *testing.B) {
	lines := sinktest.Lines(0, 20_000)
	batches := sinktest.Batches(lines, 60<<10)
	b.SetBytes(int64(len(lines)))
	s := New(settings("/bin/sh", 0, "-c", "exec cat > /dev/null"), format.Encoder{}, zap.NewNop())
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1 << 16, Bytes: 64 << 20, Hold: true, Lossless: true}})
	done := make(chan struct{})
	go func() { s.Run(context.Background(), q); close(done) }()
	for b.Loop() {
		for i := range batches {
			q.Put(&batches[i])
		}
	}
	q.Close()
	<-done
}
