package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"audisp-relay/config"
	"audisp-relay/host"
)

// unusable are the findings about the relay's drop-in that explain why it does not run.
var unusable = []string{
	"AR-PID-TAKEN", "AR-AUDITD-DOWN", "AR-PLUGIN-DIR", "AR-NOT-INSTALLED", "AR-DROPIN-INACTIVE", "AR-DROPIN-OWNER", "AR-DROPIN-SYNTAX", "AR-PROGRAM",
}

func pluginChecks() []Check {
	return []Check{
		{Code: "AR-PLUGIN-DIR", Title: "auditd's plugin directory cannot be used", Severity: Critical, Find: findPluginDir},
		{Code: "AR-NOT-INSTALLED", Title: "auditd has no plugin file for the relay", Severity: Critical, DependsOn: []string{"AR-PLUGIN-DIR", "AR-PID-TAKEN"}, Find: findNotInstalled},
		{Code: "AR-DROPIN-OWNER", Title: "auditd refuses the relay's plugin file", Severity: Critical, Find: findDropInOwner},
		{Code: "AR-DROPIN-SYNTAX", Title: "auditd cannot read the relay's plugin file", Severity: Critical, DependsOn: []string{"AR-DROPIN-OWNER"}, Find: findDropInSyntax},
		{Code: "AR-DROPIN-INACTIVE", Title: "The relay's plugin file is inactive", Severity: Critical, DependsOn: []string{"AR-DROPIN-SYNTAX", "AR-DROPIN-OWNER"}, Find: findInactive},
		{Code: "AR-DROPIN-TWICE", Title: "A second plugin file starts the relay", Severity: Critical, Find: findTwice},
		{Code: "AR-PROGRAM", Title: "auditd does not run the relay's program, or must not", Severity: Critical, DependsOn: []string{"AR-DROPIN-SYNTAX"}, Find: findProgram},
		{Code: "AR-RELOAD-REFUSED", Title: "Another plugin's file makes auditd refuse to reload", Severity: Warn, Find: findReloadRefused},
		{Code: "AR-GAVE-UP", Title: "auditd has given the relay up", Severity: Critical, DependsOn: unusable, Find: reason(gaveUp)},
		{Code: "AR-CRASHED", Title: "The relay has crashed", Severity: Critical, DependsOn: unusable, Find: findCrashed},
		{Code: "AR-NO-DISPATCHER", Title: "auditd was started without plugins", Severity: Critical, DependsOn: unusable, Find: reason(noDispatcher)},
		{Code: "AR-NOT-RELOADED", Title: "auditd has not read the plugin file yet", Severity: Critical, DependsOn: unusable, Find: findNotReloaded},
		{Code: "AR-NOT-STARTED", Title: "auditd does not run the relay", Severity: Critical, DependsOn: unusable, Find: reason(unexplained)},
		{Code: "AR-RELAYS", Title: "auditd runs more than one relay", Severity: Critical, DependsOn: []string{"AR-DROPIN-TWICE"}, After: 30 * time.Second, Find: findRelays},
	}
}

// dropIns lists the files of the relay that auditd reads; the one that is called as install
// calls it first.
func (f *Facts) dropIns() (files []host.PluginFile) {
	for _, p := range f.Plugins.Value {
		if ours(p) && p.Loaded {
			files = append(files, p)
		}
	}
	slices.SortStableFunc(files, func(a, b host.PluginFile) int {
		named := func(p host.PluginFile) int {
			if filepath.Base(p.Path) == host.DropInName {
				return 0
			}
			return 1
		}
		return named(a) - named(b)
	})
	return files
}

// dropIn is the file that starts the relay: the first one that is active, else the first.
func (f *Facts) dropIn() (file host.PluginFile, ok bool) {
	files := f.dropIns()
	if len(files) == 0 {
		return file, false
	}
	if i := slices.IndexFunc(files, func(p host.PluginFile) bool { return p.Active }); i >= 0 {
		return files[i], true
	}
	return files[0], true
}

// install is the command that puts the relay under auditd, with the program and the configuration
// that the drop-in names.
func (f *Facts) install(flags ...string) string {
	words := []string{"audisp-relay", "install"}
	file, ok := f.dropIn()
	if ok && file.Binary != "" && f.Programs.Value[file.Binary] == nil {
		words[0] = quote(file.Binary)
	}
	if ok && file.Config != "" && config.FileOf(file.Config) != config.DefaultFile {
		words = append(words, "--config", quote(file.Config))
	}
	if dir := f.Auditd.Value.ConfDir; !f.running() && dir != "" && dir != host.DefaultConfDir {
		words = append(words, "--conf-dir", quote(dir))
	}
	return strings.Join(append(words, flags...), " ")
}

func findPluginDir(f *Facts) []Finding {
	a := f.Auditd.Value
	known := (f.running() || isNoAuditd(f.Auditd.Err)) && !f.elsewhere()
	if f.Plugins.Err == nil || isUnreadable(f.Plugins.Err) || !known || a.OneDispatcher() {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("the directory in which auditd looks for plugins cannot be read: %v", f.Plugins.Err),
		Evidence: fmt.Sprintf("%s: plugin_dir = %s", a.Conf.File, a.Conf.PluginDir),
		Fix:      fmt.Sprintf("mkdir -p -m 0750 %s && %s", quote(a.Conf.PluginDir), f.install()),
	})
}

