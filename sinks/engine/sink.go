package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// Options are what a Sink is made of.
type Options struct {
	Name    string
	Format  string // by its name in the configuration
	Encoder format.Encoder
	// StateDir is that of the relay: the journal is in a directory there. "": there is none, and
	// what a kill makes the queue give again is sent again.
	StateDir string
	Host     Host
	Retain   int64         // bytes of acknowledged batches that are kept
	Age      time.Duration // and for how long
	Gather   time.Duration // the least time between the beginnings of two batches that are not full
	Zstd     bool
	// Each makes a batch of each event.
	Each bool
	Log  *zap.Logger
}

// Sink is the sinks.Sink made of a Place: one goroutine that takes records from the queue, makes
// a batch of them and has it stored, one after the other.
type Sink struct {
	*sinks.Health
	MinBackoff, MaxBackoff time.Duration

	opt    Options
	place  Place
	log    *zap.Logger
	reopen chan struct{}

	// Of the goroutine of Run.
	q       *queue.Queue
	cur     *queue.Cursor
	build   builder
	size    sizer
	journal *journal // nil: there is none
	broken  bool     // the journal cannot be written
	head    wire.Header
	synced  bool
	placed  bool      // the sink was synced once: what the engine has got in this epoch since then was sent by it
	retry   time.Time // when an engine that nothing is waiting for is asked again
	acked   uint64    // number of the first record that is not known to be acknowledged
	sure    uint64    // up to where it is known that the engine had acknowledged all: at most acked
	number  uint64    // of the engine's message that was acknowledged last
	tail    *Tail     // where to look for the engine's last record in the queue; nil: it is known
	pending *Batch    // made and not acknowledged
	taken   int       // how many records of the queue it is made of
	passed  uint64    // number in the queue after the last batch that was made
	ackedAt time.Time // when the engine has acknowledged something last, about
	rolled  bool      // the engine has lost something that is being sent again
	doubt   inDoubt   // the batch sent again that the engine may have taken
	owed    uint64    // number of the first record that is to be sent again, as that was broken off; 0: none
	begun   time.Time // when the last batch was made
	idle    bool      // nothing has waited since
	fails   int       // failures since something was acknowledged

	said checkpoints

	mu     sync.Mutex // guards counts
	counts Counts
}

var _ sinks.Sink = (*Sink)(nil)

// Counts are what a Sink has done since it was made.
type Counts struct {
	Epoch     string        `json:"epoch,omitempty"`
	Sequence  uint64        `json:"sequence,omitempty"`         // number of the last record that was acknowledged
	Batches   uint64        `json:"batches,omitempty"`          // that were acknowledged
	Bytes     uint64        `json:"batch_bytes,omitempty"`      // of their bodies, as sent
	Known     uint64        `json:"known,omitempty"`            // records that came again and that the engine had
	Rollbacks uint64        `json:"engine_rollbacks,omitempty"` // times that the engine lacked what it had acknowledged
	Resent    uint64        `json:"engine_resent,omitempty"`    // records that it had lost, sent again
	Lost      uint64        `json:"engine_lost,omitempty"`      // those that are no longer retained
	Unmatched uint64        `json:"unmatched,omitempty"`        // times that its last record was not found, so that records may have come twice
	Foreign   uint64        `json:"foreign,omitempty"`          // times that another relay or sink had written in this one's place
	Ack       time.Duration `json:"ack_ns,omitempty"`           // mean of the last acknowledgements
	BatchSize int           `json:"batch_size,omitempty"`       // bytes of records that a batch has at present, where there are so many
	Announced time.Time     `json:"-"`                          // the time of the last checkpoint that the engine has stored
}

