package otlp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	assembler "audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// wholeEvents returns a capture as a queue gives it to the sink: whole events, some 64 KiB at once.
func wholeEvents(b testing.TB, name string) (batches []record.Batch, records int) {
	var next record.Batch
	flush := func() {
		if len(next.Recs) > 0 {
			batches = append(batches, next)
			next = record.Batch{}
		}
	}
	asm := assembler.NewAssembler(assembler.AssemblerOptions{Out: func(from *record.Batch) {
		for i := range from.Recs {
			rec := from.Recs[i]
			rec.Off = uint32(len(next.Buf))
			next.Buf = append(next.Buf, from.Bytes(i)...)
			next.Recs = append(next.Recs, rec)
			records++
		}
		if len(next.Buf) >= 60<<10 && next.Recs[len(next.Recs)-1].Flags&record.End != 0 {
			flush()
		}
	}})
	for _, batch := range sinktest.Batches(captures.Read(b, name), 32<<10) {
		asm.Add(&batch, time.UnixMilli(batch.Recs[len(batch.Recs)-1].Millis))
	}
	asm.Flush()
	flush()
	return batches, records
}

// BenchmarkEncode is what the sink does with a capture but for sending it; the ns are of CPU a record.
func BenchmarkEncode(b *testing.B) {
	for _, c := range []struct {
		name, compression string
		enc               format.Encoder
	}{
		{"string to protobuf", "none", format.Encoder{Format: format.String}},
		{"json alone", "", jsonFormat()},
		{"json to protobuf", "none", jsonFormat()},
		{"json to protobuf, gzip", "gzip", jsonFormat()},
		{"json to protobuf, zstd", "zstd", jsonFormat()},
	} {
		b.Run(c.name, func(b *testing.B) {
			batches, records := wholeEvents(b, "audit-3.0.9-enriched.string.gz")
			m, p := newMessage(testIdentity, false), packer{kind: c.compression}
			var events []event
			var plain, packed []byte
			size := 0
			b.ReportAllocs()
			cpu := lab.OwnCPU(b)
			for b.Loop() {
				size = 0
				for i := range batches {
					out := c.enc.Encode(batches[i])
					if c.compression == "" {
						size += len(out.Bytes)
						continue
					}
					events = cutEvents(events[:0], &batches[i], &out)
					m.fill(&batches[i], events)
					var err error
					if plain, err = m.encode(plain[:0]); err == nil {
						packed, err = p.pack(packed[:0], plain)
					}
					if err != nil {
						b.Fatal(err)
					}
					size += len(packed)
				}
			}
			b.ReportMetric(float64(lab.OwnCPU(b)-cpu)/float64(b.N)/float64(records), "cpu-ns/record")
			b.ReportMetric(float64(size)/float64(records), "B/record")
			b.ReportMetric(float64(records), "records/op")
		})
	}
}

// BenchmarkSend is the way from the queue's batches to a receiver in this process that reads requests and
// throws them away; the ns are of CPU of both sides, a record. That of RELP is in sinks/syslog
// (BenchmarkTransports).
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct {
		name, compression string
		enc               format.Encoder
	}{
		{"string, none", "none", format.Encoder{Format: format.String}},
		{"string, gzip", "gzip", format.Encoder{Format: format.String}},
		{"json, gzip", "gzip", jsonFormat()},
		{"json, zstd", "zstd", jsonFormat()},
	} {
		b.Run(c.name, func(b *testing.B) {
			batches, records := wholeEvents(b, "audit-3.0.9-enriched.string.gz")
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
				_, _ = io.Copy(io.Discard, q.Body)
			}))
			defer server.Close()
			w := newWriter(settings(b, server.URL, func(cfg *Config) { cfg.Compression = c.compression }), c.enc)
			defer w.Close()
			cpu := lab.OwnCPU(b)
			for b.Loop() {
				for _, batch := range batches {
					if n, err := w.Write(b.Context(), batch); n != len(batch.Recs) || err != nil {
						b.Fatal(n, err)
					}
				}
			}
			b.ReportMetric(float64(lab.OwnCPU(b)-cpu)/float64(b.N)/float64(records), "cpu-ns/record")
		})
	}
}
