package test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// savedEvery is how often positions are saved at least: what a killed plugin had
// delivered since then its successor delivers again.
const savedEvery = time.Second

// TestLiveKilledPluginLeavesNoHole: kill -9 at random moments under load. Every
// record of audit.log is in the file and reaches the socket's client, who was
// not there meanwhile; what is there twice is what came since the last save.
func TestLiveKilledPluginLeavesNoHole(t *testing.T) {
	const rate = 4000
	kills := figure(3, 20)
	l := startLive(t, `
loss_markers = true
[spool]
max_size = "1GiB"
`+fileOnly+`
[sinks.away]
type = "unix"
path = "DIR/away"
group = "root"
q_depth = 1000
when_idle = "queue"
[sinks.events]
type = "file"
path = "DIR/json"
format = "json"
max_size = "0"
`, lab.Options{Conf: map[string]string{"max_restarts": "1000"}}, "string")
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	l.Drain(l.path("out"))
	run := l.StartLoad(lab.Load{Rate: rate, Duration: time.Duration(kills+1) * time.Second})
	for range kills {
		// Some while the one before is still catching up.
		time.Sleep(time.Duration(rng.IntN(900)) * time.Millisecond)
		l.KillPlugin("relay")
	}
	load := run.Wait()
	l.follow("away", "away", "awayclient")
	// An interval, and as much again for a machine that is busy.
	most := kills * int(2*savedEvery.Seconds()*rate) * 4
	for _, s := range []string{"out", "awayclient"} {
		rep := l.awaitRecovery("", l.path(s))
		// A write that the kill cut short leaves a piece of a line, and the whole
		// one comes again.
		if rep.Missing+rep.Altered > 0 || rep.Extra+rep.EOECut > kills || rep.Duplicate > most {
			t.Errorf("%s, seed %d: %v", s, seed, rep)
		}
		t.Logf("%s: %d kills at %.0f events/s: %d of %d records twice, at most %d are allowed", s, kills, load.Rate(), rep.Duplicate, rep.LogLines, most)
	}
	until(t, "the events are written", func() bool { return l.relay().consumer("events").Queued == 0 })
	events, torn := readEvents(t, l.path("json"))
	want := recordsOf(t, l.Logs(), "", "")
	if missing, broken := want.without(events); torn > kills || len(missing)+len(broken) > 0 {
		t.Errorf("seed %d: of %d events %d are missing (%.3q), %d only in part (%.3q), %d torn lines",
			seed, len(want), len(missing), missing, len(broken), broken, torn)
	}
	t.Logf("%d events in the log, %d lines of json", len(want), len(events))
	for _, name := range []string{"file", "away", "events"} {
		c := l.relay().consumer(name)
		balanced(t, c)
		if c.LostTotal != 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestLiveDamagedPositionsAreSaid: where the saved positions are gone
// or unreadable, a new start says so and continues. It may give again what it cannot
// know to have been given.
func TestLiveDamagedPositionsAreSaid(t *testing.T) {
	l := startLive(t, fileOnly, lab.Options{}, "string")
	l.Load(lab.Load{Rate: 1000, Duration: 300 * time.Millisecond})
	l.Drain(l.path("out"))
	l.Stop()
	file := filepath.Join(l.dir, "state", "state.json")
	if err := os.Truncate(file, 20); err != nil {
		t.Fatal(err)
	}
	l.StartAgain()
	l.Load(lab.Load{Rate: 1000, Duration: 300 * time.Millisecond})
	rep := l.awaitRecovery("", l.path("out"))
	if !rep.SameSet() {
		t.Errorf("%v", rep)
	}
	t.Logf("%d of %d records twice", rep.Duplicate, rep.LogLines)
	if n := len(l.says("warn", file)); n != 1 {
		t.Errorf("said %d times that %s is damaged: %v", n, file, l.logged("warn"))
	}
}
