package recovery

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

var serialIn = regexp.MustCompile(`(msg=audit\(\d+\.\d+:)(\d+)\)`)

// repeated returns a capture n times, each with serials of its own.
func repeated(data []byte, n int) []byte {
	var out bytes.Buffer
	for k := range n {
		for _, l := range bytes.SplitAfter(data, []byte("\n")) {
			if bytes.HasPrefix(l, []byte("type=DAEMON")) {
				continue
			}
			out.Write(serialIn.ReplaceAllFunc(l, func(m []byte) []byte {
				s := serialIn.FindSubmatch(m)
				v, _ := strconv.Atoi(string(s[2]))
				return fmt.Appendf(nil, "%s%d)", s[1], v+k*400)
			}))
		}
	}
	return out.Bytes()
}

type nowhere struct{}

func (nowhere) Put(*record.Batch)  {}
func (nowhere) Lost(integrity.Gap) {}

// BenchmarkLed shows what a record costs while the log leads.
func BenchmarkLed(b *testing.B) {
	for _, name := range []string{"audit-3.0.9-raw", "audit-3.0.9-enriched", "audit-4.2.1-raw"} {
		b.Run(name, func(b *testing.B) {
			const times = 60
			log, input := repeated(captures.Read(b, name+".log.gz"), times), repeated(captures.Read(b, name+".string.gz"), times)
			path := filepath.Join(b.TempDir(), "audit.log")
			if err := os.WriteFile(path, log, 0o600); err != nil {
				b.Fatal(err)
			}
			records := bytes.Count(input, []byte("\n"))
			b.SetBytes(int64(len(input)))
			b.ResetTimer()
			for range b.N {
				f := New(Options{Log: auditlog.New(path), Tracker: integrity.NewTracker(integrity.Options{}), Out: nowhere{}, Say: zap.NewNop(), Static: true})
				f.letLogLead(time.Now(), 0, time.Hour)
				r := stream.NewReader(bytes.NewReader(input))
				var sb record.Batch
				for r.Next(&sb) == nil {
					f.Take(&sb)
					f.readLogOnce()
				}
				f.Finish(time.Now().Add(time.Minute))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
		})
	}
}

// BenchmarkDirect shows what a record costs while the stream leads.
func BenchmarkDirect(b *testing.B) {
	const name = "audit-3.0.9-enriched"
	input := repeated(captures.Read(b, name+".string.gz"), 60)
	records := bytes.Count(input, []byte("\n"))
	b.ResetTimer()
	for range b.N {
		f := New(Options{Log: auditlog.New("/nonexistent"), Tracker: integrity.NewTracker(integrity.Options{}), Out: nowhere{}, Say: zap.NewNop(), Static: true})
		r := stream.NewReader(bytes.NewReader(input))
		var sb record.Batch
		for r.Next(&sb) == nil {
			f.Take(&sb)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}
