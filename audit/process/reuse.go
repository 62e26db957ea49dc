package process

import "math"

// The kernel gives out pids in a circle (kernel/pid.c, alloc_pid, idr_alloc_cyclic): each time the next higher one that is
// free, and after the highest the lowest again. So a pid belongs to the same process, or to none, until the kernel has
// come past it. Processes that were given a number of their choice (clone3(2), set_tid;
// /proc/sys/kernel/ns_last_pid) are not covered: that takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the
// host's pid namespace.

// sample is what the kernel says of the pids it gives out. All is of the host's pid namespace.
type sample struct {
	Millis int64  // the time, ms since 1970
	Ran    int64  // ms by a clock that nobody sets and that stands still while the host sleeps
	Last   int64  // the pid given out last (/proc/loadavg)
	Forks  uint64 // how many were given out since boot at least (/proc/stat, processes); 0: not read
	Max    int64  // where the circle ends (/proc/sys/kernel/pid_max)
}

const (
	// firstPID is where the circle begins again; those below are given out once (kernel/pid.c, RESERVED_PIDS).
	firstPID = 300
	// maxRate is how many pids a host may give out in a millisecond: several times what was ever seen.
	maxRate = 100
	// early is how much earlier than the first sample an event may be, ms: some are in the pipe then.
	early = 2000
	// coarse is by how much the time of an event may be earlier than it was, ms: the kernel takes it from a clock that
	// ticks 100 times a second at least (kernel/auditsc.c, ktime_get_coarse_real_ts64).
	coarse = 10
	// maxPause is how long the next sample may be awaited, ms.
	maxPause = 5000
	// setBack is by how much the clock has to go back to be noticed, ms.
	setBack = 1000
)

// Values of Process.given that are none.
const (
	notYet = -1            // the next sample will say it
	never  = math.MinInt64 // it is not known, so the pid is not certain
)

// reuse knows how far the kernel has come on its circle of pids.
type reuse struct {
	last   sample
	circle int64
	// ring has the last samples, the newest at (n-1)%len: when they were taken, and how far the kernel had come,
	// counted on over all rounds.
	ring [64]struct{ millis, given int64 }
	n    int
	// extra says that the newest one was taken before its time: the next one takes its place, so that the ring is as long
	// in time as ever.
	extra bool
}

// noteExtra takes a sample that was taken before its time.
func (r *reuse) noteExtra(s sample) {
	r.note(s)
	r.extra = true
}

// note takes a sample. ok is false when the clock was set back: then times say nothing any more.
func (r *reuse) note(s sample) (ok bool) {
	was, given := r.last, int64(0)
	circle := max(s.Max-firstPID, 1)
	switch {
	case r.n == 0:
		given = circle + s.Last - firstPID
	case r.isSetBack(s):
		*r = reuse{}
		r.note(s)
		return false
	case circle != r.circle: // all of them may have been given out
		given = (r.newest()/circle+3)*circle + 2*r.circle
		given += s.Last - firstPID - given%circle
	default:
		step := ((s.Last-was.Last)%circle + circle) % circle
		if was.Forks != 0 && s.Forks > was.Forks {
			forks := int64(min(s.Forks-was.Forks, 1<<40))
			step += max(0, (forks-step+circle-1)/circle) * circle
		}
		given = r.newest() + step
	}

	r.last, r.circle = s, circle
	if r.extra {
		r.n--
		r.extra = false
	}
	r.ring[r.n%len(r.ring)] = struct{ millis, given int64 }{s.Millis, given}
	r.n++
	return true
}

// isSetBack reports whether the clock was set back since the last sample.
func (r *reuse) isSetBack(s sample) bool {
	return r.n > 0 && s.Millis-r.last.Millis < s.Ran-r.last.Ran-setBack
}

// newest returns how far the kernel had come at the last sample.
func (r *reuse) newest() int64 { return r.ring[(r.n-1)%len(r.ring)].given }

// after returns how far the kernel had come at the first sample after a time, and at the one before that; notYet when
// there is none after it, never when there is none before.
func (r *reuse) after(millis int64) (before, after int64) {
	if r.n == 0 {
		return never, never
	}
	after = notYet
	for k := r.n - 1; k >= max(0, r.n-len(r.ring)); k-- {
		at := &r.ring[k%len(r.ring)]
		if at.millis < millis {
			return at.given, after
		}
		after = at.given
	}
	if r.n <= len(r.ring) && millis > r.ring[0].millis-early {
		return r.ring[0].given, after
	}
	return never, never
}

// settle finds out from where on p counts, if that can be known by now. Between the samples before and after the event
// the kernel may pass the pid again when it gives it to p, but not if p was known before.
func (r *reuse) settle(p *Process) {
	at := p.millis
	if p.state&known == 0 {
		at += coarse
	}
	before, after := r.after(at)
	p.given = after
	if after >= 0 && p.state&known != 0 && r.passes(p.pid, before, after) {
		p.given = never
	}
}

// sure reports whether p's pid cannot belong to another process at a time, ms since 1970. ask says that a sample
// of after that time may change the answer.
func (r *reuse) sure(p *Process, now int64) (ok, ask bool) {
	if p.given == never || r.n == 0 {
		return false, false
	}
	from := p.given
	if from == notYet {
		if p.state&known == 0 {
			return now-r.last.Millis < maxPause, false
		}
		from = r.newest()
	}

	switch _, to := r.after(now); to {
	case notYet:
		ok = !r.passes(p.pid, from, r.newest()+max(1, now-r.last.Millis)*maxRate)
		return ok, !ok && !r.passes(p.pid, from, r.newest())
	case never:
		return !r.passes(p.pid, from, r.newest()), false
	default:
		return !r.passes(p.pid, from, to), false
	}
}

// passes reports whether the kernel comes past a pid between two places of its way.
func (r *reuse) passes(pid int32, from, to int64) bool {
	at := int64(pid) - firstPID
	if at < 0 {
		return false
	}
	next := at + (from/r.circle)*r.circle // the first one after from
	if next <= from {
		next += r.circle
	}
	return next <= to
}

// keepsNumber reports whether p's pid cannot belong to another process at a time, ms since 1970.
func (t *Table) keepsNumber(p *Process, millis int64) bool {
	ok, ask := t.reuse.sure(p, millis)
	if ask && t.refresh() {
		ok, _ = t.reuse.sure(p, millis)
	}
	return ok
}

// cannotBeChild reports whether a fork at m that has returned a number cannot have made a process of that number on the host: the one that is known
// has it still, or has ended and nobody has got it. Events that are missing do not matter to that, since the kernel has not come past the number.
func (t *Table) cannotBeChild(number int32, m Moment) bool {
	p := t.byPID[number]
	for p != nil && !m.notBefore(p.at()) {
		p = p.prev
	}
	switch {
	case p == nil, p.from == ended:
		return false
	case p.from.isUnsure(): // that number may have been one of a container's
		return t.at(number, m) != nil
	}
	return t.keepsNumber(p, m.Millis)
}