// New returns a sink that delivers to place. It touches nothing until it runs.
func New(o Options, place Place) *Sink {
	s := &Sink{
		Health:     sinks.NewHealth(o.Name, o.Log),
		MinBackoff: sinks.DefaultMinBackoff,
		MaxBackoff: sinks.DefaultMaxBackoff,
		opt:        o,
		place:      place,
		log:        o.Log.With(zap.String("sink", o.Name)),
		reopen:     make(chan struct{}, 1),
		acked:      1,
		sure:       1,
	}
	s.build.enc = o.Encoder
	s.head = wire.Header{Host: o.Host.ID, Name: wire.Clean(o.Host.Name, 255), Boot: o.Host.Boot, Sink: o.Name, Format: o.Format}
	if o.Zstd {
		s.build.zip = newZip()
	}
	return s
}

// Reopen implements sinks.Sink.
func (s *Sink) Reopen() { sinks.Poke(s.reopen) }

// Counts returns the counts of this moment. It may be called from anywhere.
func (s *Sink) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// count changes the counts.
func (s *Sink) count(f func(c *Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

// tickInterval is how often the Place has its turn.
const tickInterval = time.Second

// Run implements sinks.Sink.
func (s *Sink) Run(ctx context.Context, q *queue.Queue) {
	s.q, s.cur = q, q.Cursor()
	defer s.cur.Close()
	s.begin(ctx)
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for s.deliver(ctx, tick.C) == nil {
		select {
		case <-s.cur.Ready():
		case <-tick.C:
			s.tick(ctx)
		case <-s.reopen:
			s.again()
		case <-ctx.Done():
		}
	}

	s.note(sinks.Guard(func() error {
		s.announce(ctx, true)
		return s.place.Close()
	}))
	if s.journal != nil {
		s.journal.close()
	}
	if s.build.zip != nil {
		s.build.zip.Close()
	}
}

// again opens the connection again.
func (s *Sink) again() {
	s.synced = false
	s.retry = time.Time{}
	s.note(sinks.Guard(s.place.Reopen))
}

func (s *Sink) tick(ctx context.Context) {
	s.note(sinks.Guard(func() error { return s.place.Tick(ctx) }))
}

func (s *Sink) note(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failed(err)
	}
}

// begin opens the journal and takes in what it says.
func (s *Sink) begin(ctx context.Context) {
	s.head.Epoch = wire.NewEpoch()
	defer func() { s.count(func(c *Counts) { c.Epoch = s.head.Epoch }) }()
	if s.opt.StateDir == "" {
		return
	}

	j, f, err := s.openJournal(ctx)
	if err != nil {
		s.log.Warn("no journal of batches: after a kill the last records are sent twice, and records that the engine loses are not sent again", zap.Error(err))
		return
	}
	if f.damage != nil {
		s.log.Warn("journal of batches was damaged, most likely by a power cut: the engine's last batch shows what is missing", zap.Error(f.damage))
	}
	s.journal = j
	s.passed = s.q.Position().Number
	s.build.known.ends, err = j.noteRun(s.q.Begin(), s.passed)
	s.noteJournal(err)
	if f.last.Header.Seq == 0 {
		j.clear() // of files that are damaged from their beginning
		return
	}

	s.head.Epoch = f.last.Header.Epoch
	s.acked, s.sure = f.last.Header.Next(), f.last.Header.Seq
	s.ackedAt = f.at
	s.recall(f)
}

// lockTime is how long a relay that is ending may still have the journal.
const lockTime = 1500 * time.Millisecond

func (s *Sink) openJournal(ctx context.Context) (*journal, *found, error) {
	dir := filepath.Join(s.opt.StateDir, "engine", s.opt.Name)
	for began := time.Now(); ; s.pause(ctx, lockTime/30) {
		j, f, err := openJournal(dir, s.opt.Retain, s.opt.Age)
		if !errors.Is(err, errLocked) || time.Since(began) > lockTime || ctx.Err() != nil || sinks.IsClosed(s.q.Closed()) {
			return j, f, err
		}
	}
}

// recall notes what the queue may give again. Its position does not bound that: records that came
// late were sent with lower numbers and may stand after it in audit.log.
func (s *Sink) recall(f *found) {
	k := &s.build.known
	k.before, k.sent = s.q.Begin(), f.last.next
	if f.last.run == thisRun {
		k.before = f.last.next // the queue is the one it was
	}
	for _, ids := range f.entries {
		for _, id := range ids {
			k.note(id)
		}
	}
	if l := f.last.Header.Last; l.N > 0 {
		s.build.events[0] = l
	}
}

// deliver sends what there is. It returns an error when there is nothing more to come or ctx
// has ended.
func (s *Sink) deliver(ctx context.Context, tick <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.reopen:
			s.again()
		case <-tick:
			s.tick(ctx)
		default:
		}
		done, err := s.step(ctx)
		switch {
		case done && err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNothing):
			return nil
		case err == nil:
			if s.fails == 0 {
				s.OK()
			}
			continue
		}

		s.synced = false
		if s.fails++; s.fails == 1 && errors.Is(err, ErrMoved) {
			continue // as a rule the next one is right
		}
		s.failed(err)
		if !s.wait(ctx, min(s.MinBackoff<<min(s.fails-1, 16), s.MaxBackoff)) {
			return ctx.Err()
		}
	}
}