func findNotInstalled(f *Facts) []Finding {
	a := f.Auditd.Value
	wrapped := slices.ContainsFunc(f.Relays, func(p host.Process) bool { return p.PPID != a.PID }) // by audisp-filter, say
	readable := f.Plugins.Known() || a.OneDispatcher()
	if !readable || len(f.dropIns()) > 0 || wrapped || f.elsewhere() {
		return nil
	}
	if a.OneDispatcher() {
		return one(Finding{
			Text:     "auditd 2.x runs one dispatcher and no plugins, and that is not the relay",
			Evidence: fmt.Sprintf("%s: dispatcher = %s", a.Conf.File, a.Conf.Dispatcher), Fix: f.install(),
		})
	}
	return one(Finding{
		Text:     fmt.Sprintf("no file in %s starts the relay", a.Conf.PluginDir),
		Evidence: fmt.Sprintf("%s: plugin_dir = %s; %d files there", a.Conf.File, a.Conf.PluginDir, len(f.Plugins.Value)),
		Fix:      f.install(),
	})
}

func findDropInOwner(f *Facts) []Finding {
	file, ok := f.dropIn()
	if !ok || file.Err != nil {
		return nil
	}
	why, fix := f.Auditd.Value.Refusal(file)
	if why == "" {
		return nil
	}
	if fix == "" {
		fix = "rm " + quote(file.Path) + " && " + f.install()
	} else {
		fix += " " + quote(file.Path) + " && " + f.reload()
	}
	return one(Finding{Subject: file.Path, Text: fmt.Sprintf("auditd skips %s, because it %s", file.Path, why), Evidence: fmt.Sprintf("stat: uid %d, mode %04o", file.UID, file.Mode.Perm()), Fix: fix})
}

func findDropInSyntax(f *Facts) []Finding {
	file, ok := f.dropIn()
	switch {
	case ok && file.Err != nil:
		return one(Finding{
			Subject: file.Path, Text: fmt.Sprintf("auditd cannot read %s", file.Path), Evidence: file.Err.Error(),
			Fix: "rm " + quote(file.Path) + " && " + f.install(),
		})
	case !ok || len(file.Problems) == 0:
		return nil
	}
	return one(Finding{
		Subject: file.Path, Text: fmt.Sprintf("auditd skips %s, or lines of it", file.Path), Evidence: strings.Join(file.Problems, "; "), Fix: f.install(),
	})
}

func findInactive(f *Facts) []Finding {
	file, ok := f.dropIn()
	if !ok || file.Active {
		return nil
	}
	return one(Finding{
		Subject: file.Path, Text: fmt.Sprintf("auditd does not start the relay, because %s does not have active = yes", file.Path), Evidence: file.Path + ": active is not yes",
		Fix: setKey(file.Path, "active", "yes") + " && " + f.reload(),
	})
}

// findTwice finds copies, as editors and packages leave them.
func findTwice(f *Facts) (found []Finding) {
	first, _ := f.dropIn()
	for _, file := range f.Plugins.Value {
		if !file.Relay || !file.Active || file.Path == first.Path {
			continue
		}
		finding := Finding{
			Subject: file.Path, Text: fmt.Sprintf("auditd starts a second relay for %s, so that every record is delivered twice, or the two hinder each other", file.Path),
			Evidence: fmt.Sprintf("%s and %s: path = %s, active = yes", first.Path, file.Path, file.Binary),
			Fix:      setKey(file.Path, "active", "no") + " && " + f.reload(),
		}
		if !file.Loaded {
			finding.Severity = Info
			finding.Text = fmt.Sprintf("%s would start a second relay under an auditd before 4.0.3; this one skips it", file.Path)
			finding.Fix = setKey(file.Path, "active", "no")
		}
		found = append(found, finding)
	}
	return found
}

func findProgram(f *Facts) []Finding {
	file, ok := f.dropIn()
	err := f.Programs.Value[file.Binary]
	if !ok || err == nil {
		return nil
	}
	text, fix := err.Error(), f.reload()
	if at := strings.LastIndex(text, ": "); at >= 0 { // errors of package host end with what to do
		join := "; then "
		if advice := text[at+2:]; strings.HasPrefix(advice, "chmod ") || strings.HasPrefix(advice, "chown ") || strings.HasPrefix(advice, "install -o") {
			join = " && "
		}
		text, fix = text[:at], text[at+2:]+join+fix
	}
	return one(Finding{Subject: file.Binary, Text: text, Evidence: file.Path + ": path = " + file.Binary, Fix: fix})
}

