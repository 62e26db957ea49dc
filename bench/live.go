package main

import (
	"fmt"
	"path/filepath"
	"time"

	"audisp-relay/test/lab"
)

// pluginName of the one plugin of a live run.
const pluginName = "bench"

// liveChain is auditd, a plugin or none, and who reads from it.
type liveChain struct {
	who   string
	relay bool
	// process says that the plugin is a process of its own, not part of auditd.
	process bool
	// reads is where a socat takes the stream from, as a file of the run's
	// directory ("s") or lab.DevLog; "" where the plugin writes its own file.
	reads string
	// setup prepares the plugin and names the file that has the stream in the end; nil is auditd
	// alone, whose stream is its log.
	setup func(t *scope, dir string) (p lab.Plugin, out string)
	// unaudited says that no rule is set for the load.
	unaudited bool
}

func (b *bench) liveChains() []liveChain {
	return []liveChain{
		{who: "audisp-relay + socat", relay: true, process: true, reads: "s", setup: func(t *scope, dir string) (lab.Plugin, string) {
			conf := b.relayConf(t, dir, "", unixSink("local", filepath.Join(dir, "s"), ""))
			return lab.Plugin{Path: b.relay, Args: "-c " + conf}, filepath.Join(dir, "out")
		}},
		{who: stockUnix + " + socat", reads: "s", setup: func(t *scope, dir string) (lab.Plugin, string) {
			return lab.Plugin{Path: "builtin_af_unix", Args: "0640 " + filepath.Join(dir, "s")}, filepath.Join(dir, "out")
		}},
		{who: stockSyslog + " + socat", process: true, reads: lab.DevLog, setup: func(t *scope, dir string) (lab.Plugin, string) {
			return lab.Plugin{Path: tool(t, "audisp-syslog"), Args: "LOG_INFO"}, filepath.Join(dir, "syslog")
		}},
		{who: laurelName, process: true, setup: func(t *scope, dir string) (lab.Plugin, string) {
			conf, out := laurelConf(t, dir)
			return b.laurelPlugin(t, dir, conf), out
		}},
	}
}

// liveFigure is what one live run cost.
type liveFigure struct {
	made, lost             int
	rate                   float64
	auditd, plugin, reader time.Duration // CPU
	rss                    int64         // of the plugin, peak bytes
	full                   int           // times auditd said that its queue to plugins was full (5 at most)
}

func (f liveFigure) sum() time.Duration { return f.auditd + f.plugin + f.reader }

func (b *bench) live(t *scope) {
	for _, rate := range []int{8000, 0} {
		what := "live, as fast as the kernel allows"
		if rate > 0 {
			what = fmt.Sprintf("live, %d events/s", rate)
		}
		found := map[string]liveFigure{}
		for _, c := range b.liveChains() {
			if b.leavesOut(c.relay) {
				continue
			}
			b.measure(what, c.who, func(t *scope) { found[c.who] = b.liveOnce(t, c, rate) })
		}
		b.addLive(what, rate, found)
	}
}

func (b *bench) addLive(what string, rate int, found map[string]liveFigure) {
	perEvent := func(f liveFigure) float64 { return f.sum().Seconds() * 1e6 / float64(f.made) }
	for _, c := range b.liveChains() {
		f, ok := found[c.who]
		if !ok {
			continue
		}
		r := row{What: what + ": CPU an event, whole chain", Who: c.who, Value: perEvent(f), Unit: "µs",
			Detail: fmt.Sprintf("auditd %.2f s, plugin %.2f s, reader %.2f s; %d events at %.0f/s, lost %d, queue full said %d times",
				f.auditd.Seconds(), f.plugin.Seconds(), f.reader.Seconds(), f.made, f.rate, f.lost, f.full)}
		if stock, ok := found[stockUnix+" + socat"]; ok && c.relay && rate > 0 {
			r = r.goal("less than af_unix", perEvent(f) < perEvent(stock))
		}
		b.add(r)
	}

	for _, c := range b.liveChains() {
		f, ok := found[c.who]
		if !ok || !c.process {
			continue
		}
		share := 100 * f.plugin.Seconds() / f.auditd.Seconds()
		r := row{What: what + ": plugin's CPU of auditd's", Who: c.who, Value: share, Unit: "%",
			Detail: fmt.Sprintf("lost %d, RSS peak %.1f MiB", f.lost, mib(f.rss))}
		if c.relay && rate == 0 {
			r = r.goal("≤ 15, nothing lost", share <= 15 && f.lost == 0)
		}
		b.add(r)
	}
}

func (b *bench) liveOnce(t *scope, c liveChain, rate int) liveFigure {
	lab.Require(t, "socat")
	dir := b.caseDir(t)
	var plugins []lab.Plugin
	out := ""
	if c.setup != nil {
		var plugin lab.Plugin
		plugin, out = c.setup(t, dir)
		plugin.Name = pluginName
		plugins = append(plugins, plugin)
	}
	// In every chain: it is where auditd complains.
	said := filepath.Join(dir, "syslog")
	devLog := lab.DrainDevLog(t, said)
	a := lab.Start(t, lab.Options{Plugins: plugins})
	if c.setup == nil {
		out = a.Log()
	}
	var reader *lab.Process
	switch c.reads {
	case "":
	case lab.DevLog:
		reader = devLog
	default:
		reader = lab.Follow(t, filepath.Join(dir, c.reads), out)
	}

	a.Drain(out)
	before := b.sample(t, a, c, reader)
	res := a.Load(lab.Load{Rate: rate, Duration: time.Duration(b.seconds) * time.Second, Unwatched: c.unaudited})
	a.Drain(out)
	after := b.sample(t, a, c, reader)
	got, err := lab.CountString(out, res.Text())
	lab.Check(t, err, "count events")
	full, err := lab.CountString(said, "queue to plugins is full")
	lab.Check(t, err, "what auditd said")
	lost := res.Made - got
	if c.unaudited {
		if got > 0 {
			t.Fatalf("%d calls were audited without a rule", got)
		}
		lost = 0
	}
	return liveFigure{made: res.Made, full: full, lost: lost, rate: res.Rate(), rss: after.rss,
		auditd: after.auditd - before.auditd, plugin: after.plugin - before.plugin, reader: after.reader - before.reader}
}

// sample reads the clocks of a chain.
func (b *bench) sample(t *scope, a *lab.Auditd, c liveChain, reader *lab.Process) liveFigure {
	cpu := func(pid int) time.Duration {
		d, err := lab.CPU(pid)
		lab.Check(t, err, "CPU time")
		return d
	}
	f := liveFigure{auditd: cpu(a.PID())}
	if reader != nil {
		f.reader = cpu(reader.PID())
	}
	if c.process {
		pid := a.PluginPID(pluginName)
		f.plugin = cpu(pid)
		_, peak, err := lab.RSS(pid)
		lab.Check(t, err, "memory")
		f.rss = peak
	}
	return f
}
