package process

import "testing"

// TestPidsComeAgain: a pid is certain until the kernel comes past it.
func TestPidsComeAgain(t *testing.T) {
	const max = 32768
	first := sample{Millis: 1000, Ran: 1000, Last: 5000, Forks: 1, Max: max}
	next := func(last int64, forks uint64) sample {
		return sample{Millis: 2000, Ran: 2000, Last: last, Forks: forks, Max: max}
	}
	for _, tt := range []struct {
		name string
		next sample
		pid  int32
		sure bool
	}{
		{"it is behind", next(5100, 100), 4900, true},
		{"it is ahead", next(5100, 100), 5200, true},
		{"it is far behind", next(5100, 100), 301, true},
		{"passed", next(5100, 100), 5050, false},
		{"passed just now", next(5100, 100), 5100, false},
		{"given out before", next(5100, 100), 5000, true},
		{"passed at the end of the circle", next(400, 100), 30_000, false},
		{"passed at its begin", next(400, 100), 350, false},
		{"not yet at its begin", next(400, 100), 450, true},
		{"all the way round", next(4999, 100), 5050, false},
		{"round by count", next(5100, 40_000), 4900, false},
		{"one that is never given out again", next(5100, 40_000), 1, true},
		{"another number of pids", sample{Millis: 2000, Ran: 2000, Last: 5100, Forks: 100, Max: 2 * max}, 4900, false},
		{"the host has slept", sample{Millis: 9_000_000, Ran: 2000, Last: 5100, Forks: 100, Max: max}, 4900, true},
	} {
		var r reuse
		r.note(first)
		p := &Process{pid: tt.pid, millis: 1000, state: known}
		if r.settle(p); p.given < 0 {
			t.Fatalf("%s: %d", tt.name, p.given)
		}
		if !r.note(tt.next) {
			t.Errorf("%s: the clock was set back", tt.name)
		}
		if got, _ := r.sure(p, tt.next.Millis); got != tt.sure {
			t.Errorf("%s: sure %v", tt.name, got)
		}
	}
}

// TestNewPids: what comes between two samples is new, if it was not known, and certain from the second on; how far the kernel
// may have come since the last is bounded.
func TestNewPids(t *testing.T) {
	var r reuse
	sure := func(p *Process, now int64) bool { ok, _ := r.sure(p, now); return ok }
	r.note(sample{Millis: 1000, Ran: 1000, Last: 5000, Max: 1 << 22})
	fresh, old := &Process{pid: 5050, millis: 1500}, &Process{pid: 5050, millis: 1500, state: known}
	ahead := &Process{pid: 5000 + 600*maxRate, millis: 900, state: known}
	for _, p := range []*Process{fresh, old, ahead} {
		r.settle(p)
	}
	if !sure(fresh, 1500) || sure(old, 1500) || !sure(ahead, 1500) || sure(ahead, 1700) {
		t.Error("before the second sample")
	}
	if _, ask := r.sure(ahead, 1700); !ask {
		t.Error("another sample may say more")
	}
	r.note(sample{Millis: 2000, Ran: 2000, Last: 5100, Max: 1 << 22})
	for _, p := range []*Process{fresh, old} {
		r.settle(p)
	}
	if !sure(fresh, 2000) || !sure(fresh, 1700) || sure(old, 2000) || !sure(ahead, 1700) {
		t.Error("after the second sample")
	}

	for n := range int64(200) {
		r.note(sample{Millis: 3000 + n*1000, Ran: 3000 + n*1000, Last: 5200 + n, Max: 1 << 22})
	}
	late := &Process{pid: 100_000, millis: 3000}
	if r.settle(late); sure(late, 203_000) {
		t.Error("what comes too late is certain")
	}
	if !sure(fresh, 203_000) || !sure(fresh, 2500) {
		t.Error("what was certain is not any more")
	}
	if r.note(sample{Millis: 100_000, Ran: 204_000, Last: 6000, Max: 1 << 22}) {
		t.Error("the clock was not set back")
	}
}
