package test

import (
	"strings"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

const smallQueue = `
[sinks.small]
type = "file"
path = "DIR/small"
max_size = "0"
q_depth = 100
`

// TestLiveStarvedPlugin: a fifth of a core at 4 000 events/s, then a burst as
// fast as the kernel gives. What auditd dropped meanwhile is recovered, memory stays
// within its limit, and the log reports what it cost at warning level with totals, a
// spill only at debug level.
func TestLiveStarvedPlugin(t *testing.T) {
	l := startLive(t, memoryLimitKey+"loss_markers = true\n[spool]\nmax_size = \"1GiB\"\n"+fileOnly+smallQueue, lab.Options{QDepth: auditdDefault}, "string")
	after := l.Drain(l.path("out"), l.path("small"))
	pid := l.reader()
	release := lab.LimitCPU(t, pid, 0.2)
	before, err := lab.ReadStatus()
	if err != nil {
		t.Fatal(err)
	}
	steady := l.Load(lab.Load{Rate: 4000, Duration: span(2*time.Second, time.Minute)})
	burst := l.Load(lab.Load{Count: figure(10000, 50000), Duration: time.Minute})
	release()
	for _, s := range []string{"out", "small"} {
		if rep := l.awaitRecovery(after, l.path(s)); !rep.SameSet() || rep.Duplicate+rep.Markers > 0 {
			t.Errorf("%s: %v", s, rep)
		}
	}
	_, peak, err := lab.RSS(pid)
	if err != nil || peak > memoryLimit {
		t.Errorf("peak RSS %d, limit %d: %v", peak, memoryLimit, err)
	}
	for _, name := range []string{"file", "small"} {
		c := l.relay().consumer(name)
		balanced(t, c)
		if c.LostTotal != 0 {
			t.Errorf("%+v", c)
		}
	}
	if len(l.says("debug", "spilled")) == 0 {
		t.Error("no spill: this proves nothing")
	}
	l.warnsOnlyOfCosts()
	now, err := lab.ReadStatus()
	if err != nil || now.Lost != before.Lost {
		t.Errorf("the kernel lost %d: %v", now.Lost-before.Lost, err)
	}
	t.Logf("%.0f events/s, then %d at %.0f/s; peak RSS %.1f MiB; warned: %v", steady.Rate(), burst.Made, burst.Rate(), float64(peak)/(1<<20), l.logged("warn"))
}

// What the relay says of losses and of what it recovered. Each has totals.
const (
	recovered    = "recovered missing or truncated records from audit.log"
	upstreamLoss = "records lost on the way to the relay"
	queueLoss    = "records lost"
)

// warnsOnlyOfCosts fails where a loss or a recovery is reported without its totals,
// and where a spill, which costs nothing, is more than a debug line.
func (l *live) warnsOnlyOfCosts() {
	l.t.Helper()
	for _, line := range l.logged("") {
		if strings.Contains(line.Msg, "spill") && line.Level != "debug" {
			l.t.Errorf("a spill is reported at level %s: %s", line.Level, line.Text)
		}
		totals := map[string]string{recovered: `"total_recovered":`, upstreamLoss: `"total_events":`, queueLoss: `"total":`}[line.Msg]
		if line.Level != "debug" && !strings.Contains(line.Text, totals) {
			l.t.Errorf("no total: %s", line.Text)
		}
	}
}
