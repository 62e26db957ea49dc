package file

import (
	"context"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// BenchmarkWrite is the cost of a record that comes in a full batch, into a file
// that is rotated at 64 MiB.
func BenchmarkWrite(b *testing.B) {
	cfg := settings(filepath.Join(b.TempDir(), "events.log"), nil)
	cfg.Settings.(*Config).MaxSize, cfg.Settings.(*Config).MaxFiles = 64<<20, 2
	w := newWriter(cfg, format.Encoder{}, zap.NewNop(), osFS{})
	defer w.Close()
	batch := one(sinktest.Lines(0, 250))
	b.ReportAllocs()
	records := 0
	for b.Loop() {
		for rest := batch; len(rest.Recs) > 0; {
			n, err := w.Write(context.Background(), rest)
			if err != nil || n == 0 {
				b.Fatal(n, err)
			}
			rest.Recs = rest.Recs[n:]
		}
		records += len(batch.Recs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
}
