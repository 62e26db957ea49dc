package ecs

import (
	"encoding/json"
	"testing"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// Both ways over the same events, those of a capture: 172 events of 5.6 records.

func BenchmarkEvent(b *testing.B) {
	batch, ends := group(parse(b, string(captures.Read(b, "audit-3.0.9-enriched.string.gz"))))
	e := New(Options{})
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(batch.Buf) / len(ends)))
	defer reportCPU(b)()
	for n := 0; b.Loop(); n++ {
		k := n % len(ends)
		i := 0
		if k > 0 {
			i = ends[k-1]
		}
		buf = e.AppendEvent(buf[:0], batch, i, ends[k])
	}
}

func BenchmarkAucoalesceAlone(b *testing.B)      { benchmarkAlone(b, false) }
func BenchmarkAucoalesceAndMarshal(b *testing.B) { benchmarkAlone(b, true) }

// benchmarkAlone parses and coalesces, and as auditbeat must, writes JSON. The names
// are cut off before, without which the library goes wrong.
func benchmarkAlone(b *testing.B, marshal bool) {
	batch, ends := group(parse(b, string(captures.Read(b, "audit-3.0.9-enriched.string.gz"))))
	var msgs []*auparse.AuditMessage
	b.ReportAllocs()
	b.SetBytes(int64(len(batch.Buf) / len(ends)))
	defer reportCPU(b)()
	for n := 0; b.Loop(); n++ {
		k := n % len(ends)
		i := 0
		if k > 0 {
			i = ends[k-1]
		}
		msgs = msgs[:0]
		for ; i < ends[k]; i++ {
			r := record.Parse(batch, i)
			msg, err := auparse.Parse(auparse.AuditMessageType(r.Type), "audit("+string(r.ID)+"): "+string(r.Body))
			if err != nil {
				b.Fatal(err)
			}
			msgs = append(msgs, msg)
		}
		ev, err := aucoalesce.CoalesceMessages(msgs)
		if err != nil {
			b.Fatal(err)
		}
		if marshal {
			if _, err := json.Marshal(ev); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// reportCPU reports the processor time of an event, all goroutines' and so the garbage
// collector's: other programs do not disturb that.
func reportCPU(b *testing.B) func() {
	before := lab.OwnCPU(b)
	return func() { b.ReportMetric(float64(lab.OwnCPU(b)-before)/float64(b.N), "cpu-ns/op") }
}
