package plugin

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/event"
	"audisp-relay/queue"
	"audisp-relay/queue/spool"
	"audisp-relay/state"
)

// saveEvery is how often positions and balances are put on disk. What a consumer
// was given since then it gets again after a kill.
const saveEvery = 250 * time.Millisecond

// keeper keeps positions and balances in state_dir, over restarts.
type keeper struct {
	dir    *state.Dir      // nil: there is no state_dir
	before state.State     // what the run before has left, but for its consumers
	track  json.RawMessage // the tracker's, as saved last
	failed string          // the error that was said last
	saved  state.State     // last
	stop   chan struct{}
	done   chan struct{}

	mu     sync.Mutex                // guards absent
	absent map[string]state.Consumer // of consumers that are not running now
}

// openState opens state_dir. Without one the plugin works, but forgets.
func (p *Plugin) openState() *keeper {
	k := &keeper{stop: make(chan struct{}), done: make(chan struct{})}
	dir, err := state.Open(p.cfg.StateDir)
	if err != nil {
		p.log.Warn("no state_dir: nothing is spooled, and a restart does not go on where this run ends", zap.Error(err))
		return k
	}
	k.dir = dir
	k.before, err = dir.Load()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.log.Warn("positions lost: consumers get what is in their spools again, and go on with what comes", zap.Error(err))
	}
	k.track = k.before.Tracker
	k.absent = maps.Clone(k.before.Consumers)
	return k
}

// of returns what was saved of a consumer.
func (k *keeper) of(name string) state.Consumer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.absent[name]
}

// retired keeps what a consumer that a reload took away has reached, for when it
// comes back.
func (k *keeper) retired(c *consumer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.absent == nil {
		k.absent = make(map[string]state.Consumer)
	}
	k.absent[c.name] = c.saved()
}

// endState saves for the last time and lets state_dir go. A disk that hangs is not
// waited for: auditd waits for the plugin.
func (p *Plugin) endState() {
	k, saved := p.keep, make(chan struct{})
	close(k.stop)
	go func() {
		defer close(saved)
		<-k.done
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
func (p *Plugin) openSpool(cfg config.Sink, log *zap.Logger) *spool.Spool {
	if p.keep.dir == nil || cfg.Spool.MaxSize == 0 {
		return nil
	}
	sync, err := spool.ParseSync(cfg.Spool.Sync)
	if err == nil {
		var s *spool.Spool
		s, err = spool.Open(spool.Options{Dir: p.keep.dir.SpoolDir(cfg.Name), MaxSize: int64(cfg.Spool.MaxSize), Sync: sync})
		if err == nil {
			if d := s.Damage(); d.Frames > 0 || d.Bytes > 0 || d.Err != nil {
				log.Warn("spool was damaged", zap.String("sink", cfg.Name), zap.Uint64("frames", d.Frames),
					zap.Uint64("records", d.Whole), zap.Uint64("bytes", d.Bytes), zap.Uint64("uncounted", d.Uncounted), zap.Error(d.Err))
			}
			return s
		}
	}
	log.Warn("no spool: what does not fit into memory is lost", zap.String("sink", cfg.Name), zap.Error(err))
	return nil
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
			p.saveState()
		case <-k.stop:
			return
		}
	}
}

// saveState puts positions and balances on disk. It belongs to keepState until
// that has ended, then to the main goroutine.
func (p *Plugin) saveState() {
	k := p.keep
	if k.dir == nil {
		return
	}
	now := p.stateNow()
	if now.Saved = k.saved.Saved; reflect.DeepEqual(now, k.saved) {
		return // an idle host's disk stays asleep
	}
	now.Saved = time.Now()
	if err := k.dir.Save(now, false); err != nil {
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
	p.feed.Tracker(func(t *event.Tracker) {
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
		s.Consumers[c.name] = c.saved()
	}
	return s
}

// saved returns what is to be saved of c.
func (c *consumer) saved() state.Consumer {
	pos := c.queue.Position() // first: the balance may be ahead of it, never behind
	n := c.queue.Counts()
	return state.Consumer{Number: pos.Number, ID: pos.ID, HasID: pos.HasID, First: pos.First, Totals: c.totals(&n, false)}
}

// totals returns the balance of c over all runs. What is queued counts as
// received only where present is asked for: a later run receives it anew, from the
// spool or from audit.log.
func (c *consumer) totals(n *queue.Counts, present bool) map[string]uint64 {
	t := maps.Clone(c.base)
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
	t := maps.Clone(p.keep.before.Input)
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
