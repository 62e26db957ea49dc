package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/host/athand"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/monitor"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/state"
)

// The relay runs in two processes where it can (package monitor). Both begin here as one does: New, and Run. In
// the monitor Run does no more than supervise; in the worker it does all the rest.

// attach connects a worker to its monitor. One that cannot be connected ends: the monitor finds out.
func (p *Plugin) attach() {
	if p.opt.In != nil || !monitor.IsWorker() {
		return
	}
	var err error
	p.worker, p.facts, err = monitor.Attach()
	if err != nil {
		fmt.Fprintln(os.Stderr, "audisp-relay:", err)
		os.Exit(exitDetached)
	}
	p.parent = p.facts.Parent
}

// mapAtHand maps the memory in which a worker notes the events at hand.
func (p *Plugin) mapAtHand() {
	if p.worker == nil {
		return
	}
	fd, err := p.worker.Open(monitor.Item, monitor.OpAtHand, nil, nil)
	if err == nil {
		p.atHand, err = athand.Map(fd, p.facts.Poison)
	}
	if err != nil {
		p.sayStart(fmt.Errorf("events at hand cannot be noted: %w", err))
	}
}

// watches reports whether this process is to be the monitor. What both would say of the configuration the worker says.
func (p *Plugin) watches() bool { return p.opt.In == nil && p.worker == nil && p.alone == "" }

// exitDetached is the status of a worker without a monitor.
const exitDetached = 3

