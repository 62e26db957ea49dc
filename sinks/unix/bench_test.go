package unix

import (
	"io"
	"testing"

	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// BenchmarkClient carries records of some 200 bytes from the queue through one
// client that reads as fast as it can. ns/op and allocs/op are a record's, Put
// and the client's reading included.
func BenchmarkClient(b *testing.B) {
	cfg := settings(sock(b))
	qc := queue.Config{Depth: 2048, Bytes: 32 << 20, Lossless: true}
	rig := startIn(b, format.String, DefaultSendBuffer, cfg, qc)
	conn := rig.dial()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 256<<10)
		for {
			if _, err := conn.Read(buf); err == io.EOF || err != nil {
				return
			}
		}
	}()
	lines := sinktest.Lines(0, 300)
	batches := sinktest.Batches(lines, len(lines))
	b.SetBytes(int64(len(lines) / 300))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 300 {
		for i := range batches {
			rig.queue.Put(&batches[i])
		}
	}
	rig.queue.Close()
	rig.wait()
	<-done
}
