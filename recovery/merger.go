// Package recovery gives consumers what auditd's stream did not bring, from
// audit.log.
//
// auditd from 3.0 on writes a record to its log before it hands it to plugins
// (auditd.c, distribute_event), so while auditd writes a log, that is ahead of
// the stream, complete and in the same order. In ordinary times the stream leads
// and the log is not read at all. While there is doubt (at a start from a saved
// position, after a hole, a damaged event or a truncated record) the log leads:
// its lines wait until the stream brings them or has passed their place, go to
// the consumers in the order of the log, and a record of the stream is passed on
// only when the log did not have it.
package recovery

import (
	"bytes"
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
)

// Out is where records go.
type Out interface {
	// Put gives records to every consumer, in order. It may wait for a lossless
	// one. b is not kept.
	Put(b *record.Batch)
	// Lost reports to every consumer events that are found nowhere.
	Lost(t integrity.Gap)
}

type mode uint8

const (
	direct  mode = iota // the stream leads
	led                 // the log leads
	closing             // the log leads up to where it was read; the stream is catching up
)

// Counts is what a Merger has done.
type Counts struct {
	Mode      string `json:"mode"`           // "stream" or "log": which of them leads
	Led       uint64 `json:"led"`            // times the log began to lead
	Resumed   uint64 `json:"resumed"`        // records given at the start, from after the saved positions
	Recovered uint64 `json:"recovered"`      // records the stream did not bring, given from the log
	Mended    uint64 `json:"mended"`         // records that came truncated or damaged, given whole from the log
	LogOnly   uint64 `json:"log_only"`       // records of kinds that auditd logs and does not send to plugins, given from the log
	LostHoles uint64 `json:"lost"`           // events that neither stream nor log have
	Stopped   uint64 `json:"auditd_stopped"` // events of when auditd was properly stopped, which no log can have: no loss
	Bypassed  uint64 `json:"bypassed"`       // times the log hung and was left aside
	Foreign   uint64 `json:"foreign"`        // lines of the log that the stream has passed without them: forged or foreign, not given
	LogError  string `json:"log_error,omitempty"`
}

// Merger stands between the reader and the consumers. The reader calls Take, a
// goroutine of its own runs Run.
type Merger struct {
	o    Options
	log  follower // nil: there is none to recover from
	wake chan struct{}
	room chan struct{} // has an element when held records were settled

	mu       sync.Mutex // guards all below; whoever holds it may give records to the consumers
	tracker  *integrity.Tracker
	recent   recentRecords
	nodes    map[string]bool // names in node= of the stream's records
	node     []byte          // of the last one
	awaited  awaited
	pending  pending
	witness  witness
	mode     mode
	entry    *entry // set until the log is read from its place
	held     []heldBatch
	heldSize int
	unsure   int64            // not 0: the log is to be read again from this time on
	sought   time.Time        // when it was read from another place last
	holes    []integrity.Gap  // wanted from further back
	check    atomic.Bool      // the log is to lead for a moment; not guarded
	doubt    time.Time        // when there was reason to doubt the stream last
	quiet    time.Duration    // how long there must be none before the stream leads again
	ioSince  time.Time        // set while the log is being read
	down     time.Time        // the log could not be read: leave it alone until then
	last     time.Time        // arrival of the last record
	latest   integrity.Latest // of the stream's records
	tailSeen bool             // the log's tail was looked at since then
	eoe      eoes
	paused   bool   // the log was not read to its end: too much waits
	searched bool   // the log was read from another place, but not yet to its end
	loseAt   uint64 // with this line judged, what the log should have had is lost; 0: not
	torn     bool   // the log had a hole where it was searched last: it is to be searched again
	ended    bool   // the stream brings nothing any more
	suspect  int    // how many more lines may be parts of an address
	lastFate fate   // of the line judged last
	highest  uint32 // serial of the last line that only the log had
	misses   int    // records in a row that were waited for and are not in the log
	count    Counts
	// searchedFor is for how many of the gaps that the tracker has handed out the log was searched last.
	searchedFor int
	resuming    bool // the consumers are being given the log in its order: nothing before is missing
	// resumedAt is the place in the log from which on one of them was given lines at the start.
	resumedAt auditlog.Position

	doubtful atomic.Int64 // see Doubt; ns since 1970, 0 when there is none

	had     givenBefore
	certain certainty
	foreign foreignLines

	shownMu sync.Mutex // guards shown: whoever asks must not wait for a lossless consumer
	shown   Shown
}

// Shown is what a Merger reports of itself.
type Shown struct {
	Counts
	Serials integrity.Counts `json:"serials"`
}

// entry says where the log begins to lead.
type entry struct {
	millis int64             // from the lines of this time on
	had    auditlog.Position // of the last line that the consumers have
}

