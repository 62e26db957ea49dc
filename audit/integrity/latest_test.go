package integrity

import (
	"testing"
	"time"

	"audisp-relay/audit/audittest"
)

// TestLatestFollowsAClockThatIsSetBack: old times do not count, and a clock that is set back is followed.
func TestLatestFollowsAClockThatIsSetBack(t *testing.T) {
	var l Latest
	for i := range int64(1000) {
		l.Add(1_000_000+i, 1)
		if got := l.Add(1_000_000+i-500_000, 1); got != 1_000_000+i {
			t.Fatalf("%d after an old one: %d", i, got)
		}
	}
	for i := range int64(3 * latestRun) {
		l.Add(2000+i, 1)
	}
	if got := l.At(); got != 2000+3*latestRun-1 {
		t.Errorf("after the clock was set back: %d", got)
	}
	l.Add(5000, 10*latestRun)
	if got := l.Add(3000, 10*latestRun); got > 5000 {
		t.Errorf("%d", got)
	}
	if got := l.Add(3001, 1); got > 3001 {
		t.Errorf("after two batches of many: %d", got)
	}
}

// TestFromFollowsTheClock: after the clock was set back, holes and damaged events are
// searched for where it is now.
func TestFromFollowsTheClock(t *testing.T) {
	tr := NewTracker(Options{})
	serial := uint32(1)
	for ; serial <= 700; serial++ {
		tr.Observe(audittest.Lines(t, audittest.UserAt(serial, 100_000)), audittest.Epoch)
	}
	for ; serial <= 1400; serial++ {
		tr.Observe(audittest.Lines(t, audittest.UserAt(serial, 5000)), audittest.Epoch)
	}
	tr.Observe(audittest.Lines(t, audittest.UserAt(serial+1, 5000)+"type=EOE msg=audit(10.000:1403): \n"+audittest.UserAt(1404, 5000)), audittest.Epoch)
	due := tr.Due(audittest.Epoch.Add(time.Minute))
	if len(due) != 2 || due[0].Kind != MissingSerials || due[1].Kind != IncompleteEvent {
		t.Fatalf("%+v", due)
	}
	for _, x := range due {
		if x.From < 4_940_000 || x.From > 5_000_000 {
			t.Errorf("%+v", x)
		}
	}
	if due[1].Millis != 10_000 {
		t.Errorf("the event's own time is lost: %+v", due[1])
	}
}
