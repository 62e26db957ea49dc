package recovery

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// TestEndBeforeTheLogIsRead: a stream of damaged records that ends before the log was read is
// left to the next run, which is kept in front of what is missing; where no next run will know
// of that, the records are given as they came.
func TestEndBeforeTheLogIsRead(t *testing.T) {
	log := captures.Read(t, "audit-4.2.1-raw.log.gz")
	input := captures.Read(t, "audit-4.2.1-raw.string.gz")
	for name, end := range map[string]func(*Merger){
		"no time at all":     (*Merger).Force,
		"no time to read it": func(f *Merger) { f.Finish(time.Now().Add(-time.Second)) },
	} {
		for _, resuming := range []bool{true, false} {
			for _, saves := range []bool{true, false} {
				path := filepath.Join(t.TempDir(), "audit.log")
				if err := os.WriteFile(path, log, 0o600); err != nil {
					t.Fatal(err)
				}
				out := new(collector)
				f := New(Options{Log: auditlog.New(path), Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop(), Saves: func() bool { return saves }})
				if resuming {
					f.Begin()
				} else {
					f.letLogLead(time.Now(), 0, quietTime)
				}
				take(t, f, input, rand.New(rand.NewPCG(1, 2)))
				end(f)
				after := time.Now()
				if resuming {
					f.Resume([]Resumed{{Name: "late", Put: func(b *record.Batch) { out.Put(b) }}}) // it had hung
				}
				got, _ := out.lines()
				switch {
				case !saves && len(got) < strings.Count(string(input), "\n")/2:
					t.Errorf("%s, resuming %v: %d records given, but no next run knows where to resume", name, resuming, len(got))
				case saves && len(got) > 0:
					t.Errorf("%s, resuming %v: %d damaged records given, the first is %.100q", name, resuming, len(got), got[0])
				case saves && (f.Doubt().IsZero() || f.Doubt().After(after)):
					t.Errorf("%s, resuming %v: doubt since %v", name, resuming, f.Doubt())
				}
			}
		}
	}
}
