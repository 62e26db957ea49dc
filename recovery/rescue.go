package recovery

import (
	"time"

	"audisp-relay/audit/record"
)

// rescueTime is how long the log is left alone after a panic over it.
const rescueTime = time.Minute

// rescue is to be deferred with f.mu held, in front of what gives records of the stream: after a
// panic it gives those that wait and rest, as they came, and lets the stream lead. What was given
// just before it may come twice: that is better than not at all.
func (f *Merger) rescue(stage string, rest *record.Batch) {
	if fault := recover(); fault != nil {
		f.restart(stage, rest, fault)
	}
}

// restart lets the stream lead again after a panic, as at the beginning.
func (f *Merger) restart(stage string, rest *record.Batch, fault any) {
	if f.o.Panicked != nil {
		f.o.Panicked(stage, rest, fault)
	}
	held := f.held
	f.tracker = f.tracker.Renew()
	f.mode, f.entry, f.had.counts, f.had.matched, f.holes = direct, nil, nil, nil, nil
	f.held, f.heldSize, f.paused, f.searched, f.loseAt, f.unsure = nil, 0, false, false, 0, 0
	f.awaited, f.pending, f.recent = awaited{base: 1}, pending{ready: 1}, recentRecords{}
	f.witness, f.eoe = witness{}, eoes{}
	f.certain.entered, f.ioSince, f.resuming = time.Time{}, time.Time{}, false
	f.down = time.Now().Add(rescueTime)
	for i := range held {
		f.o.Out.Put(&held[i].Batch)
	}
	if rest != nil {
		f.o.Out.Put(rest)
	}
}

// safely calls f, which locks the Merger itself. After a panic in it the stream leads.
func (f *Merger) safely(work func()) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		defer f.publish()
		f.restart("audit.log", nil, fault)
	}()
	work()
}
