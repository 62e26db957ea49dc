package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/plugin"
)

// Fact is something that was looked for on the machine: its value, or why that is not known.
type Fact[T any] struct {
	Value T
	Err   error
}

// Known reports whether there is a value.
func (f *Fact[T]) Known() bool { return f.Err == nil }

// errNone is why a fact has no value where the machine does not have, and does not need, such a thing.
var errNone = errors.New("there is none")

// errNoAnswer is why a fact has no value that was not found out in time.
var errNoAnswer = errors.New("no answer")

// isUnreadable reports whether an error says that something could not be looked at, and nothing of it.
func isUnreadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, errNoAnswer)
}

// Facts are what all checks judge by. Gather makes one; nothing changes it after that.
type Facts struct {
	Now     time.Time
	Host    string        // its name
	Version string        // of this program
	Took    time.Duration // gathering
	Limits  Limits

	Kernel  Fact[host.KernelStatus]
	Rules   Fact[[]string]     // those loaded, as auditctl -l writes them
	Holder  Fact[host.Process] // who holds the audit PID, whatever it is
	Systemd bool               // runs this machine

	Service   bool // the program service restarts auditd, also where its unit refuses a manual stop
	BootOff   bool // the kernel was booted with audit=0
	Container bool // this process is in a pid or user namespace of its own

	Auditd     Fact[host.Auditd]       // host.ErrNoAuditd where none runs; then the one that would run
	ConfError  *host.ConfError         // mistakes in auditd.conf
	Daemon     Fact[host.Process]      // the process of auditd
	InUnit     bool                    // it runs in auditd.service
	State      Fact[host.AuditdState]  // its report, if it wrote one since its start
	Plugins    Fact[[]host.PluginFile] // of the plugin directory
	Programs   Fact[map[string]error]  // of each program that a drop-in of ours names: why auditd refuses it
	Children   Fact[[]host.Process]    // of auditd
	Relays     []host.Process          // what is the relay of them, or of what they have started
	Messages   Fact[[]string]          // what auditd has logged of its plugins, oldest first
	Config     Fact[*config.Config]    // of the relay, read now
	ConfigAt   time.Time               // when that file was written
	DropInFile string                  // of the drop-in: the configuration with which auditd starts the relay; "" where another was asked for
	Report     Fact[*plugin.Report]    // what the running relay says; its socket was found, or errNone
	Certs      []CertFile              // that the configuration names
	Log        Fact[LogTail]           // the end of audit.log
	LogDisk    Fact[Disk]              // where audit.log is
	StateDisk  Fact[Disk]              // where the spools are
	Journald   Fact[Journald]          // errNone where it does not run
	Unit       Fact[map[string]string] // [Service] of auditd.service with its drop-ins; errNone without
	Sandbox    Fact[Sandbox]           // how the running relay sees the machine
	Outputs    map[string]config.Sink  // sinks by their name, of Config
}

// Disk is a file system.
type Disk struct {
	Path        string // what lies on it
	Size, Avail int64  // bytes; Avail is what others than root may use
}

// CertFile is a file of certificates that a sink uses, or the server of metrics.
type CertFile struct {
	Sink, Path string // Sink is "" for the one of metrics
	Err        error
	Certs      []Cert // in the order of the file
	Own        bool   // the relay's own: the first is its certificate. Otherwise CAs, any of them may do
}

// Cert is the part of a certificate that matters here.
type Cert struct {
	Subject  string
	NotAfter time.Time
}

// Limits are the numbers from which on something is a finding.
type Limits struct {
	Backlog       int           // records that the kernel's queue has to hold at least
	Lost          int           // records that the kernel may have lost
	Retention     time.Duration // that audit.log has to reach back at the present rate
	Spool         time.Duration // that a spool has to last at the present rate
	SpoolUse      int           // percent of a spool that may be used
	Delay         time.Duration // that the oldest record may wait for a sink
	Certificate   time.Duration // that a certificate has to be valid still
	ClockStep     time.Duration // that the clock may have been changed by
	Loop          int           // percent of the records in audit.log that may be about the relay itself
	DiskFree      int           // percent of a file system that has to be free for spools
	StreamBehind  time.Duration // that the stream may be behind audit.log
	LostWithin    time.Duration // a loss before that is no finding
	DeniedWithin  time.Duration // a denial before that is no finding
	BacklogFilled int           // percent of the kernel's queue that may be used
}

// DefaultLimits are those of the command's flags.
func DefaultLimits() Limits {
	return Limits{
		Backlog: 8192, Retention: 15 * time.Minute, Spool: time.Hour, SpoolUse: 75, Delay: time.Minute,
		Certificate: 14 * 24 * time.Hour, ClockStep: time.Minute, Loop: 5, DiskFree: 5, StreamBehind: 10 * time.Second,
		LostWithin: 24 * time.Hour, DeniedWithin: time.Hour, BacklogFilled: 75,
	}
}

// Gap is something that could not be found out.
type Gap struct {
	What string // as in "the kernel's audit status"
	Err  error
}

// gap notes why a fact is not known, unless that is because there is none.
func gap[T any](list *[]Gap, what string, f *Fact[T]) {
	if f.Err == nil || errors.Is(f.Err, errNone) || errors.Is(f.Err, host.ErrNoAuditd) || errors.Is(f.Err, plugin.ErrNotRunning) {
		return
	}
	*list = append(*list, Gap{what, f.Err})
}