// whyAlone says why the relay does not run in two processes, "" if it does.
func (p *Plugin) whyAlone() string {
	switch {
	case p.cfg.Sandbox == "off":
		return `sandbox = "off"`
	case os.Geteuid() != 0:
		return "the relay is not root's"
	case p.cfg.PluginDir != "":
		return "plugin_dir is read: import it (audisp-relay install --import)"
	case p.inherited.NoPrograms:
		return "the program in whose place this one is has given up the right to start any: restart auditd"
	}

	uid, gid, err := broker.Account()
	if err == nil {
		err = notForWorker(p.cfg, uid, gid)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// NotForWorker says which directory of a configuration keeps the relay of this host from running in two processes. It is nil where
// something else does, which is said elsewhere, as that there is no user for the second one.
func NotForWorker(cfg *config.Config) error {
	uid, gid, err := broker.Account()
	if err != nil || cfg.Sandbox == "off" {
		return nil
	}
	return notForWorker(cfg, uid, gid)
}

func notForWorker(cfg *config.Config, uid, gid int) error {
	for _, dir := range ownDirs(cfg) {
		err := state.Reach(dir, uid, gid)
		if err == nil && !state.IsWorkers(dir) { // what is in it then is what a worker has made
			err = state.Foreign(dir)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// ownDirs lists the directories in which the relay alone makes files. One that is beneath another, as those of dead letters are beneath
// state_dir, is not among them: the worker makes it, and has it with the other.
func ownDirs(cfg *config.Config) []string {
	all := []string{strings.TrimRight(cfg.StateDir, "/")}
	for i := range cfg.Sinks {
		if o, ok := cfg.Sinks[i].Settings.(config.Owner); ok {
			all = append(all, o.Owns()...)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(dir string) bool { return mayWriteIn(all, dir) })
}

// supervise makes this process the monitor, and returns when the relay ends. It reports false in a worker, and where there is to be
// no other process, or none begins: then this one does everything, and has state_dir back from the worker that may have been there
// before.
func (p *Plugin) supervise(buffer int) (done bool, err error) {
	if p.worker != nil {
		return false, nil
	}

	if p.alone == "" {
		end, err := p.watchWorkers(buffer)
		switch end {
		case monitor.Ended:
			return true, nil
		case monitor.Renew:
			p.signals.ignore()
			return true, ErrRenew
		case monitor.Failed:
			return true, fmt.Errorf("worker: %w", err)
		}
		p.alone, p.noWorker = "no worker starts: "+err.Error(), true
		p.sayConfig(p.warnings, p.cfgErr)
		p.log.Error("no worker starts, so the relay runs in one process, which has root's rights: correct what error says, then restart auditd", zap.Error(err))
	}

	if os.Geteuid() == 0 {
		for _, dir := range ownDirs(p.cfg) {
			if state.IsWorkers(dir) {
				p.sayStart(p.giveDir(dir, 0, 0))
			}
		}
	}
	return false, nil
}

// watchWorkers runs workers until the relay ends.
func (p *Plugin) watchWorkers(buffer int) (monitor.End, error) {
	uid, gid, err := broker.Account()
	if err != nil {
		return monitor.NoWorker, err
	}
	o := monitor.Options{
		Log: p.log.limited(), UID: uid, GID: gid, Confined: p.inherited.Worker, Early: p.inherited.Early,
		Renewing: func(early int) {
			p.renew.env = heritage{Buffer: buffer, Worker: true, Early: early}.leave()
		},
		Facts:   monitor.Facts{Parent: p.parent, Buffer: buffer},
		Dirs:    p.lookUpWritable,
		Open:    func() monitor.Session { return newDesk(p) },
		Ready:   func() { p.collect(); p.confineMonitor(); p.trimmed.trim(time.Now(), p.log) },
		Signals: p.signals.forwarded(),
	}

	if p.cfg.Log.Output != "stderr" {
		o.Stderr = func(text []byte) { _ = stderrLog{}.put(zapcore.Entry{}, shown(text)) } // auditd mostly does not keep it
	}
	return monitor.Run(o)
}

// begin is what a worker begins with in its sandbox. It tells the monitor how far it has come: from the first of the two on a death of
// the worker is no reason for one process any more, after the second one the monitor gives up the right to look into other processes.
func (p *Plugin) begin() {
	_ = p.worker.Do(monitor.Item, monitor.OpConfined, nil, nil) // without a monitor it ends anyway
	p.keepProcesses(p.cfg)                                      // their names and arguments anybody may have chosen
	_ = p.worker.Do(monitor.Item, monitor.OpReady, nil, nil)
}

// lookUpWritable lists where the next worker may write: beneath the directories in which those of its own are, so that one which was
// removed can be made again, and in what root has put a link to. What is missing is made before, as landlock takes what is there.
func (p *Plugin) lookUpWritable() []string {
	cfg, _, _ := loadConfig(p.opt.Config, p.parent) // the worker says what is wrong with it
	p.writable = nil
	for _, dir := range ownDirs(cfg) {
		_ = state.MakeAbove(dir) // the error comes again when it is given
		p.writable = append(p.writable, filepath.Dir(dir))
		if is, err := state.Real(dir); err == nil && is != dir {
			p.writable = append(p.writable, is)
		}
	}
	return p.writable
}

// mayWriteIn reports whether a worker that may write beneath the directories of a list may do so in one.
func mayWriteIn(writable []string, dir string) bool {
	return slices.ContainsFunc(writable, func(above string) bool { return strings.HasPrefix(dir, strings.TrimSuffix(above, "/")+"/") })
}

// confineMonitor gives up what the monitor does not need. It starts programs, the worker for one.
func (p *Plugin) confineMonitor() {
	p.sandbox = sandbox.Enter(sandbox.Options{Monitor: true, OneProcess: "it is the monitor", Programs: "the monitor starts the worker, and the programs of sinks"})
	p.log.Debug("sandbox of the monitor", zap.Stringer("parts", p.sandbox))
}

// orphaned reports whether auditd has gone, as far as this process sees or its monitor says.
func (p *Plugin) orphaned() bool {
	if p.worker == nil {
		return os.Getppid() != p.parent
	}
	select {
	case said := <-p.worker.Notices():
		return said == monitor.Orphaned
	default:
		return false
	}
}

// monitorGone returns what is closed when the monitor of a worker has ended. The kernel kills the worker then; where a security
// module has kept it from that, the worker ends itself, and at once: auditd has started another relay, and this one can read no
// audit.log any more, so that what it still delivered would stay as the stream has it, cut or with holes.
func (p *Plugin) monitorGone() <-chan struct{} {
	if p.worker == nil {
		return nil
	}
	return p.worker.Gone()
}

// auditdNow returns the process that the plugin belongs to at present.
func (p *Plugin) auditdNow() int {
	if p.worker != nil {
		return p.parent
	}
	return os.Getppid()
}

// noteFraming tells the monitor how records are cut, for a worker that has to begin in the middle of one. The monitor notes it
// without waiting for anything, and it happens once or twice in a run.
func (p *Plugin) noteFraming(f stream.Framing) {
	if p.worker != nil {
		_ = p.worker.Do(monitor.Item, monitor.OpFraming, f, nil) // a monitor that has gone starts no other
	}
}