const (
	maxHeld    = 16 << 20               // bytes of records that wait for the log, unless Options say less
	stuckAfter = 500 * time.Millisecond // for one read of the log, with the hold full
	lagTime    = 100 * time.Millisecond // the log may lag the stream by this (auditd 2.8)
	quietTime  = 5 * time.Second        // without doubt, before the stream leads again
	idleTime   = time.Second            // without records, before the log's tail is looked at
)

// follower is what a Merger asks of an auditlog.Reader; tests have one that hangs.
type follower interface {
	SeekAfter(id record.ID) (auditlog.Position, error)
	SeekAt(id record.ID) (auditlog.Position, error)
	SeekTime(millis, back int64) (place auditlog.Position, cut bool, err error)
	SeekEnd() (auditlog.Position, error)
	Before(p auditlog.Position, bytes int64, fn func(b *record.Batch, i int)) error
	Go(p auditlog.Position) error
	Next(b *record.Batch) (auditlog.Position, error)
	Close()
}

// Options are what a Merger is made of.
type Options struct {
	Log     *auditlog.Reader // nil: there is none to recover from. Run, Resume and Finish use it
	Network bool             // auditd logs the records of other hosts but does not distribute them
	Static  bool             // the log does not grow: a replay
	// MaxHeld bounds the records that wait for the log, in bytes; lines of the log that
	// wait for the stream have half of it. 0 is 16 MiB.
	MaxHeld int
	Tracker *integrity.Tracker
	Out     Out
	Say     *zap.Logger
	// Saves, which may be nil, reports whether the next run will resume where each consumer is. It is
	// called with the Merger's lock.
	Saves func() bool
	// Panicked, which may be nil, is called with a panic that was caught, with the records at
	// hand, nil for none. They are given as they came.
	Panicked func(stage string, b *record.Batch, fault any)
}

// New returns a Merger in which the stream leads.
func New(o Options) *Merger {
	o.MaxHeld = cmp.Or(o.MaxHeld, maxHeld)
	f := &Merger{o: o, tracker: o.Tracker, nodes: make(map[string]bool),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), tailSeen: true,
		awaited: awaited{base: 1}, pending: pending{ready: 1}}
	if o.Log != nil {
		f.log = o.Log
	}
	f.publish()
	return f
}

// Show returns what was done so far. It may be called from anywhere and does not
// wait.
func (f *Merger) Show() Shown {
	f.shownMu.Lock()
	defer f.shownMu.Unlock()
	return f.shown
}

// publish makes the present counts those that Show returns.
func (f *Merger) publish() {
	c := f.count
	c.Mode = "stream"
	if f.mode != direct {
		c.Mode = "log"
	}
	f.shownMu.Lock()
	f.shown = Shown{c, f.tracker.Counts()}
	f.shownMu.Unlock()
}

// Tracker calls fn with the tracker while nothing else uses it. It reports false
// when that would mean waiting.
func (f *Merger) Tracker(fn func(*integrity.Tracker)) bool {
	if !f.mu.TryLock() {
		return false
	}
	defer f.mu.Unlock()
	fn(f.tracker)
	return true
}

