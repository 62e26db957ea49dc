package json

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// eventOf returns the first event of a capture that has these records.
func eventOf(t testing.TB, name, types string) (b record.Batch) {
	t.Helper()
	audittest.Events(t, captures.Read(t, name), func(from *record.Batch, i, j int) {
		var have []string
		for n := i; n < j; n++ {
			have = append(have, string(typeName(from.Recs[n].Type)))
		}
		if b.Recs != nil || strings.Join(have, " ") != types {
			return
		}
		b = copyOf(from, i, j)
	})
	if b.Recs == nil {
		t.Fatalf("%s has no event of %s", name, types)
	}
	return b
}

const opened = "SYSCALL CWD PATH PROCTITLE EOE"

func BenchmarkAppendEvent(b *testing.B) {
	for _, c := range []struct{ name, capture, types string }{
		{"open", "audit-3.0.9-enriched.string.gz", opened},
		{"open raw", "audit-3.0.9-raw.string.gz", opened},
		{"exec", "audit-3.0.9-enriched.string.gz", "SYSCALL EXECVE CWD PATH PATH PROCTITLE EOE"},
		{"connect", "audit-3.0.9-enriched.string.gz", "SYSCALL SOCKADDR PROCTITLE EOE"},
		{"login", "audit-3.0.9-enriched.string.gz", "USER_AUTH"},
	} {
		b.Run(c.name, func(b *testing.B) {
			batch := eventOf(b, c.capture, c.types)
			e := New(Options{})
			var out []byte
			b.ReportAllocs()
			cpu := lab.OwnCPU(b)
			for b.Loop() {
				out = e.AppendEvent(out[:0], &batch, 0, len(batch.Recs))
			}
			b.ReportMetric(float64(lab.OwnCPU(b)-cpu)/float64(b.N), "cpu-ns/event")
			b.ReportMetric(float64(len(batch.Buf)), "B/event-in")
			b.ReportMetric(float64(len(out)), "B/event-out")
		})
	}
}

// BenchmarkCapture encodes the events of captures in their order: all but those with an
// EXECVE record, as the bulk stream of bench/ leaves them out.
func BenchmarkCapture(b *testing.B) {
	for _, c := range []struct {
		what, name string
		o          Options
	}{
		{"enriched", "audit-3.0.9-enriched", Options{}},
		{"raw", "audit-3.0.9-raw", Options{}},
		{"raw, names looked up", "audit-3.0.9-raw", Options{Users: fakeUsers{}}},
	} {
		b.Run(c.what, func(b *testing.B) {
			var batch record.Batch
			var ends []int
			audittest.Events(b, captures.Read(b, c.name+".string.gz"), func(from *record.Batch, i, j int) {
				for n := i; n < j; n++ {
					if from.Recs[n].Type == record.TypeExecve {
						return
					}
				}
				for ; i < j; i++ {
					rec := from.Recs[i]
					rec.Off = uint32(len(batch.Buf))
					batch.Buf = append(batch.Buf, from.Bytes(i)...)
					batch.Recs = append(batch.Recs, rec)
				}
				ends = append(ends, len(batch.Recs))
			})
			e := New(c.o)
			var out []byte
			b.ReportAllocs()
			cpu := lab.OwnCPU(b)
			for b.Loop() {
				out = out[:0]
				i := 0
				for _, j := range ends {
					out = e.AppendEvent(out, &batch, i, j)
					i = j
				}
			}
			b.ReportMetric(float64(lab.OwnCPU(b)-cpu)/float64(b.N)/float64(len(ends)), "cpu-ns/event")
			b.ReportMetric(float64(len(out))/float64(len(ends)), "B/event-out")
		})
	}
}

// BenchmarkValid is what encoding/json takes to look over the same line.
func BenchmarkValid(b *testing.B) {
	batch := eventOf(b, "audit-3.0.9-enriched.string.gz", opened)
	line := New(Options{}).AppendEvent(nil, &batch, 0, len(batch.Recs))
	cpu := lab.OwnCPU(b)
	for b.Loop() {
		stdjson.Valid(line)
	}
	b.ReportMetric(float64(lab.OwnCPU(b)-cpu)/float64(b.N), "cpu-ns/event")
}
