package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/fleet/wire"
	"audisp-relay/host"
	"audisp-relay/plugin/checkpoint"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
)

// stateWait is how long the first checkpoints wait for a state_dir that comes late: without it
// their numbers begin again.
const stateWait = 30 * time.Second

// checkpoints gives sinks their checkpoints: in a goroutine of its own, and their last words where
// they end.
type checkpoints struct {
	p     *Plugin
	stop  chan struct{}
	ended <-chan struct{} // when that goroutine has

	mu     sync.Mutex        // guards all below; held while the disk has the numbers
	maker  *checkpoint.Maker // nil: none were made yet
	host   string
	boot   string
	name   string
	auditd string
	hashed *config.Config // that hash is of
	hash   string
	failed lastError
}

// startCheckpoints gives checkpoints from now on, until end.
func (p *Plugin) startCheckpoints() *checkpoints {
	c := &checkpoints{p: p, stop: make(chan struct{})}
	c.ended = inBackground(func() {
		every(time.Second, c.stop, func(now time.Time) { p.safely("checkpoints", func() { c.look(now) }) })
	})
	return c
}

// end ends them, after the last words of all sinks. It does not wait long: the numbers may be on
// their way to a disk that hangs.
func (c *checkpoints) end() {
	close(c.stop)
	c.lastWords(c.p.consumers()...)
	awaitFor(flushTime, c.ended)
}

// look gives each sink whose time has come a checkpoint.
func (c *checkpoints) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sinks.IsClosed(c.stop) {
		return
	}
	var running []checkpoint.Progress
	carriers := make(map[string]*consumer.Consumer)
	ledgers := make(map[string]wire.Ledger)
	for _, member := range c.p.consumers() {
		if member.CarriesCheckpoints() {
			ledger := member.Ledger()
			carriers[member.Name], ledgers[member.Name] = member, ledger
			running = append(running, checkpoint.Progress{Sink: member.Name, Received: ledger.Received})
		}
	}
	if c.maker == nil && (len(running) == 0 || !c.begin(now)) {
		return
	}

	list, err := c.maker.Next(now, running)
	if changed := c.failed.replace(err); changed && err != nil {
		c.p.log.Warn("numbers of checkpoints cannot be saved: after a kill one may come twice", zap.Error(err))
	}
	for _, d := range list {
		carriers[d.Sink].Checkpoint(c.fill(d, ledgers[d.Sink]))
	}
}

// begin finds out what stands in every checkpoint. It reports false while it is to be asked again.
func (c *checkpoints) begin(now time.Time) bool {
	dir := c.p.saver.heldDir()
	if dir == "" && now.Sub(c.p.started) < stateWait {
		return false
	}

	maker, err := checkpoint.New(dir)
	if err != nil {
		c.p.log.Warn("checkpoints begin again at 1", zap.Error(err))
	}

	permanent := false
	if c.host, permanent = host.MachineID(); !permanent {
		c.p.log.Warn("checkpoints name this host by its boot: /etc/machine-id has no id (systemd-machine-id-setup makes one)")
	}
	c.boot = host.BootID()
	c.name, _ = os.Hostname()
	if c.p.opt.In == nil {
		_, c.auditd = host.PaddedFrames("")
	}
	c.maker = maker
	return true
}

// fill makes a checkpoint of what is known now.
func (c *checkpoints) fill(d checkpoint.Due, ledger wire.Ledger) wire.Checkpoint {
	p := c.p
	p.mu.Lock()
	cfg, serials := p.cfg, p.serials
	p.mu.Unlock()
	if cfg != c.hashed {
		c.hashed, c.hash = cfg, hashOf(cfg)
	}
	cp := wire.Checkpoint{
		V: wire.Version, Host: c.host, Name: wire.Clean(c.name, 255), Boot: c.boot, Epoch: d.Epoch, Sink: d.Sink,
		N: d.N, Time: d.Time.UTC(), Next: d.Next.UTC(), Seq: ledger.Delivered, Ledger: ledger, Serials: serials,
		Relay: p.opt.Version, Auditd: c.auditd, Config: c.hash, Reason: d.Reason,
	}
	if p.kernel != nil {
		if counts := p.kernel.now.Load(); counts != nil {
			cp.KernelLost = uint64(counts.Lost)
		}
	}
	return cp
}

// lastWords gives sinks that end their last checkpoint, before their queues are closed. It may be
// called from anywhere, and waits for flushTime at most.
func (c *checkpoints) lastWords(members ...*consumer.Consumer) {
	awaitFor(flushTime, inBackground(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.maker == nil {
			return
		}
		c.p.safely("last checkpoints", func() {
			now := time.Now()
			for _, member := range members {
				if d := c.maker.End(now, member.Name); d.Sink != "" {
					member.Checkpoint(c.fill(d, member.Ledger()))
				}
			}
		})
	}))
}

// hashOf returns the SHA-256 of a configuration, without what it says of the machine, "" where it
// has none.
func hashOf(cfg *config.Config) string {
	own := *cfg
	own.Sinks, own.Log.Reserved = slices.Clone(cfg.Sinks), nil // files of auditd, wherever one runs
	for i := range own.Sinks {
		own.Sinks[i].Reserved = nil
	}
	text, err := json.Marshal(&own)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// noteSerials widens a range by the serials of a batch: by its first and its last record, as they
// come in order. auditd's own records have serials of their own.
func noteSerials(s *wire.Serials, b *record.Batch) {
	for _, i := range [...]int{0, len(b.Recs) - 1} {
		r := &b.Recs[max(i, 0)]
		if !r.HasID() || record.OfDaemon(r.Type) {
			continue
		}
		if s.First == 0 || r.Serial < s.First {
			s.First = r.Serial
		}
		s.Last = max(s.Last, r.Serial)
	}
}
