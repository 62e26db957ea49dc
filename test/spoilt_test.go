package test

import (
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveSpoiltStreamIsMended: between auditd and the relay one record in a
// hundred is dropped, one cut, one delayed. The file has the records of audit.log
// nevertheless.
func TestLiveSpoiltStreamIsMended(t *testing.T) {
	for _, format := range []string{"ENRICHED", "RAW"} {
		t.Run(format, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			l := startLiveBehind(t, "loss_markers = true\n"+fileOnly, lab.Options{LogFormat: format}, shimmed(t, onePercent(seed)))
			after := l.Drain(l.path("out")) // what stands before the first record of a stream is not looked for
			run := l.Load(lab.Load{Rate: 3000, Duration: span(2*time.Second, time.Minute)})
			rep := l.awaitRecoveryAs(lab.Compare{Raw: format == "RAW", After: after}, l.path("out"))
			l.Stop() // the shim's last word
			c := l.spoilt()
			// A late record may have been filled in from the log before it came.
			if !rep.SameSetButFirst() || rep.Duplicate > c.Delayed {
				t.Errorf("seed %d: %v", seed, rep)
			}
			if c.Records < run.Made || c.Dropped == 0 || c.Cut == 0 || c.Delayed == 0 || c.Joined == 0 {
				t.Errorf("little was spoilt: %+v", c)
			}
			t.Logf("%d events: %+v; %v", run.Made, c, rep)
		})
	}
}

// TestLiveSpoiltStreamWithoutRecovery: with recovery off the gaps stay, and
// are reported.
func TestLiveSpoiltStreamWithoutRecovery(t *testing.T) {
	l := startLiveBehind(t, "loss_markers = true\nrecovery.enabled = false\n"+fileOnly, lab.Options{}, shimmed(t, onePercent(1)))
	after := l.Drain(l.path("out"))
	load := l.Load(lab.Load{Rate: 3000, Duration: time.Second})
	end := l.Drain(l.path("out"))
	rep := l.compare(after, end, l.path("out"))
	if rep.Missing == 0 || rep.Altered+rep.Extra+rep.EOECut == 0 {
		t.Errorf("a spoilt stream, but %v", rep)
	}
	until(t, "the loss is reported", func() bool { return len(markers(t, l.path("out"))) > 0 })
	for _, m := range markers(t, l.path("out")) {
		if m.Cause != "upstream" {
			t.Errorf("%s", m.Line)
		}
	}
	t.Logf("%d events: %v", load.Made, rep)
}

func onePercent(seed uint64) shimPlan {
	return shimPlan{Seed: seed, Drop: 0.01, Cut: 0.01, Delay: 0.01, Late: 1500 * time.Millisecond}
}
