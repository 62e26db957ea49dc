package recovery

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// hungLog is a log whose file system does not answer.
type hungLog struct {
	*auditlog.Reader
	answer chan struct{}
}

func (h hungLog) Next(b *record.Batch) (auditlog.Position, error) {
	<-h.answer
	return h.Reader.Next(b)
}

// TestAHungLogDoesNotStopTheStream: the stream continues without a log that hangs, and loses nothing it
// brought, cut or not.
func TestAHungLogDoesNotStopTheStream(t *testing.T) {
	for _, name := range []string{whole[1], "audit-4.2.1-raw"} {
		t.Run(name, func(t *testing.T) { hang(t, captures.Read(t, name+".string.gz")) })
	}
}

func hang(t *testing.T, input []byte) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := new(collector)
	f := New(Options{Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop()})
	h := hungLog{auditlog.New(path), make(chan struct{})}
	f.log = h
	f.letLogLead(time.Now(), 0, quietTime)
	end := start(f)
	sent := 0
	for f.Show().Bypassed == 0 {
		take(t, f, input, rand.New(rand.NewPCG(1, uint64(sent))))
		sent++
	}
	close(h.answer)
	end()
	f.Finish(time.Now().Add(time.Minute))
	if want := sent * bytes.Count(input, []byte("\n")); len(out.got) != want {
		t.Errorf("%d records, want %d", len(out.got), want)
	}
}

// TestALogThatWasDownGivesNothingTwice: what the stream brought while the log could not be read is
// not given again from it.
func TestALogThatWasDownGivesNothingTwice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	path := filepath.Join(t.TempDir(), "audit.log")
	log := captures.Read(t, whole[1]+".log.gz")
	lines := bytes.SplitAfter(captures.Read(t, whole[1]+".string.gz"), []byte("\n"))
	k := len(lines) / 2
	out := new(collector)
	f := New(Options{Log: auditlog.New(path), Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop(), Static: true})
	f.down = time.Now().Add(time.Hour)
	take(t, f, bytes.Join(lines[:k], nil), rnd)
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
	f.down = time.Time{}
	take(t, f, bytes.Join(append(lines[k:k+20:k+20], lines[k+30:]...), nil), rnd)
	f.Finish(time.Now().Add(time.Minute))
	got, _ := out.lines()
	compare(t, "after the log was down", got, logLines(log), false)
}