// WithLock calls fn while nothing else gives records to the consumers.
func (f *Merger) WithLock(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// Take takes records of the stream. It belongs to the reader.
func (f *Merger) Take(b *record.Batch) {
	if len(b.Recs) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	now := time.Now() // with the lock: the tracker's time must not go back
	rest := record.Batch{Buf: b.Buf, Recs: b.Recs}
	defer f.rescue("recovery", &rest)
	f.last, f.tailSeen = now, false
	f.noteTimes(b)

	for f.mode == direct || !f.holdBatch(&rest, now) {
		n := f.passWhole(&rest, now)
		if n == len(rest.Recs) {
			return
		}
		f.letLogLead(now, f.writtenAt(rest.Recs[n].Millis), quietTime)
		rest.Recs = rest.Recs[n:]
	}
}

// Doubt returns the time of arrival from which on consumers may lack records that
// audit.log has, the zero time when they lack none. A consumer must not resume after
// that. It may be called from anywhere and does not wait.
//
// It is published before the records that show a doubt are given to any consumer, and
// is taken back only after what was missing has been.
func (f *Merger) Doubt() time.Time {
	if at := f.doubtful.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// noteDoubt publishes what Doubt returns.
func (f *Merger) noteDoubt() {
	if f.log == nil {
		return
	}
	at, ok := f.tracker.Doubt()
	// Serials and records come a little out of order, so the place in doubt may be
	// a little before the record that showed it.
	at = at.Add(-f.tracker.Window() / 4)
	if ok && at.Before(f.certain.until) {
		at = f.certain.until // what is missing from before that the log did not have either
	}
	if !f.certain.entered.IsZero() && (!ok || f.certain.entered.Before(at)) {
		at, ok = f.certain.entered, true
	}
	if !ok || f.resuming {
		f.doubtful.Store(0)
		return
	}
	f.doubtful.Store(at.UnixNano())
}

// passWhole gives records to the consumers, up to the first that is visibly truncated and
// that the log may have whole, and returns how many.
func (f *Merger) passWhole(b *record.Batch, now time.Time) int {
	if f.log == nil || now.Before(f.down) {
		f.passAll(b, now)
		return len(b.Recs)
	}
	n := f.tracker.Observe(b, now)
	f.noteDoubt()
	if n > 0 {
		f.giveObserved(&record.Batch{Buf: b.Buf, Recs: b.Recs[:n]})
	}
	return n
}

// passAll gives records of the stream as they came, also truncated ones.
func (f *Merger) passAll(b *record.Batch, now time.Time) {
	for n := 0; n < len(b.Recs); n++ {
		n += f.tracker.Observe(&record.Batch{Buf: b.Buf, Recs: b.Recs[n:]}, now)
		if n < len(b.Recs) {
			f.tracker.ObserveTruncated(b, n, now)
		}
	}
	f.noteDoubt()
	f.giveObserved(b)
}

// giveObserved gives records that the tracker has taken in.
func (f *Merger) giveObserved(b *record.Batch) {
	if f.log != nil {
		f.recent.add(b)
		f.noteNodes(b)
	}
	f.o.Out.Put(b)
}

// maxNodes bounds the names that are remembered; beyond it every line is given.
const maxNodes = 1024

// noteNodes remembers which nodes the stream shows.
func (f *Merger) noteNodes(b *record.Batch) {
	if !f.o.Network {
		return
	}
	for i := range b.Recs {
		if n := b.Node(i); !bytes.Equal(n, f.node) && len(f.nodes) < maxNodes {
			f.node = append(f.node[:0], n...)
			f.nodes[string(n)] = true
		}
	}
}

// isOtherHosts reports whether a line of the log is another host's that auditd does
// not distribute.
func (f *Merger) isOtherHosts(b *record.Batch, i int) bool {
	n := b.Node(i)
	return f.o.Network && len(n) > 0 && !f.nodes[string(n)] && len(f.nodes) < maxNodes
}

// letLogLead lets the log lead, from the lines of about this time on.
func (f *Merger) letLogLead(now time.Time, millis int64, quiet time.Duration) {
	f.doubt = now
	f.quiet = max(f.quiet, quiet)
	if f.mode != led {
		f.count.Led++
		f.quiet = quiet
		f.mode = led
		f.beginSearch(now, millis)
	}
	poke(f.wake)
}

// beginSearch has the log read from the lines of about this time on. Lines that the consumers already have are left
// out.
func (f *Merger) beginSearch(now time.Time, millis int64) {
	if f.certain.entered.IsZero() {
		f.certain.entered = now
	}
	f.noteDoubt()
	if n := f.pending.ready; n < f.awaited.end() {
		millis = min(millis, f.awaited.line(n).id.Millis) // those no longer wait
	}
	if f.unsure != 0 {
		millis = min(millis, f.unsure)
	}
	f.dropPending()
	f.certain.soon, f.certain.soonEnd = time.Time{}, 0
	f.loseAt, f.searched = 0, false
	f.witness.begin(&f.recent)
	for i := range f.held {
		f.witness.note(&f.held[i].Batch)
	}
	f.had.counts = f.recent.set()
	f.had.oldestAt, f.had.oldest, f.had.oldestKnown = f.recent.oldest()
	f.entry = &entry{millis: f.searchFrom(millis, time.Now())}
	f.unsure = 0
}

// poke puts an element into a channel that has room for one.
func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// bypass leaves the log aside, because a read of it hangs and the stream must not.
func (f *Merger) bypass(now time.Time) {
	f.count.Bypassed++
	f.o.Say.Warn("audit.log does not respond: continuing with the stream alone, gaps stay open",
		zap.Duration("for", time.Since(f.ioSince).Round(time.Millisecond)))
	f.down = now.Add(downTime)
	f.abandonLog(now)
}

// abandonLog gives the records that are held, and lets the stream lead.
func (f *Merger) abandonLog(now time.Time) {
	f.settleHeld(now, len(f.held), true)
	f.letStreamLead()
}

// letStreamLead lets the stream lead again.
func (f *Merger) letStreamLead() {
	f.mode, f.entry, f.had.counts, f.had.matched, f.holes, f.eoe.titled = direct, nil, nil, nil, nil, nil
	f.certain.entered = time.Time{} // the log was read, or cannot be
	f.giveReady(time.Now())
	f.dropPending()
	f.count.Recovered += f.awaited.drop(f.awaited.end())
	f.pending, f.witness.events, f.paused = pending{ready: f.pending.ready}, nil, false
	if f.loseAt != 0 {
		f.loseAt = 0
		f.reportLost()
	}
	f.noteDoubt()
}
