package plugin

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/integrity"
	"audisp-relay/config"
	"audisp-relay/queue"
	"audisp-relay/queue/spool"
	"audisp-relay/recovery"
	"audisp-relay/state"
)

// saveEvery is how often positions and balances are put on disk. What a consumer
// was given since then it gets again after a kill.
const saveEvery = 250 * time.Millisecond

// tryEvery is how often a state_dir that is not to be had is tried again.
const tryEvery = time.Second

// keeper keeps positions and balances in state_dir, over restarts.
type keeper struct {
	path  string
	stop  chan struct{}
	done  chan struct{}
	saves atomic.Bool   // what is to be saved can be, as far as is known
	late  chan struct{} // closed when what a state_dir that came late asks for is done; nil: nothing

	// Of keepState, and after that of the main goroutine.
	track  json.RawMessage // the tracker's, as saved last
	failed string          // the error that was said last
	saved  state.State     // last
	tried  time.Time       // when state_dir was not to be had

	mu     sync.Mutex                // guards what follows
	key    []byte                    // of loss markers; never said
	kept   bool                      // it is that in state_dir
	dir    *state.Dir                // nil: there is no state_dir
	before state.State               // what the run before has left, but for its consumers
	absent map[string]state.Consumer // of consumers that are not running now
}

// openState opens state_dir. Without one the plugin works, but forgets, until there is
// one: see lateState.
func (p *Plugin) openState() *keeper {
	k := &keeper{path: p.cfg.StateDir, stop: make(chan struct{}), done: make(chan struct{})}
	p.takeKey(k)
	dir, err := state.Open(k.path)
	if err != nil {
		k.failed, k.tried = err.Error(), time.Now()
		p.log.Warn("no state_dir yet: nothing is spooled, and a restart does not go on where this run ends, until it is to be had", zap.Error(err))
		return k
	}
	k.dir = dir
	k.saves.Store(true)
	k.before = p.loadState(dir)
	k.track = k.before.Tracker
	k.absent = maps.Clone(k.before.Consumers)
	return k
}

// takeKey takes the key in state_dir, or puts the present one there. Where that cannot
// be, markers are signed with one that only this run has.
func (p *Plugin) takeKey(k *keeper) {
	fresh := k.markerKey()
	if fresh == nil {
		fresh = state.NewKey()
	}
	key, err := state.Key(k.path, fresh)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if k.key == nil {
			k.key = fresh
			p.log.Warn("loss markers of this run cannot be verified: their key is not kept", zap.Error(err))
		}
		return
	}
	if k.key != nil && !k.kept {
		p.log.Info("loss markers can be verified from now on")
	}
	k.key, k.kept = key, true
}

func (k *keeper) markerKey() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

// loadState reads what the run before has left.
func (p *Plugin) loadState(dir *state.Dir) state.State {
	before, err := dir.Load()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.log.Warn("positions lost: consumers get what is in their spools again, and go on with what comes", zap.Error(err))
	}
	return before
}

// haveState reports whether state_dir is ours, and takes it where it is to be had.
func (p *Plugin) haveState() bool {
	k := p.keep
	if k.dir != nil && k.dir.Held() {
		return true
	}
	if time.Since(k.tried) < tryEvery {
		return false
	}
	k.tried = time.Now()
	dir, err := state.Try(k.path)
	if err != nil {
		if k.failed != err.Error() {
			k.failed = err.Error()
			p.log.Warn("positions not saved: a restart repeats or misses what came since", zap.Error(err))
		}
		return false
	}
	k.failed, k.saved = "", state.State{}
	p.takeKey(k)
	if k.dir == nil {
		p.lateState(dir)
		return true
	}
	p.log.Warn("state_dir was removed or replaced: it is made again", zap.String("state_dir", k.path))
	k.dir.Close()
	k.mu.Lock()
	k.dir = dir
	k.mu.Unlock()
	return true
}

// of returns what was saved of a consumer, and state_dir.
func (k *keeper) of(name string) (state.Consumer, *state.Dir) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dir == nil {
		// Numbers go on from what an earlier run had, which is not known: whatever
		// it was, it is less than this.
		return state.Consumer{Number: uint64(time.Now().UnixNano()), Totals: k.absent[name].Totals}, nil
	}
	return k.absent[name], k.dir
}

// retired keeps what a consumer that a reload took away has reached, for when it
// comes back.
func (k *keeper) retired(c *consumer, feed *recovery.Merger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.absent == nil {
		k.absent = make(map[string]state.Consumer)
	}
	k.absent[c.name] = c.saved(feed)
}

// endState saves for the last time and lets state_dir go. A disk that hangs is not
// waited for: auditd waits for the plugin.
func (p *Plugin) endState() {
	k, saved := p.keep, make(chan struct{})
	close(k.stop)
	go func() {
		defer close(saved)
		<-k.done
		if k.late != nil {
			<-k.late
			for _, c := range p.consumers() {
				c.abandon() // queues that were made after the others were abandoned
			}
		}
		p.saveState()
		if k.dir != nil {
			k.dir.Close()
		}
	}()
	select {
	case <-saved:
	case <-time.After(leaveTime):
		p.log.Warn("state_dir hangs: the next start goes on from what was saved before")
	}
}

