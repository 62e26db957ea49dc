package recovery

import (
	"time"

	"go.uber.org/zap"
)

// lookAtEnd has the log read once more at the end of the stream: for what auditd had
// no time to dispatch, and for all that is in doubt, however recent. What the log does
// not have may still come: the next run waits for it.
func (f *Merger) lookAtEnd(now time.Time) {
	millis, doubt := f.tracker.DoubtMillis()
	if latest := f.latest.At(); !f.tailSeen && (!doubt || latest < millis) {
		millis = latest
	}
	if f.mode != led && (doubt || !f.tailSeen) {
		f.letLogLead(now, millis, 0)
	}
	f.tailSeen = true
}

// Finish gives what is left at the stream's end: it is called when the reader and Run
// have ended. Lines of the log that auditd had no time to dispatch
// are given too; time bounds how long that may take. What the log could not be read
// for by then is left to the next run.
func (f *Merger) Finish(until time.Time) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.lookForGaps(time.Now(), true)

	read := !f.leads() // nothing is in doubt
	for f.leads() && time.Now().Before(until) {
		f.readLogOnce()
		read = true
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
	searched := read && f.entry == nil && !f.searched && !f.paused && f.unsure == 0
	led := f.mode != direct
	if led && !searched && f.leaveToNextRun() {
		return
	}

	if led {
		f.settleAll()
	}
	if searched {
		f.certain.until = time.Now()
	}
	if led {
		f.letStreamLead()
	}

	f.reportForeign(time.Now(), true)
	if f.o.Static {
		f.tracker.Due(time.Now().Add(time.Hour))
	}
	if searched || f.o.Static {
		f.reportLost() // otherwise the next run looks for it
	}
}

// settleAll settles the records that are held and the lines that wait.
func (f *Merger) settleAll() {
	f.settleHeld(time.Now(), len(f.held), true)
	f.believe(f.awaited.end(), true, time.Now())
}

// Force ends the Merger where Finish cannot: the log hangs, or is still being read, and there is no time left.
func (f *Merger) Force() {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	if f.mode == direct || f.leaveToNextRun() {
		return
	}
	f.settleAll()
	f.letStreamLead()
}

// leaveToNextRun leaves the records that are held to the next run, which continues in the log
// where the consumers are: given now, they would come before others that are still in the log,
// and might be damaged copies. It reports false where no next run will know where that is.
func (f *Merger) leaveToNextRun() bool {
	if f.o.Saves == nil || !f.o.Saves() {
		return false
	}
	records := 0
	for i := range f.held {
		records += len(f.held[i].Recs)
	}
	now := time.Now()
	f.reportForeign(now, true)
	f.giveReady(now)
	f.dropPending()
	if f.resuming || f.certain.entered.IsZero() {
		f.certain.entered = now // what was given so far is all that the log has before
	}
	f.resuming = false
	f.noteDoubt()
	f.held, f.heldSize, f.mode, f.entry = nil, 0, direct, nil
	f.o.Say.Info("ended before audit.log was read to its end: the next start resumes there", zap.Int("records", records))
	return true
}

// certainty is what is known of how far the consumers have all that the log has.
type certainty struct {
	entered time.Time // when the log was to be read for what is in doubt; zero once it was read
	until   time.Time // the consumers have all that the log had at this time
	soon    time.Time // they will have all that it had at this time when the lines below soonEnd are judged
	soonEnd uint64
}
