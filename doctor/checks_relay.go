package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/host/broker"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/queue"
)

// notRunning are the findings that explain why the relay does not answer.
var notRunning = append(slices.Clone(unusable), "AR-GAVE-UP", "AR-CRASHED", "AR-NO-DISPATCHER", "AR-NOT-RELOADED", "AR-NOT-STARTED")

func relayChecks() []Check {
	return []Check{
		{Code: "AR-SILENT", Title: "The relay does not answer", Severity: Critical, After: 30 * time.Second, DependsOn: notRunning, Find: findSilent},
		{Code: "AR-REPLACED", Title: "The relay was upgraded and not restarted", Severity: Info, Find: findRelayReplaced},
		{Code: "AR-CONFIG", Title: "The relay's configuration has errors", Severity: Critical, Find: findConfig},
		{Code: "AR-CONFIG-NEWER", Title: "The configuration is newer than what runs", Severity: Warn, DependsOn: []string{"AR-CONFIG"}, After: 30 * time.Second, Find: findConfigNewer},
		{Code: "AR-STREAM-STOPPED", Title: "auditd gives the relay no records", Severity: Critical, After: 30 * time.Second,
			DependsOn: append([]string{"AR-QUEUE-SUSPENDED", "AR-INPUT-STALLED", "AR-SILENT"}, notRunning...), Find: findStream},
		{Code: "AR-INPUT-STALLED", Title: "A lossless sink stops auditd", Severity: Critical, After: 10 * time.Second, Find: findStalled},
		{Code: "AR-UPSTREAM-LOST", Title: "Records were lost before they reached the relay", Severity: Warn,
			DependsOn: []string{"AR-QUEUE-FULL", "AR-QUEUE-SUSPENDED", "AR-KERNEL-LOST", "AR-AUDITD-CUTS"}, Find: findUpstream},
		{Code: "AR-RECOVERY", Title: "Nothing can be recovered from audit.log", Severity: Warn, DependsOn: []string{"AR-NO-LOG"}, Find: findRecovery},
		{Code: "AR-OWN-LOG", Title: "The relay cannot write its own log", Severity: Warn, DependsOn: []string{"AR-SANDBOX-READONLY"}, Find: findOwnLog},
		{Code: "AR-STATE-DIR", Title: "The relay cannot keep its positions, or a spool", Severity: Warn, After: 10 * time.Second, DependsOn: []string{"AR-SANDBOX-READONLY", "AR-DENIED"}, Find: findState},
		{Code: "AR-SANDBOX-OFF", Title: "The relay's own sandbox is not as it could be", Severity: Info, Find: findSandboxOff},
		{Code: "AR-PANICS", Title: "The relay has caught faults of its own", Severity: Warn, Find: findPanics},
		{Code: "AR-CLOCK", Title: "The clock was changed", Severity: Warn, Find: findClock},
	}
}

func findSilent(f *Facts) []Finding {
	if f.Report.Known() || len(f.Relays) == 0 || errors.Is(f.Report.Err, fs.ErrPermission) {
		return nil
	}
	dir := config.DefaultRunDir
	if f.Config.Value != nil {
		dir = f.Config.Value.RunDir
	}
	pid := f.Relays[0].PID

	// SIGTERM does not end the relay; auditd starts it again with the next record.
	fix := fmt.Sprintf("journalctl -t audisp-relay; look again, and if it still does not answer: kill -KILL %d", pid)
	severity := None
	if errors.Is(f.Report.Err, plugin.ErrNotRunning) {
		severity, fix = Warn, fmt.Sprintf("mkdir -p %s && chown root:root %s && chmod 0755 %s", quote(dir), quote(dir), quote(dir))
	}
	return one(Finding{
		Severity: severity, Text: fmt.Sprintf("the relay runs (pid %d), but does not answer on its control socket: what it delivers is not known", pid),
		Evidence: f.Report.Err.Error(), Fix: fix,
	})
}

func findRelayReplaced(f *Facts) []Finding {
	i := slices.IndexFunc(f.Relays, func(p host.Process) bool { return p.Replaced })
	if i < 0 {
		return nil
	}
	fix := f.reload()
	if !f.running() {
		fix = f.restart()
	}
	return one(Finding{
		Text:     fmt.Sprintf("the relay (pid %d) runs from a file that was replaced since", f.Relays[i].PID),
		Evidence: fmt.Sprintf("/proc/%d/exe: %s (deleted)", f.Relays[i].PID, f.Relays[i].Exe), Fix: fix,
	})
}

