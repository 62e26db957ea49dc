package recovery

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
)

const (
	watchEvery = 250 * time.Millisecond // between looks for holes
	roundEvery = 2 * time.Millisecond   // between reads of a log that leads
	downTime   = time.Second            // between attempts at a log that cannot be read
	seekEvery  = 2 * time.Second        // between searches of a log that leads
)

// Run looks for holes and fills them until ctx ends. It is the only goroutine
// that reads the log.
func (f *Merger) Run(ctx context.Context) {
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			f.safely(func() { f.lookForGaps(time.Now(), false) })
		case now := <-watch.C:
			f.safely(func() { f.lookForGaps(now, false) })
		}
		for f.leads() && ctx.Err() == nil {
			f.safely(f.readLogOnce)
			select {
			case <-ctx.Done():
			case <-time.After(roundEvery):
			}
			f.safely(func() { f.lookForGaps(time.Now(), false) })
		}
	}
}

// leads reports whether the log leads.
func (f *Merger) leads() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mode != direct
}

// lookForGaps asks the tracker for holes that are old enough, and looks at the log's
// tail once the stream has gone quiet or ended: what was lost at the end of a burst
// shows in no later serial. At the end of a replay all that is open counts as old
// enough; the plugin's next run waits for it.
func (f *Merger) lookForGaps(now time.Time, end bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	due := now
	if end && f.o.Static {
		due = now.Add(time.Hour)
	}
	gaps := f.tracker.Due(due)
	if f.log == nil || now.Before(f.down) {
		f.reportLost()
		return
	}

	if len(gaps) > 0 {
		f.holes = append(f.holes, gaps...)
		f.searchForGaps(now, slices.MinFunc(gaps, func(a, b integrity.Gap) int { return cmp.Compare(a.From, b.From) }).From)
	}
	if f.mode == led && f.entry == nil && f.unsure != 0 && (end || now.Sub(f.sought) > seekEvery) {
		f.beginSearch(now, f.unsure)
	}
	if f.check.Swap(false) {
		f.letLogLead(now, now.UnixMilli(), checkTime)
	}

	if end {
		f.lookAtEnd(now)
	} else if !f.tailSeen && now.Sub(f.last) > idleTime {
		f.tailSeen = true
		if f.mode == direct {
			f.letLogLead(now, f.latest.At(), 0)
		}
	}
}

// reportLost reports to the consumers what is found nowhere.
func (f *Merger) reportLost() { f.report(f.tracker.Lost()) }

// reportSearched is reportLost of the gaps that the log was searched for last. More that have shown since then are
// searched for next: while they come all the time these must not wait for that.
func (f *Merger) reportSearched() {
	f.report(f.tracker.LostOf(f.searchedFor))
	f.searchedFor = 0
}

func (f *Merger) report(lost []integrity.Gap) {
	for _, t := range lost {
		if t.Stopped {
			f.count.Stopped += t.Events()
			continue
		}
		f.count.LostHoles += t.Events()
		f.o.Out.Lost(t)
	}
	f.noteDoubt()
}