// findReloadRefused: from 4.2 on, one file with a mistake makes auditd keep all as it was.
func findReloadRefused(f *Facts) (found []Finding) {
	a := f.Auditd.Value
	if !a.AtLeast(4, 2) {
		return nil
	}
	for _, file := range f.Plugins.Value {
		if !file.Loaded || ours(file) || len(file.Problems) == 0 {
			continue
		}
		found = append(found, Finding{
			Subject: file.Path, Text: fmt.Sprintf("auditd %s takes up no change of any plugin as long as %s has a mistake", a.Version, file.Path),
			Evidence: strings.Join(file.Problems, "; "), Fix: "correct it, then " + f.reload(),
		})
	}
	return found
}

// Reasons why auditd does not run the relay although its plugin file is as it should be.
const (
	runs         = ""
	gaveUp       = "max_restarts"
	crashed      = "crashed"
	noDispatcher = "no plugins"
	notReloaded  = "not reloaded"
	unexplained  = "unknown"
)

// stopped says why the relay does not run, and the evidence of that. What auditd has logged
// last of it counts.
func (f *Facts) stopped() (reason, seen string) {
	file, ok := f.dropIn()
	if !f.running() || !ok || len(f.Relays) > 0 || !f.seesChildren() {
		return runs, ""
	}

	for i := len(f.Messages.Value) - 1; i >= 0; i-- {
		line := f.Messages.Value[i]
		switch about := strings.Contains(line, file.Binary); {
		case about && strings.Contains(line, "exceeded max_restarts"):
			return gaveUp, line
		case about && strings.Contains(line, "terminated unexpectedly"):
			return crashed, line
		}
	}

	if f.Daemon.Known() && file.Written.After(f.Daemon.Value.Started.Add(2*time.Second)) {
		return notReloaded, fmt.Sprintf("%s was written %s, auditd was started %s", file.Path, file.Written.Format(time.DateTime), f.Daemon.Value.Started.Format(time.DateTime))
	}
	if line := f.says("No plugins found"); line != "" {
		return noDispatcher, line
	}
	return unexplained, fmt.Sprintf("%d children of auditd (pid %d), and %s is not among them; it has logged %d lines", len(f.Children.Value), f.Auditd.Value.PID, file.Binary, len(f.Messages.Value))
}

// reason is the check for one of the reasons.
func reason(which string) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		why, seen := f.stopped()
		if why != which {
			return nil
		}
		limit := f.Auditd.Value.Conf.MaxRestarts
		text := map[string]string{
			gaveUp:       fmt.Sprintf("the relay has ended more than max_restarts = %d times in auditd's life, so auditd does not start it any more", limit),
			noDispatcher: "when auditd was started, or reloaded, it found no active plugin, and it has started none since",
			unexplained:  "its plugin file is as it should be, and still auditd does not run the relay",
		}[which]
		fix := f.restart()
		if which == gaveUp {
			fix = "journalctl -t audisp-relay; " + fix
		}
		return one(Finding{Text: text, Evidence: seen, Fix: fix})
	}
}

// findCrashed finds a relay that has crashed, whether or not auditd has started it again.
func findCrashed(f *Facts) []Finding {
	file, ok := f.dropIn()
	why, seen := f.stopped()
	times := 0
	for _, line := range f.Messages.Value {
		if strings.Contains(line, "terminated unexpectedly") && strings.Contains(line, file.Binary) {
			times, seen = times+1, line
		}
	}
	if !ok || times == 0 || (why != crashed && why != runs) {
		return nil
	}

	limit := f.Auditd.Value.Conf.MaxRestarts
	if why == runs && 2*times < limit && !f.startedLately() {
		return nil
	}
	finding := Finding{
		Severity: Warn,
		Text:     fmt.Sprintf("auditd has seen the relay end %s, and has started it again; after %d times it does not", timesText(times), limit),
		Evidence: seen, Fix: "see why: journalctl -t audisp-relay; journalctl -k -g audisp-relay",
	}

	if 2*times >= limit || why == crashed { // a restart gives it all of its attempts again
		finding.Fix += "; then " + f.restart()
	}
	if why == crashed {
		finding.Severity, finding.Text = Critical, "the relay has ended, and auditd starts it again with the next record, if at all"
	}
	return one(finding)
}

// startedLately reports whether a relay was started a short time ago: the last crash was before that.
func (f *Facts) startedLately() bool {
	return slices.ContainsFunc(f.Relays, func(p host.Process) bool { return f.Now.Sub(p.Started) <= f.Limits.LostWithin })
}

func timesText(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func findNotReloaded(f *Facts) []Finding {
	why, seen := f.stopped()
	if why != notReloaded {
		return nil
	}
	return one(Finding{Text: "the plugin file is newer than auditd, which has not read it yet, or has refused it", Evidence: seen, Fix: f.reload()})
}

func findRelays(f *Facts) []Finding {
	if len(f.Relays) < 2 {
		return nil
	}
	var pids []string
	for _, p := range f.Relays {
		pids = append(pids, fmt.Sprint(p.PID))
	}
	return one(Finding{
		Text:     fmt.Sprintf("auditd (pid %d) runs %d relays: each delivers every record", f.Auditd.Value.PID, len(f.Relays)),
		Evidence: "children of auditd: pids " + strings.Join(pids, ", "), Fix: f.restart(),
	})
}