// configFile is the file of the configuration for messages and commands.
func (f *Facts) configFile() string {
	if r := f.report(); r != nil && r.Config != "" {
		return r.Config
	}
	file, _ := f.dropIn()
	return config.FileOf(file.Config)
}

func findConfig(f *Facts) []Finding {
	r, err := f.report(), f.Config.Err
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !isUnreadable(err) {
		text := "the next start of the relay runs what is right in the file, and the sinks with errors deliver nothing"
		if r != nil {
			text = "the relay runs on the previous configuration, or without the sinks that have errors"
		}
		return one(Finding{Text: text, Evidence: strings.ReplaceAll(err.Error(), "\n", "; "), Fix: f.check()})
	}

	named := f.namedConfig()
	if errors.Is(err, fs.ErrNotExist) && (named != "" || (r != nil && r.ConfigError != "")) {
		return one(Finding{
			Text:     "the configuration does not exist: the relay runs on the previous one, or on its defaults, one unix socket",
			Evidence: err.Error(),
			Fix:      fmt.Sprintf("put it back at %s, then %s", quote(cmp.Or(named, f.configFile())), f.hup()),
		})
	}

	if r != nil && r.ConfigError != "" {
		return one(Finding{
			Text: "the relay could not take up its configuration when it read it last; the file has no errors now", Evidence: r.ConfigError,
			Fix: fmt.Sprintf("kill -HUP %d", r.Pid),
		})
	}
	return nil
}

// namedConfig is the file that the drop-in names, "" where it names none, the default one or a directory:
// those need not be there.
func (f *Facts) namedConfig() string {
	file, _ := f.dropIn()
	if file.Config == "" || file.Config == config.DefaultFile || config.FileOf(file.Config) != file.Config {
		return ""
	}
	return file.Config
}

// check is the command that shows the errors of the configuration and then takes it up.
func (f *Facts) check() string {
	file := quote(f.configFile())
	cmd := fmt.Sprintf("edit %s until audisp-relay check %s finds nothing", file, file)
	if r := f.report(); r != nil {
		cmd += fmt.Sprintf(", then kill -HUP %d", r.Pid)
	}
	return cmd
}

func findConfigNewer(f *Facts) []Finding {
	r := f.report()
	if r != nil && r.Config != "" && f.DropInFile != "" && filepath.Clean(r.Config) != filepath.Clean(f.DropInFile) {
		return one(Finding{
			Text:     fmt.Sprintf("auditd has started the relay with another configuration than its plugin file names now: %s", r.Config),
			Evidence: fmt.Sprintf("status: config = %s; plugin file: %s", r.Config, f.DropInFile),
			Fix:      f.newArguments(),
		})
	}
	if r == nil {
		return nil
	}
	changed, seen := f.configChanged(r)
	switch {
	case !changed && len(r.ConfigLater) > 0:
		keys := strings.Join(r.ConfigLater, ", ")
		return one(Finding{
			Text:     "the relay has read a change that takes effect when it is started again: " + keys,
			Evidence: "status: config at the next start = " + keys, Fix: f.newArguments(),
		})
	case !changed:
		return nil
	}
	return one(Finding{
		Text: "the configuration was changed after the relay had read it: what runs is the earlier one", Evidence: seen,
		Fix: fmt.Sprintf("kill -HUP %d", r.Pid),
	})
}

// configChanged reports whether the configuration is another one than the relay has read, and how that is seen: by its bytes, since a
// file that was put in place by rsync or a package has an older time, and one that was only saved again a newer one. Of a relay that
// does not say what it has read the time decides.
func (f *Facts) configChanged(r *plugin.Report) (changed bool, seen string) {
	written, loaded := f.ConfigAt.Format(time.DateTime), r.ConfigAt.Local().Format(time.DateTime)
	if c := f.Config.Value; c != nil && c.Sum != "" && r.ConfigSum != "" {
		return c.Sum != r.ConfigSum, fmt.Sprintf("%s: written %s, SHA-256 %.12s…; loaded %s, SHA-256 %.12s…", f.configFile(), written, c.Sum, loaded, r.ConfigSum)
	}
	return f.ConfigAt.After(r.ConfigAt.Add(time.Second)), fmt.Sprintf("%s: written %s, loaded %s", f.configFile(), written, loaded)
}

// newArguments is the command that makes auditd start the relay with the arguments of its plugin file:
// before 4.2 a reload does not change those of a plugin that runs.
func (f *Facts) newArguments() string {
	if f.Auditd.Value.AtLeast(4, 2) {
		return f.reload()
	}
	return f.restart()
}