// openSpool opens the spool of a consumer, nil where it has none.
func (p *Plugin) openSpool(dir *state.Dir, cfg config.Sink, log *zap.Logger) *spool.Spool {
	if dir == nil || cfg.Spool.MaxSize == 0 {
		return nil
	}
	s, err := spool.Open(spool.Options{Dir: dir.SpoolDir(cfg.Name), MaxSize: int64(cfg.Spool.MaxSize), Sync: spool.Sync(cfg.Spool.Sync)})
	if err != nil {
		log.Warn("no spool: what does not fit into memory is lost", zap.String("sink", cfg.Name), zap.Error(err))
		return nil
	}
	if d := s.Damage(); d.Frames > 0 || d.Bytes > 0 || d.Err != nil {
		log.Warn("spool was damaged", zap.String("sink", cfg.Name), zap.Uint64("frames", d.Frames),
			zap.Uint64("records", d.Whole), zap.Uint64("bytes", d.Bytes), zap.Uint64("uncounted", d.Uncounted), zap.Error(d.Err))
	}
	return s
}

// keepState saves until stop is closed.
func (p *Plugin) keepState() {
	k := p.keep
	defer close(k.done)
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.safely("positions", p.saveState)
		case <-k.stop:
			return
		}
	}
}

// saveState puts positions and balances on disk. It belongs to keepState until
// that has ended, then to the main goroutine.
func (p *Plugin) saveState() {
	k := p.keep
	held := p.haveState()
	if k.saves.Store(held); !held {
		return
	}
	now := p.stateNow()
	if now.Saved = k.saved.Saved; reflect.DeepEqual(now, k.saved) {
		return // an idle host's disk stays asleep
	}
	now.Saved = time.Now()
	if err := k.dir.Save(now, false); err != nil {
		k.saves.Store(false)
		if k.failed != err.Error() {
			k.failed = err.Error()
			p.log.Warn("positions not saved: a restart repeats or misses what came since", zap.Error(err))
		}
		return
	}
	k.saved = now
	if k.failed != "" {
		k.failed = ""
		p.log.Info("positions are saved again")
	}
}

// stateNow returns what is to be saved. Consumers that the configuration does not
// have at present keep theirs.
func (p *Plugin) stateNow() state.State {
	k := p.keep
	p.feed.Tracker(func(t *integrity.Tracker) {
		if data, err := json.Marshal(t.State()); err == nil {
			k.track = data
		}
	})
	s := state.State{BootID: bootID(), Tracker: k.track,
		Input: p.inputTotals(), Consumers: make(map[string]state.Consumer)}
	k.mu.Lock()
	maps.Copy(s.Consumers, k.absent)
	k.mu.Unlock()
	for _, c := range p.consumers() {
		s.Consumers[c.name] = c.saved(p.feed)
		if len(c.queues()) > 1 {
			// What this run has seen of serials begins behind what is still to be given.
			s.Tracker = k.before.Tracker
		}
	}
	return s
}

// saved returns what is to be saved of c.
func (c *consumer) saved(feed *recovery.Merger) state.Consumer {
	q := c.queues()[0]
	pos := q.Position() // first: balance and doubt may be ahead of it, never behind
	n, base := c.balance()
	s := state.Consumer{Number: pos.Number, ID: pos.ID, HasID: pos.HasID, First: pos.First, Totals: totals(base, &n, false)}
	if f := q.Floor(feed.Doubt()); f != nil {
		s.Floor = (*state.Floor)(f)
	}
	return s
}

// balance returns the counts of c, of both queues where there are two, and what its
// balance was before that.
func (c *consumer) balance() (n queue.Counts, base map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = c.now.Counts()
	if c.later != nil {
		more := c.nowCounts(&n)
		n = c.later.Counts()
		n.Received += more.Received
		n.Delivered += more.Delivered
		n.Filtered += more.Filtered
		n.Discarded += more.Discarded
		n.Queued += more.Queued
		for cause := range n.Lost {
			n.Lost[cause].Records += more.Lost[cause].Records
		}
	}
	return n, c.base
}

// nowCounts returns n, the counts of the first queue, without what was moved to the later
// one. c.mu is held.
func (c *consumer) nowCounts(n *queue.Counts) queue.Counts {
	rest := *n
	if c.moving {
		rest.Received -= n.Delivered - c.handed
		rest.Delivered = c.handed
	}
	return rest
}

// totals returns the balance over all runs, base and n together. What is queued counts as
// received only where present is asked for: a later run receives it anew, from the
// spool or from audit.log.
func totals(base map[string]uint64, n *queue.Counts, present bool) map[string]uint64 {
	t := maps.Clone(base)
	if t == nil {
		t = make(map[string]uint64)
	}
	t["received"] += n.Received
	if !present {
		t["received"] -= n.Queued
	}
	t["delivered"] += n.Delivered
	t["filtered"] += n.Filtered
	t["discarded"] += n.Discarded
	for cause := range queue.NumCauses {
		if l := n.Lost[cause]; l.Records > 0 {
			t["lost "+cause.String()] += l.Records
		}
	}
	return t
}

// inputTotals returns the totals of the input over all runs.
func (p *Plugin) inputTotals() map[string]uint64 {
	p.keep.mu.Lock()
	t := maps.Clone(p.keep.before.Input)
	p.keep.mu.Unlock()
	if t == nil {
		t = make(map[string]uint64)
	}
	if p.feed != nil {
		c := p.feed.Show()
		t["resumed"] += c.Resumed
		t["recovered"] += c.Recovered
		t["mended"] += c.Mended
		t["lost upstream"] += c.LostHoles
		if n := c.Stopped + p.kernelStopped(); n > 0 {
			t[auditdStopped] += n
		}
	}
	if p.kernel != nil {
		t[kernelLost] += p.kernel.lost.Load()
		if seen := p.kernel.seen.Load(); seen >= 0 {
			t[kernelSeen] = uint64(seen)
		}
		if delete(t, kernelLast); p.kernel.last.Load() {
			t[kernelLast] = 1
		}
	}
	return t
}

// bootID tells one run of the kernel from the next (random(4)).
func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}
