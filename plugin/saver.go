package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
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
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue/spool"
	"audisp-relay/state"
)

// saveEvery is how often positions and balances are saved. After a kill a consumer receives again what it was given
// since then.
const saveEvery = 250 * time.Millisecond

// tryEvery is how often a state_dir that cannot be used is tried again.
const tryEvery = time.Second

// stateSaver saves positions and balances in state_dir, over restarts.
type stateSaver struct {
	path  string
	first chan struct{} // has an element when records were given, in the first moments of this run
	stop  chan struct{}
	done  chan struct{}
	saves atomic.Bool     // what is to be saved can be, as far as is known
	late  <-chan struct{} // closed when what a state_dir that came late asks for is done; nil: nothing

	// Of saveRegularly, and after that of the main goroutine.
	track  json.RawMessage // the tracker's, as saved last
	failed lastError
	saved  state.State // last
	tried  time.Time   // when state_dir could not be used

	mu     sync.Mutex                // guards what follows
	key    []byte                    // of loss markers; never shown
	kept   bool                      // it is that in state_dir
	dir    *state.Dir                // nil: there is no state_dir
	before state.State               // what the run before has left, but for its consumers
	absent map[string]state.Consumer // of consumers that are not running now
	fault  string                    // why state_dir cannot be used, "" where it can
	spools map[string]string         // why sinks that are to have a spool have none, by their names
}

// openState opens state_dir. Without one the plugin works, but forgets, until there is
// one: see lateState.
func (p *Plugin) openState() *stateSaver {
	k := &stateSaver{path: p.cfg.StateDir, first: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	p.takeKey(k)
	dir, err := state.Open(k.path)
	if err != nil {
		k.failed.replace(err)
		k.setFault(err)
		k.tried = time.Now()
		p.log.Warn("state_dir cannot be used yet: until it can, nothing is spooled, and a restart cannot resume where this run ends", zap.Error(err))
		return k
	}
	k.dir = dir
	k.saves.Store(true)
	k.before = p.loadState(dir)
	k.track = k.before.Tracker
	k.absent = maps.Clone(k.before.Consumers)
	return k
}

// takeKey takes the key in state_dir, or puts the present one there. If neither works, markers are signed with a key
// that only this run has.
func (p *Plugin) takeKey(k *stateSaver) {
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
			p.log.Warn("loss markers of this run cannot be verified: their key is not saved", zap.Error(err))
		}
		return
	}

	if k.key != nil && !k.kept {
		p.log.Info("loss markers can be verified from now on")
	}
	k.key, k.kept = key, true
}

func (k *stateSaver) markerKey() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

// loadState reads what the run before has left.
func (p *Plugin) loadState(dir *state.Dir) state.State {
	before, err := dir.Load()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.log.Warn("positions lost: consumers get what is in their spools again, then new records", zap.Error(err))
	}
	return before
}

// haveState reports whether state_dir is ours, and takes it where that is possible.
func (p *Plugin) haveState() bool {
	k := p.saver
	if k.dir != nil && k.dir.Held() {
		return true
	}
	if time.Since(k.tried) < tryEvery {
		return false
	}

	k.tried = time.Now()
	dir, err := state.Try(k.path)
	if err != nil {
		p.noteSave(err)
		return false
	}
	k.failed, k.saved = lastError{}, state.State{}
	k.setFault(nil)
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

// heldDir returns the path of state_dir, "" while it cannot be used.
func (k *stateSaver) heldDir() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dir == nil {
		return ""
	}
	return k.path
}

// of returns what was saved of a consumer, and state_dir.
func (k *stateSaver) of(name string) (state.Consumer, *state.Dir) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dir == nil {
		// Numbers continue those of an earlier run, which are not known: whatever they
		// were, they are less than this.
		number := uint64(time.Now().UnixNano())
		return state.Consumer{Position: state.Position{Number: number}, Totals: k.absent[name].Totals, Losses: k.absent[name].Losses}, nil
	}
	return k.absent[name], k.dir
}

// retired keeps what a consumer that a reload took away has reached, for when it
// comes back.
func (k *stateSaver) retired(c *consumer.Consumer, doubt func() time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.absent == nil {
		k.absent = make(map[string]state.Consumer)
	}
	k.absent[c.Name] = c.Saved(doubt)
}

// endState saves for the last time and lets state_dir go. A disk that hangs is not
// waited for: auditd waits for the plugin.
func (p *Plugin) endState() {
	k := p.saver
	close(k.stop)
	saved := inBackground(func() {
		<-k.done
		if k.late != nil {
			<-k.late
			for _, c := range p.consumers() {
				c.Shutdown() // queues that were made after the others had ended
			}
		}
		p.saveState()
		if k.dir != nil {
			k.dir.Close()
		}
	})

	if !awaitFor(leaveTime, saved) {
		p.log.Warn("state_dir does not respond: the next start resumes from the last saved positions")
	}
}