// findStream compares the records of audit.log with when the relay got one last. The time of a
// record is that of its event, so that one that was sent has arrived at that time or later. Those of
// the last moments do not count: on a quiet host the first ones for hours may come between the
// question to the relay and the look into the log, by what doctor itself starts, for example.
func findStream(f *Facts) []Finding {
	r := f.report()
	if r == nil || !f.Log.Known() || f.Log.Value.Why != "" || !f.running() {
		return nil
	}
	last := r.Input.Last
	if last.IsZero() {
		last = r.Started
	}
	if !f.Log.Value.Sent.After(last) {
		return nil
	}
	then := "they come from the log, late"
	if !f.recovers() {
		then = "no sink gets them, as nothing is recovered from the log"
	}
	return one(Finding{
		Text:     fmt.Sprintf("auditd writes records into its log and has given the relay none for %s; %s", span(r.Now.Sub(last)), then),
		Evidence: fmt.Sprintf("%s: last record of %s; last from auditd %s", f.Log.Value.Path, f.Log.Value.Sent.Format(time.DateTime), last.Local().Format(time.DateTime)),
		Fix:      f.restart(),
	})
}

func findStalled(f *Facts) (found []Finding) {
	r := f.report()
	if r == nil {
		return nil
	}
	for i := range r.Consumers {
		c := &r.Consumers[i]
		if c.StalledLately < time.Second {
			continue
		}
		found = append(found, Finding{
			Subject:  c.Name,
			Text:     fmt.Sprintf("the queue of sink %s is full, and qos = lossless: auditd waits for it, and so does the host", c.Name),
			Evidence: fmt.Sprintf("status: the reader waited %.1f s of the last ten; %d records queued; last error: %s", c.StalledLately.Seconds(), c.Queued, cmp.Or(c.Sink.Error, "none")),
			Fix:      fmt.Sprintf("correct what the sink reports, or give it a larger [sinks.%s.spool], or qos = \"lossy\", then kill -HUP %d", c.Name, r.Pid),
		})
	}
	return found
}

// lostText lists what a consumer has lost lately by those causes that wanted selects: in this run of the relay, and where the cause
// has cost nothing in this one, in those before. An auditd from 4.2 on starts the relay again at each reload.
func (f *Facts) lostText(c *consumer.Report, wanted func(cause string) bool) (text string, records uint64) {
	var parts []string
	add := func(cause string, n uint64, when string) {
		parts = append(parts, fmt.Sprintf("%s %d records (%s)", cause, n, when))
		records += n
	}
	for _, cause := range slices.Sorted(maps.Keys(c.Lost)) {
		l := c.Lost[cause]
		if wanted(cause) && f.Now.Sub(l.At) <= f.Limits.LostWithin {
			add(cause, l.Records, "last "+l.At.Local().Format(time.DateTime))
		}
	}

	earlier, when := f.lostEarlier(c)
	for _, cause := range slices.Sorted(maps.Keys(earlier)) {
		if _, again := c.Lost[cause]; !again && wanted(cause) && earlier[cause] > 0 {
			add(cause, earlier[cause], when+", before the relay was started last")
		}
	}
	return strings.Join(parts, ", "), records
}

// lostEarlier is what a consumer has lost in all runs within LostWithin, as far as the relay knows that: to the hour and the day.
func (f *Facts) lostEarlier(c *consumer.Report) (byCause map[string]uint64, when string) {
	switch within := f.Limits.LostWithin; {
	case within >= 24*time.Hour:
		return c.Lost24h, "within a day"
	case within >= time.Hour:
		return c.Lost1h, "within an hour"
	}
	return nil, ""
}

func findUpstream(f *Facts) []Finding {
	r := f.report()
	if r == nil {
		return nil
	}
	text, n := "", uint64(0)
	for i := range r.Consumers { // one that came with a reload lacks what was before
		if t, lost := f.lostText(&r.Consumers[i], queue.BeforeRelay); t != "" && lost >= n {
			text, n = t, lost
		}
	}
	if text == "" {
		return nil
	}
	seen := fmt.Sprintf("%d records were lost in the kernel or between auditd and the relay", n)
	if f.recovers() {
		seen += ", and audit.log does not have them"
	}
	return one(Finding{
		Text: seen, Evidence: "status: " + text,
		Fix: "give auditd more room: -b in the rules, q_depth, max_log_file and num_logs in " + quote(f.Auditd.Value.Conf.File),
	})
}

