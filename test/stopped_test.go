package test

import (
	"os"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveOrdinaryStopsAreNoLoss: auditd is stopped and started on an idle host, two
// times in a row too. No warning comes of it, and no marker.
func TestLiveOrdinaryStopsAreNoLoss(t *testing.T) {
	l := startLive(t, "loss_markers = true\n"+fileOnly, lab.Options{}, "string")
	l.Drain(l.path("out"))
	for range 3 {
		l.Stop()
		l.StartAgain()
		l.Drain(l.path("out"))
	}
	l.Stop()
	l.StartAgain()
	l.Stop()
	l.StartAgain()
	l.Drain(l.path("out"))
	until(t, "it is said that auditd was stopped", func() bool { return len(l.says("info", "was stopped")) > 0 })
	time.Sleep(1500 * time.Millisecond)
	for _, word := range []string{"lost", "forged"} {
		if lines := l.says("warn", word); len(lines) > 0 {
			t.Errorf("%v", lines)
		}
	}
	if got := markers(t, l.path("out")); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if n := l.relay().report().Recovery.LostHoles; n > 0 {
		state, _ := os.ReadFile(l.path("state/state.json"))
		log, _ := os.ReadFile(l.Log())
		t.Errorf("%d lost; %s\n%s", n, state, log)
	}
}
