// Package checkpoint says when each sink gets a checkpoint, and numbers them so that no number comes
// twice, over restarts, kills and power failures.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"audisp-relay/fleet/wire"
	"audisp-relay/state"
)

// How often a sink gets a checkpoint: while records come for it, and while none do.
const (
	Active = 10 * time.Second
	Idle   = 60 * time.Second
)

// fileName is the file in state_dir.
const fileName = "checkpoints.json"

// maxSinks bounds what is read of the file.
const maxSinks = 10_000

// Progress is how far a sink is: Received rises with every record for it.
type Progress struct {
	Sink     string
	Received uint64
}

// Due is a checkpoint that is due.
type Due struct {
	Sink, Epoch string
	N           uint64
	Time, Next  time.Time
	Reason      string
}

// Maker numbers checkpoints. It is safe for use by several goroutines; Next may wait for the disk,
// and the others then for it.
type Maker struct {
	mu    sync.Mutex // guards all below
	path  string     // "" without state_dir: the numbers hold for this run only
	sinks map[string]*course
}

// course is where a sink is.
type course struct {
	Epoch string `json:"epoch"`
	// N is the last number that may have been used. On disk it is one more than the last that was,
	// which is kept for the last word: at the end there is no time for the disk.
	N uint64 `json:"n"`

	running  bool
	kept     bool // the number of the last word is reserved
	received uint64
	at, next time.Time
}

// file is what stands in state_dir.
type file struct {
	Sinks map[string]*course `json:"sinks"`
}

// New returns a Maker that continues with what stands in dir, a state_dir that is held; "" for
// none. An error says that the numbers begin again with new epochs, and why; the Maker works.
func New(dir string) (*Maker, error) {
	m := &Maker{sinks: make(map[string]*course)}
	if dir == "" {
		return m, nil
	}
	m.path = filepath.Join(dir, fileName)
	data, err := state.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}

	var f file
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return m, fmt.Errorf("numbers of checkpoints: %s: %w", m.path, err)
	}

	if f.Sinks != nil {
		m.sinks = f.Sinks
	}
	return m, nil
}

// check returns why a file is not one that the relay has written.
func (f *file) check() error {
	if len(f.Sinks) > maxSinks {
		return fmt.Errorf("%d sinks", len(f.Sinks))
	}
	for name, c := range f.Sinks {
		if c == nil || !wire.ValidEpoch(c.Epoch) || c.N >= 1<<62 {
			return fmt.Errorf("sink %.64q has no epoch or number", name)
		}
	}
	return nil
}

// Next returns the checkpoints that are due of the sinks that run now, numbered and with the
// numbers on disk. With an error they are numbered as well, but a kill may make a number come twice.
func (m *Maker) Next(now time.Time, running []Progress) ([]Due, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	present := make(map[string]bool, len(running))
	var list []Due
	for _, p := range running {
		present[p.Sink] = true
		if d, due := m.due(now, p); due {
			list = append(list, d)
		}
	}
	for name, c := range m.sinks {
		c.running = c.running && present[name]
	}
	if len(list) == 0 || m.path == "" {
		return list, nil
	}
	return list, m.save()
}

// due returns the checkpoint of one sink, if it is time.
func (m *Maker) due(now time.Time, p Progress) (Due, bool) {
	c := m.sinks[p.Sink]
	if c == nil {
		c = &course{Epoch: wire.NewEpoch()}
		m.sinks[p.Sink] = c
	}
	reason := wire.ReasonTick
	active := p.Received != c.received
	switch {
	case !c.running:
		reason = wire.ReasonStart
	case active && !now.Before(c.at.Add(Active)), !now.Before(c.next):
	default:
		return Due{}, false
	}

	pause := Idle
	if active || reason == wire.ReasonStart {
		pause = Active
	}
	if !c.kept {
		c.N++ // else the number that was kept for a last word is used
	}
	c.running, c.kept, c.received, c.at, c.next = true, false, p.Received, now, now.Add(pause)
	d := Due{p.Sink, c.Epoch, c.N, now, c.next, reason}
	c.N++
	c.kept = true
	return d, true
}

// End returns the last word of a sink, "" as its Sink if it has had no checkpoint. It does not
// wait for the disk, but for a Next that does.
func (m *Maker) End(now time.Time, sink string) Due {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.sinks[sink]
	if c == nil || !c.running || !c.kept {
		return Due{}
	}
	c.running, c.kept = false, false
	return Due{sink, c.Epoch, c.N, now, now, wire.ReasonEnd}
}

// save puts the numbers on disk. m.mu is held.
func (m *Maker) save() error {
	data, err := json.Marshal(file{m.sinks})
	if err == nil {
		err = state.ReplaceSynced(m.path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("numbers of checkpoints: %w", err)
	}
	return nil
}