func findRecovery(f *Facts) []Finding {
	r := f.report()
	if r == nil || r.Recovery.LogError == "" {
		return nil
	}
	return one(Finding{
		Text: "the relay cannot read audit.log, so that what the stream lacks is lost", Evidence: "status: log error = " + r.Recovery.LogError,
		Fix: "see what is in the way: ls -la " + quote(f.Auditd.Value.Conf.LogFile),
	})
}

func findOwnLog(f *Facts) []Finding {
	r := f.report()
	if r == nil || r.LogFault == "" {
		return nil
	}
	fix := fmt.Sprintf("correct output of [log] in %s, or its directory, then kill -HUP %d", quote(f.configFile()), r.Pid)
	if strings.Contains(r.LogFault, "/dev/log") {
		fix = "start the syslog daemon, or " + fix
	}
	return one(Finding{
		Text: "the relay's own messages, of losses too, are not where the configuration says", Evidence: "status: own log fault = " + r.LogFault,
		Fix: fix,
	})
}

// findSandboxOff: what the configuration needs, and what this host does not have, is in order.
func findSandboxOff(f *Facts) []Finding {
	r := f.report()
	if r == nil || len(r.Sandbox.Parts) == 0 {
		return nil
	}

	evidence := "status: sandbox = " + r.Sandbox.String()
	failed := r.Sandbox.Failed()
	if i := slices.IndexFunc(failed, func(p sandbox.Part) bool { return p.Name == sandbox.Worker }); i >= 0 {
		return one(Finding{
			Severity: Warn,
			Text:     fmt.Sprintf("what parses records runs as root, as the process without rights did not begin in three tries: %s", failed[i].Why),
			Evidence: evidence, Fix: "correct that, or allow it in what confines auditd (its unit, a container, SELinux), then " + f.restart(),
		})
	}
	if len(failed) > 0 {
		return one(Finding{
			Severity: Warn,
			Text:     fmt.Sprintf("the kernel has refused %d of %d parts of the relay's sandbox, the first %s: %s", len(failed), len(r.Sandbox.Parts), failed[0].Name, failed[0].Why),
			Evidence: evidence, Fix: "allow it in what confines auditd (its unit, a container, SELinux), then " + f.restart(),
		})
	}
	i := slices.IndexFunc(r.Sandbox.Parts, func(p sandbox.Part) bool {
		return p.Name == sandbox.Worker && strings.Contains(p.Why, broker.MakeUser())
	})
	switch {
	case r.Sandbox.On && i >= 0:
		return one(Finding{
			Text:     "what parses records runs as root, as there is no user for it: whoever takes it over has root's rights",
			Evidence: evidence, Fix: broker.MakeUser() + ", then " + f.restart(),
		})
	case r.Sandbox.On:
		return nil
	}
	return one(Finding{
		Text:     "the relay keeps rights and system calls that it does not need: whoever takes it over has them",
		Evidence: evidence, Fix: fmt.Sprintf("set sandbox = \"on\" in %s, unless a program of a sink needs more, then %s", quote(f.configFile()), f.restart()),
	})
}

func findPanics(f *Facts) []Finding {
	r := f.report()
	if r == nil {
		return nil
	}
	times, last := r.Panics, r.PanicLast
	for i := range r.Consumers {
		if c := &r.Consumers[i]; c.Poison > 0 {
			times, last = times+c.Poison, c.PoisonAt
		}
	}
	if times == 0 {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("%d events made a part of the relay fail; they were delivered as they came", times),
		Evidence: "status: last: " + last, Fix: "upgrade audisp-relay, and report it with the lines of its log: journalctl -t audisp-relay",
	})
}

// findClock: the kernel counts the start of a process from the boot, so that by a clock that was
// changed since, the relay was started at another time than it has noted.
func findClock(f *Facts) []Finding {
	r := f.report()
	if r == nil {
		return nil
	}

	for _, p := range f.Relays {
		if p.PID != r.Pid || p.Started.IsZero() {
			continue
		}
		step := p.Started.Sub(r.Started)
		if step.Abs() <= f.Limits.ClockStep {
			return nil
		}
		way := "forward"
		if step < 0 {
			way = "back"
		}
		return one(Finding{
			Text:     fmt.Sprintf("the clock was set %s by %s while the relay ran: times of records are wrong before or after that, and recovery searches by time", way, span(step.Abs())),
			Evidence: fmt.Sprintf("/proc/%d/stat: started %s by the present clock; status: started %s", p.PID, p.Started.Format(time.DateTime), r.Started.Local().Format(time.DateTime)),
			Fix:      "let the clock be right before auditd starts (chronyd: makestep; systemd: After=time-sync.target), then " + f.restart(),
		})
	}
	return nil
}
