package recovery

import "time"

// lookLast has the log read once more at the end of the stream: for what auditd had
// no time to dispatch, and for all that is in doubt, however young. What the log does
// not have may still come: the next run waits for it.
func (f *Feed) lookLast(now time.Time) {
	millis, doubt := f.tracker.DoubtMillis()
	if latest := f.latest.At(); !f.tailSeen && (!doubt || latest < millis) {
		millis = latest
	}
	if f.mode != led && (doubt || !f.tailSeen) {
		f.enter(now, millis, 0)
	}
	f.tailSeen = true
}

// Finish gives what the stream's end has left behind: it is called when the
// reader and Run have ended. Lines of the log that auditd had no time to dispatch
// are given too; time bounds how long that may take.
func (f *Feed) Finish(until time.Time) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.look(time.Now(), true)
	for f.leads() && time.Now().Before(until) {
		f.round()
		f.mu.Lock()
		idle := len(f.held) == 0 && f.entry == nil
		f.mu.Unlock()
		if idle {
			break
		}
		time.Sleep(roundEvery)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	if f.mode != direct {
		f.settle(time.Now(), len(f.held), true)
		f.believe(f.given.end(), true, time.Now())
	}
	searched := f.entry == nil && !f.searched && !f.behind && f.unsure == 0
	if searched {
		f.sure = time.Now()
	}
	if f.mode != direct {
		f.lead()
	}
	f.sayForeign(time.Now(), true)
	if f.static {
		f.tracker.Due(time.Now().Add(time.Hour))
	}
	if searched || f.static {
		f.lose() // otherwise the next run looks for it
	}
}

// Force gives the records that are held as they came: the log hangs and there is
// no time left.
func (f *Feed) Force() {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	f.settle(time.Now(), len(f.held), true)
	f.believe(f.given.end(), true, time.Now())
	f.lead()
}
