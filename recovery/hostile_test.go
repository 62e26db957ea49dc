package recovery

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// player feeds a model to a Merger, some lines of the log and of the stream at a time.
type player struct {
	m    *model
	f    *Merger
	out  *collector
	log  *os.File
	path string
}

func (m *model) player(t *testing.T, tr *integrity.Tracker, path string) *player {
	t.Helper()
	p := &player{m: m, out: new(collector), path: path}
	p.f = New(Options{Log: auditlog.New(path), Tracker: tr, Out: p.out, Say: zap.NewNop(), Static: true})
	var err error
	if p.log, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.log.Close() })
	return p
}

func (p *player) write(lines []string) {
	if len(lines) > 0 {
		p.log.WriteString(strings.Join(lines, "\n") + "\n")
	}
}

func (p *player) take(t *testing.T, lines []string) {
	if len(lines) > 0 {
		take(t, p.f, []byte(strings.Join(lines, "\n")+"\n"), p.m.rnd)
	}
}

// play brings the log and the stream up to these shares, the log in front.
func (p *player) play(t *testing.T, log, sent []string) {
	rnd := p.m.rnd
	logged, took := 0, 0
	for took < len(sent) || logged < len(log) {
		n := min(len(log), logged+rnd.IntN(200))
		p.write(log[logged:n])
		logged = n
		// The stream has nothing that was not logged before.
		most := len(sent) * logged / max(1, len(log))
		if logged < len(log) {
			most = max(0, most-150)
		}
		if k := rnd.IntN(200); took < most {
			n = min(most, took+k)
			p.take(t, sent[took:n])
			took = n
		}
		if p.f.leads() {
			p.f.readLogOnce()
		}
		if p.m.pause > 0 && rnd.IntN(4) == 0 {
			time.Sleep(time.Duration(rnd.Int64N(int64(p.m.pause))))
		}
		if rnd.IntN(4) == 0 {
			p.f.lookForGaps(time.Now().Add(1100*time.Millisecond), false)
		}
	}
}

// TestForgedLinesAreNotGiven: whatever stands in the log, nothing forged comes out, nothing real is
// missing, and what is said to be lost is what is.
func TestForgedLinesAreNotGiven(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	// Time stands still but for these pauses: for so long at most the stream may be after the log.
	for _, pause := range []time.Duration{0, 400 * time.Millisecond, time.Second} {
		for seed := range uint64(25) {
			for _, mode := range []string{"log leads", "by doubt", "ended"} {
				path := filepath.Join(t.TempDir(), "audit.log")
				synctest.Test(t, func(t *testing.T) { forgedLinesAreNotGiven(t, seed, mode, pause, path) })
				if t.Failed() {
					return
				}
			}
		}
	}
}

func forgedLinesAreNotGiven(t *testing.T, seed uint64, mode string, pause time.Duration, path string) {
	m := newModel(seed, 800)
	m.pause = pause
	m.write(mode == "by doubt")
	p := m.player(t, integrity.NewTracker(integrity.Options{}), path)
	if mode != "by doubt" {
		p.f.letLogLead(time.Now(), 0, time.Hour)
	}
	sent := m.sent
	if mode == "ended" { // auditd had logged more than it could send
		sent = sent[:len(sent)-m.rnd.IntN(40)]
	}
	p.play(t, m.log, sent)
	p.f.Finish(time.Now().Add(time.Minute))
	what := fmt.Sprintf("%s, seed %d, pauses of %v", mode, seed, pause)
	m.check(t, what, p.out, m.real)
	if c := p.f.Show(); c.Foreign == 0 {
		t.Errorf("%s: no line was counted as foreign", what)
	}
}

// TestForgedLinesAreNotGivenAtAStart: of what was logged while the relay did not run each consumer
// gets all that is real, at once, and nothing far from those beside it.
func TestForgedLinesAreNotGivenAtAStart(t *testing.T) {
	for seed := range uint64(25) {
		m := newModel(seed, 800)
		m.far = true
		m.write(false)
		path := filepath.Join(t.TempDir(), "audit.log")
		tr := integrity.NewTracker(integrity.Options{BootID: "x"})
		p := m.player(t, tr, path)
		p.write(m.log)
		first := readLines(t, m.real[:1])
		tr.Observe(first, time.Now())
		p.f.Begin()
		p.f.Resume([]Resumed{{Name: "x", ID: first.ID(0), First: true, Known: true, Put: p.out.Put}})
		got, _ := p.out.lines()
		if len(got) < len(m.real)-100 {
			t.Errorf("seed %d: %d of %d records came at once", seed, len(got), len(m.real))
		}
		p.take(t, m.sent[len(m.sent)-30:])
		p.f.Finish(time.Now().Add(time.Minute))
		m.check(t, fmt.Sprintf("seed %d", seed), p.out, m.real)
		if t.Failed() {
			return
		}
	}
}

func readLines(t *testing.T, lines []string) *record.Batch {
	t.Helper()
	r := stream.NewReader(strings.NewReader(strings.Join(lines, "\n") + "\n"))
	var b record.Batch
	if err := r.Next(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}