// readLogOnce reads the log to its present end, then settles the records of the stream
// that had come before that.
func (f *Merger) readLogOnce() {
	f.mu.Lock()
	n, began := len(f.held), time.Now()
	mode, at := f.mode, f.entry
	if at != nil {
		f.searchedFor, f.torn = f.tracker.HandedOut(), false
	}
	f.mu.Unlock()

	gave := uint64(0)
	var err error
	if mode == led {
		if at != nil {
			err = f.seek(at)
		}
		if err == nil {
			gave, err = f.giveLines(nil)
		}
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	now := time.Now()
	f.logState(err)
	if f.mode == direct || f.entry != at { // the reader left the log aside meanwhile
		return
	}
	f.paused = f.paused && err == nil
	if at != nil || err != nil {
		f.sought, f.holes, f.searched = now, nil, true
	}
	if f.searched && !f.paused {
		f.searched, f.loseAt = false, f.awaited.end()
	}
	f.entry = nil
	f.settleHeld(now, n, err != nil)
	f.judgeWaiting(now, err)
	if mode == led && err == nil && f.allSearched() {
		f.noteSure(began)
	}
	f.noteDoubt()
	f.reconsiderLead(now, gave, err)
	if f.mode == direct {
		f.log.Close() // rotated files that are held open take up disk
	}
}

// allSearched reports whether the log was read for all that was in doubt, and its
// lines before others that the consumers have are given.
func (f *Merger) allSearched() bool {
	return f.entry == nil && !f.searched && !f.paused && f.loseAt == 0 && f.unsure == 0
}

// noteSure takes in that the log was read to the end that it had at that time. What it
// had then the consumers have when its lines are given, too: of some it may have to be
// seen first whether the stream brings them.
func (f *Merger) noteSure(read time.Time) {
	for range 2 { // for those of an earlier read, and perhaps for these
		if f.pending.ready < f.certain.soonEnd {
			return
		}
		if !f.certain.soon.IsZero() {
			f.certain.until, f.certain.entered = f.certain.soon, time.Time{}
		}
		f.certain.soon, f.certain.soonEnd = read, f.awaited.end()
	}
}

// judgeWaiting judges the lines that have waited long enough for the stream, and reports
// what is lost then.
func (f *Merger) judgeWaiting(now time.Time, err error) {
	p := &f.pending
	switch {
	case f.paused:
		f.believe(p.ready+(f.awaited.end()-p.ready)/2, false, now)
		f.paused = p.size > f.o.MaxHeld/2
	case p.ready < f.awaited.end() && !f.o.Static:
		at := f.awaited.line(p.ready).at
		silent := now.Sub(at) > silentTime && now.Sub(f.last) > silentTime
		unmet := now.Sub(at) > silentAfter && now.Sub(f.awaited.metAt) > silentAfter
		if silent || unmet {
			f.believe(f.awaited.end(), now.Sub(at) > silentAfter, now)
		}
	}
	switch {
	case f.loseAt == 0:
	case err != nil, p.ready >= f.loseAt && f.unsure == 0:
		f.loseAt = 0
		f.reportLost()
	case p.ready >= f.loseAt && !f.torn:
		f.loseAt = 0
		f.reportSearched()
	}
	f.reportForeign(now, false)
}

// markReading notes that the log is being read, for Take to see when that hangs.
func (f *Merger) markReading() (done func()) {
	f.mu.Lock()
	f.ioSince = time.Now()
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		f.ioSince = time.Time{}
		f.mu.Unlock()
	}
}

// giveLines gives the log's lines, up to its present end, and returns how many. give
// is what gives them, nil for all consumers alike.
func (f *Merger) giveLines(give giveFunc) (gave uint64, err error) {
	var b record.Batch
	for {
		f.mu.Lock()
		paused := f.paused
		f.mu.Unlock()
		if paused {
			return gave, nil
		}
		place, err := f.readLines(&b)
		switch {
		case errors.Is(err, io.EOF):
			return gave, nil
		case errors.Is(err, auditlog.ErrSkipped), errors.Is(err, auditlog.ErrTruncated): // reported once each; reading continues
			f.o.Say.Warn("audit.log has a gap where it was read: the records in it are not recovered", zap.Error(err))
			f.mu.Lock()
			f.torn = true
			f.doubtLog(time.Now(), f.latest.At())
			f.mu.Unlock()
			continue
		case err != nil:
			return gave, err
		}

		took, ok := f.takeRead(&b, place, give)
		if gave += took; !ok {
			return gave, nil
		}
	}
}

// takeRead takes in lines that were read, and reports false when the stream leads meanwhile.
func (f *Merger) takeRead(b *record.Batch, place auditlog.Position, give giveFunc) (took uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mode == direct {
		return 0, false
	}
	took = f.takeLines(b, place, give)
	if give != nil {
		f.believe(f.awaited.end(), false, time.Now())
	}
	f.paused = f.pending.size > f.o.MaxHeld/2
	return took, true
}

func (f *Merger) readLines(b *record.Batch) (auditlog.Position, error) {
	defer f.markReading()()
	return f.log.Next(b)
}