// openSpool opens the spool of a consumer, nil where it has none.
func (p *Plugin) openSpool(dir *state.Dir, cfg config.Sink, log *zap.Logger) *spool.Spool {
	if dir == nil || cfg.Spool.MaxSize == 0 {
		return nil
	}
	s, err := spool.Open(spool.Options{Dir: dir.SpoolDir(cfg.Name), MaxSize: int64(cfg.Spool.MaxSize), Sync: spool.Sync(cfg.Spool.Sync)})
	p.saver.noteSpool(cfg.Name, err)
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

// saveRegularly saves until stop is closed, and in the first moments when records were given, after pauses that double: if
// the very first run of all is killed, nothing else says that there were any.
func (p *Plugin) saveRegularly() {
	k := p.saver
	defer close(k.done)
	tick := time.NewTicker(p.saveEvery)
	defer tick.Stop()
	first, pause := k.first, time.Millisecond
	var again <-chan time.Time

	for {
		select {
		case <-first:
			first, again = nil, time.After(pause)
			pause *= 2
		case <-again:
			first, again = k.first, nil
			continue
		case <-tick.C:
		case <-k.stop:
			return
		}
		p.safely("positions", p.saveState)
	}
}

// saveState puts positions and balances on disk. It belongs to saveRegularly until
// that has ended, then to the main goroutine.
func (p *Plugin) saveState() {
	k := p.saver
	held := p.haveState()
	if k.saves.Store(held); !held {
		return
	}
	now := p.stateNow()
	if now.Saved = k.saved.Saved; reflect.DeepEqual(now, k.saved) {
		return // an idle host's disk stays asleep
	}
	now.Saved = time.Now()
	err := k.dir.Save(now)
	p.noteSave(err)
	if err != nil {
		k.saves.Store(false)
		return
	}
	k.saved = now
}

// setFault takes note of why state_dir cannot be used, nil where it can.
func (k *stateSaver) setFault(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault = ""; err != nil {
		k.fault = err.Error()
	}
}

// noteSpool takes note of why a sink has no spool, nil where it has.
func (k *stateSaver) noteSpool(sink string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if delete(k.spools, sink); err == nil {
		return
	}
	if k.spools == nil {
		k.spools = make(map[string]string)
	}
	k.spools[sink] = err.Error()
}

// shownFault says what state_dir does not keep, of itself or for one of these consumers; "" for nothing.
func (k *stateSaver) shownFault(consumers []consumer.Report) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var faults []string
	if k.fault != "" {
		faults = append(faults, k.fault)
	}
	for i := range consumers {
		name := consumers[i].Name
		if why := k.spools[name]; why != "" {
			faults = append(faults, fmt.Sprintf("sinks.%s has no spool: %s", name, why))
		} else if why := consumers[i].SpoolFault; why != "" {
			faults = append(faults, fmt.Sprintf("the spool of sinks.%s takes nothing: %s", name, why))
		}
	}
	return strings.Join(faults, "; ")
}

// noteSave logs that positions cannot be saved, and that they can again.
func (p *Plugin) noteSave(err error) {
	p.saver.setFault(err)
	switch changed := p.saver.failed.replace(err); {
	case changed && err != nil:
		p.log.Warn("positions not saved: a restart repeats or misses what came since", zap.Error(err))
	case changed:
		p.log.Info("positions are saved again")
	}
}

// stateNow returns what is to be saved. Consumers that the configuration does not
// have at present keep theirs.
func (p *Plugin) stateNow() state.State {
	k := p.saver
	var track integrity.State
	if p.feed.Tracker(func(t *integrity.Tracker) { track = t.State() }) {
		if data, err := json.Marshal(track); err == nil { // the reader need not wait for that
			k.track = data
		}
	}
	s := state.State{BootID: bootID(), Tracker: k.track,
		Input: p.inputTotals(), Consumers: make(map[string]state.Consumer)}
	k.mu.Lock()
	maps.Copy(s.Consumers, k.absent)
	k.mu.Unlock()

	for _, c := range p.consumers() {
		s.Consumers[c.Name] = c.Saved(p.feed.Doubt)
		if len(c.Queues()) > 1 {
			// What this run has seen of serials begins after what is still to be given.
			s.Tracker = k.before.Tracker
		}
	}
	return s
}

// inputTotals returns the totals of the input over all runs.
func (p *Plugin) inputTotals() map[string]uint64 {
	t := make(map[string]uint64)
	p.saver.mu.Lock()
	maps.Copy(t, p.saver.before.Input)
	p.saver.mu.Unlock()
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

// bootID identifies one run of the kernel (random(4)). Unlike host.BootID it has its dashes, as state_dir has it
// from earlier versions: without them every upgrade would look like another boot.
func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}