// bootedOff reports whether the kernel has no audit before the next boot: with audit=0 it makes no
// socket for questions (audit_init in kernel/audit.c), so that it does not answer.
func (f *Facts) bootedOff() bool { return f.BootOff && !f.Kernel.Known() }

// elsewhere reports whether the audit of this kernel is that of the host of this container.
func (f *Facts) elsewhere() bool {
	return f.Container && !f.Kernel.Known() && !f.BootOff && isNoAuditd(f.Auditd.Err)
}

// Gaps lists the facts that could not be gathered although they should be there.
func (f *Facts) Gaps() (list []Gap) {
	switch {
	case f.elsewhere():
		list = append(list, Gap{"the audit of the host of this container", f.Kernel.Err})
	case !f.bootedOff():
		gap(&list, "the kernel's audit status", &f.Kernel)
		gap(&list, "the loaded rules", &f.Rules)
	}

	// A holder that is not auditd has a finding of its own.
	if !f.Holder.Known() || f.Holder.Value.Comm == "auditd" {
		gap(&list, "auditd", &f.Auditd)
	}
	gap(&list, "auditd's state report", &f.State)

	// Other errors of these have findings of their own.
	if isUnreadable(f.Plugins.Err) {
		gap(&list, "the plugin directory", &f.Plugins)
	}
	if isUnreadable(f.Config.Err) {
		gap(&list, "the relay's configuration", &f.Config)
	}
	if errors.Is(f.Report.Err, fs.ErrPermission) {
		gap(&list, "the relay's report", &f.Report)
	}

	gap(&list, "the programs of the relay's plugin files", &f.Programs)
	gap(&list, "auditd's children", &f.Children)
	if f.Children.Known() && !f.seesChildren() {
		list = append(list, Gap{"the programs that auditd has started", fs.ErrPermission})
	}
	if len(f.Relays) == 0 { // they say why
		gap(&list, "what auditd has logged", &f.Messages)
	}
	gap(&list, "auditd's log", &f.Log)
	gap(&list, "the disk of auditd's log", &f.LogDisk)
	gap(&list, "the disk of state_dir", &f.StateDisk)
	gap(&list, "journald", &f.Journald)
	gap(&list, "auditd.service", &f.Unit)
	gap(&list, "the relay's view of the machine", &f.Sandbox)
	return list
}

// CodeUnknown is the code of the finding that something could not be found out.
const (
	CodeUnknown  = "AR-UNKNOWN"
	titleUnknown = "Something could not be looked at"
)

// unknown makes one finding of all gaps.
func (f *Facts) unknown(gaps []Gap) []Finding {
	if len(gaps) == 0 {
		return nil
	}
	var seen []string
	denied := false
	for _, g := range gaps {
		seen = append(seen, fmt.Sprintf("%s: %v", g.What, g.Err))
		denied = denied || errors.Is(g.Err, fs.ErrPermission)
	}

	finding := Finding{
		Code: CodeUnknown, Title: titleUnknown, Severity: Warn,
		Text:     fmt.Sprintf("%s could not be found out; the checks that need that say nothing", gaps[0].What),
		Evidence: strings.Join(seen, "; "),
	}
	if len(gaps) > 1 {
		finding.Text = fmt.Sprintf("%d things could not be found out; the checks that need them say nothing", len(gaps))
	}

	switch {
	case f.elsewhere():
		finding.Fix = "run audisp-relay doctor on the host, in its pid and user namespace"
	case denied:
		finding.Fix = "sudo audisp-relay doctor"
	}
	finding.clean()
	return []Finding{finding}
}

// seesChildren reports whether it is known which programs auditd runs, the relay among them or not.
func (f *Facts) seesChildren() bool {
	hidden := slices.ContainsFunc(f.Children.Value, func(p host.Process) bool { return p.Hidden })
	return f.Children.Known() && (len(f.Relays) > 0 || !hidden)
}

// running reports whether an auditd runs, as far as that is known.
func (f *Facts) running() bool { return f.Auditd.Known() && f.Auditd.Value.PID != 0 }

// report is what the relay says, nil where it says nothing.
func (f *Facts) report() *plugin.Report {
	if !f.Report.Known() {
		return nil
	}
	return f.Report.Value
}

// recovers reports whether the relay takes from audit.log what the stream lacks, as far as is known. Without a configuration it does.
func (f *Facts) recovers() bool {
	c, r := f.Config.Value, f.report()
	return (c == nil || c.Recovery.Enabled) && (r == nil || r.Recovery.LogError == "") && f.Log.Known() && f.Log.Value.Why == ""
}

// locked reports whether rules and settings of the kernel cannot be changed before the next boot.
func (f *Facts) locked() bool { return f.Kernel.Known() && f.Kernel.Value.Locked() }

// setting is the fix that gives the kernel a setting or rule, now and after each boot: the arguments
// of auditctl. While the kernel takes none it can only be written down for the next boot.
func (f *Facts) setting(args ...string) string {
	const file = "/etc/audit/rules.d/zz-audisp-relay.rules" // augenrules takes the last -b
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = quote(arg)
	}
	keep := fmt.Sprintf("echo %s >> %s", quote(strings.Join(args, " ")), file)
	if f.locked() {
		return keep + " && augenrules, then reboot: the kernel's rules and settings are locked (-e 2)"
	}
	return "auditctl " + strings.Join(words, " ") + " && " + keep
}