// takeLines takes in those of the lines that consumers do not have yet, and returns
// how many.
func (f *Merger) takeLines(b *record.Batch, at auditlog.Position, give giveFunc) (took uint64) {
	now := time.Now()
	state := lineState(0)
	if give != nil {
		state = isResumed
	}
	passed := uint64(0) // the stream is past the lines before this one
	from, first := 0, f.awaited.end()
	flush := func(i int) {
		if from < i {
			f.pending.add(lineRun{Batch: record.Batch{Buf: b.Buf, Recs: b.Recs[from:i]}, first: first, place: at.At(b, from), give: give})
			took += uint64(i - from)
		}
		from, first = i+1, f.awaited.end()
	}

	for i := range b.Recs {
		if f.isOtherHosts(b, i) || f.consumersHave(b, i) {
			f.noteLinePassed(b, i)
			flush(i)
			continue
		}
		late := f.entry != nil && at.At(b, i).Less(f.entry.had)
		if late {
			b.Recs[i].Flags |= record.Late
		}
		f.addLine(b, i, now, state)
		if late {
			passed = f.awaited.end()
		}
	}
	flush(len(b.Recs))
	f.passed(passed, now)
	f.giveReady(now)
	return took
}

// noteLinePassed takes in where in the log a line is that the consumers have.
func (f *Merger) noteLinePassed(b *record.Batch, i int) {
	r := &b.Recs[i]
	f.suspects(b, i)
	if !r.HasID() || record.OfDaemon(r.Type) {
		return
	}
	f.witness.distance(r.Serial)
	f.awaited.follow(r.Serial)
	if e := f.witness.find(b, i); e != nil {
		e.line = f.awaited.end()
	}
}

// consumersHave reports whether the consumers have line i of the log already, from when
// the stream led.
func (f *Merger) consumersHave(b *record.Batch, i int) bool {
	if f.had.counts == nil {
		return false
	}
	k := keyOf(b, i)
	if f.had.counts[k] > 0 {
		f.had.counts[k]--
		return true
	}
	r := &b.Recs[i]
	switch {
	case !f.had.oldestKnown:
		return false
	case !r.HasID():
		return f.entry != nil // it has no place in time: what is new is given
	case record.OfDaemon(r.Type): // auditd's own: their serials are not the kernel's
		if r.Millis >= f.had.oldestAt {
			return false
		}
	case int32(r.Serial-f.had.oldest) >= 0:
		return false
	}
	return !f.wanted(b, i) // from before what is remembered
}

// reconsiderLead lets the stream lead again when there is no doubt left.
func (f *Merger) reconsiderLead(now time.Time, gave uint64, err error) {
	if n := f.awaited.expire(now, f.pending.ready); n > 0 {
		f.count.Recovered += n
		f.doubt = now
	}

	switch {
	case err != nil:
		f.down = now.Add(downTime)
		f.abandonLog(now)
	case f.mode == led && gave == 0 && f.awaited.empty() && len(f.held) == 0 && f.quiet == 0:
		f.letStreamLead()
	case f.mode == led && now.Sub(f.doubt) > f.quiet:
		f.mode = closing
		fallthrough
	case f.mode == closing:
		if f.awaited.empty() && len(f.held) == 0 {
			f.letStreamLead()
		}
	}
}

// logState logs when the log cannot be read, and when it can again.
func (f *Merger) logState(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == f.count.LogError {
		return
	}
	f.count.LogError = text
	if err != nil {
		f.o.Say.Warn("audit.log cannot be read: gaps in the stream stay open", zap.Error(err))
	} else {
		f.o.Say.Info("audit.log can be read again")
	}
}

// checkTime is how long the log leads after Check: auditd reads its configuration,
// and plugins theirs, before it logs who asked for that.
const checkTime = time.Second

// Check lets the log lead for a moment, as auditd has logged or is about to log what it
// does not send to plugins: DAEMON_CONFIG, which says who had it reload. It may be
// called from anywhere and does not wait.
func (f *Merger) Check() {
	if f.log != nil {
		f.check.Store(true)
		poke(f.wake)
	}
}