// errNothing: there is nothing to do at present.
var errNothing = errors.New("nothing to do")

// step does one thing: it finds the place in the engine, or sends one batch. done says that err
// is the queue's.
func (s *Sink) step(ctx context.Context) (done bool, err error) {
	defer func() {
		if errors.As(err, new(*sinks.PanicError)) {
			s.note(sinks.Guard(s.place.Reopen))
		}
	}()
	defer sinks.Recovered(&err)
	if s.place.Moved() {
		s.synced = false
	}
	s.announce(ctx, false)
	idle := false
	if s.pending == nil {
		b, err := s.cur.Take()
		if err != nil {
			return true, err
		}
		idle = len(b.Recs) == 0
	}

	switch {
	case !s.synced && idle:
		return false, s.askIdle(ctx)
	case !s.synced:
		return false, s.sync(ctx)
	case idle:
		s.rested()
		return false, errNothing
	case s.tail != nil:
		return false, s.search(ctx)
	}
	if s.pending == nil {
		if err := s.gather(ctx); err != nil || s.pending == nil {
			return false, err
		}
	}
	return false, s.send(ctx, s.pending)
}

// askIdle finds the place in the engine while nothing waits for it: then a failure is no
// reason to keep the sink from ending.
func (s *Sink) askIdle(ctx context.Context) error {
	if time.Now().Before(s.retry) {
		return errNothing
	}
	err := s.sync(ctx)
	if err == nil {
		s.rested()
		return errNothing
	}
	if ctx.Err() == nil {
		s.failed(err)
	}
	s.retry = time.Now().Add(tickInterval + rand.N(tickInterval))
	return errNothing
}

// failed says that an attempt failed, and what to do about it.
func (s *Sink) failed(err error) { s.Fail(withAdvice(err)) }

// withAdvice puts into the text of an error what to do about it, if the error knows that.
func withAdvice(err error) error {
	if known, ok := errors.AsType[sinks.Advised](err); ok {
		return fmt.Errorf("%w: %s", err, known.Advice())
	}
	return err
}

// rested notes that nothing is left to do.
func (s *Sink) rested() {
	s.fails, s.idle = 0, true
	s.OK()
}

// wait pauses before the next attempt, up to half more or less than d. A reopen ends the pause:
// what failed may have been repaired.
func (s *Sink) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d/2 + rand.N(d)):
	case <-s.reopen:
		s.again()
	case <-ctx.Done():
		return false
	}
	return true
}

// pause waits for d, unless ctx ends or nothing more will come.
func (s *Sink) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.q.Closed():
	case <-ctx.Done():
	}
}

// collect returns the batches that wait in the queue, up to so many bytes of records, and their
// size. All are valid until the cursor is asked for the next ones.
func (s *Sink) collect(most int) (list []record.Batch, size int, err error) {
	b, err := s.cur.Take()
	for ; err == nil && len(b.Recs) > 0; b = s.cur.More() {
		list = append(list, b)
		for i := range b.Recs {
			size += int(b.Recs[i].Len)
		}
		if size >= most {
			break
		}
	}
	return list, size, err
}
