package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"audisp-relay/host"
)

// one is a list of one finding.
func one(f Finding) []Finding { return []Finding{f} }

func kernelChecks() []Check {
	return []Check{
		{Code: "AR-PID-TAKEN", Title: "Another program takes the audit records", Severity: Critical, Find: findTaken},
		{Code: "AR-AUDITD-DOWN", Title: "No auditd is running", Severity: Critical, DependsOn: []string{"AR-PID-TAKEN"}, Find: findDown},
		{Code: "AR-AUDIT-OFF", Title: "The kernel's audit is switched off", Severity: Critical, DependsOn: []string{"AR-AUDITD-DOWN", "AR-PID-TAKEN"}, Find: findOff},
		{Code: "AR-BACKLOG-LIMIT", Title: "The kernel's queue is short", Severity: Warn, Find: findBacklogLimit},
		{Code: "AR-BACKLOG-FULL", Title: "The kernel's queue is filling", Severity: Critical, After: 30 * time.Second,
			DependsOn: []string{"AR-AUDITD-DOWN", "AR-PID-TAKEN", "AR-INPUT-STALLED"}, Find: findBacklogFull},
		{Code: "AR-BACKLOG-WAIT", Title: "Audited processes waited for auditd", Severity: Info, DependsOn: []string{"AR-BACKLOG-LIMIT"}, Find: findWaited},
		{Code: "AR-BACKLOG-NOWAIT", Title: "The kernel drops records rather than wait", Severity: Warn, Find: findNoWait},
		{Code: "AR-KERNEL-LOST", Title: "The kernel has lost records", Severity: Warn,
			DependsOn: []string{"AR-AUDITD-DOWN", "AR-PID-TAKEN", "AR-RATE-LIMIT", "AR-BACKLOG-LIMIT", "AR-BACKLOG-NOWAIT"}, Find: findKernelLost},
		{Code: "AR-RATE-LIMIT", Title: "The kernel limits the rate of records", Severity: Warn, Find: findRateLimit},
		{Code: "AR-RULES-NEVER", Title: "Rules switch the audit of system calls off", Severity: Info, DependsOn: []string{"AR-AUDIT-OFF"}, Find: findNever},
	}
}

// statusSource is where the numbers of the kernel's status can be seen.
const statusSource = "auditctl -s"

func findTaken(f *Facts) []Finding {
	p := f.Holder.Value
	if !f.Holder.Known() || p.Comm == "auditd" {
		return nil
	}
	return one(Finding{
		Subject:  p.Comm,
		Text:     fmt.Sprintf("the kernel gives its audit records to %s (pid %d), so auditd and its plugins get none", p.Comm, p.PID),
		Evidence: fmt.Sprintf("%s: pid %d; its program: %s", statusSource, p.PID, p.Exe),
		Fix:      fmt.Sprintf("kill %d && %s", p.PID, f.start()),
	})
}

func findDown(f *Facts) []Finding {
	if f.running() || !isNoAuditd(f.Auditd.Err) || f.bootedOff() || f.elsewhere() {
		return nil
	}
	seen := "no process is called auditd"
	if f.Kernel.Known() {
		seen = fmt.Sprintf("%s: pid %d", statusSource, f.Kernel.Value.PID)
	}
	return one(Finding{
		Text:     "no audit daemon gets the kernel's records: nothing is logged and no plugin runs",
		Evidence: seen, Fix: f.start(),
	})
}

// start is the command that starts auditd.
func (f *Facts) start() string {
	dir := f.Auditd.Value.ConfDir
	switch {
	case f.Systemd && f.Unit.Known():
		return "systemctl start auditd"
	case dir != "" && dir != host.DefaultConfDir:
		return "auditd -c " + quote(dir)
	}
	return "auditd"
}

// restart is the command that starts auditd again: systemctl restart is refused for it by many
// systems (RefuseManualStop=), service is not where auditd's package has an action for it. An auditd that was ended
// by a signal is not started again by its unit (Restart=on-failure).
func (f *Facts) restart() string {
	switch {
	case !f.running():
		return f.start()
	case f.InUnit && f.Service:
		return "service auditd restart"
	}
	return fmt.Sprintf("kill %d && sleep 2 && %s", f.Auditd.Value.PID, f.start())
}

// reload is the command that makes auditd read its files again.
func (f *Facts) reload() string {
	if !f.running() {
		return f.start()
	}
	return fmt.Sprintf("kill -HUP %d", f.Auditd.Value.PID)
}

func findOff(f *Facts) []Finding {
	if f.bootedOff() {
		return one(Finding{
			Text:     "the kernel was booted with audit=0: it makes no audit records and takes no auditd before the next boot",
			Evidence: "/proc/cmdline: audit=0; " + f.Kernel.Err.Error(),
			Fix:      "take audit=0 out of the kernel's command line (grubby --update-kernel=ALL --remove-args=audit=0, or /etc/default/grub and update-grub), then reboot",
		})
	}
	if !f.Kernel.Known() || f.Kernel.Value.Enabled != 0 {
		return nil
	}
	return one(Finding{
		Text:     "the kernel makes no audit records",
		Evidence: statusSource + ": enabled 0", Fix: "auditctl -e 1",
	})
}

func findBacklogLimit(f *Facts) []Finding {
	limit := int(f.Kernel.Value.BacklogLimit)
	if !f.Kernel.Known() || limit == 0 || limit >= f.Limits.Backlog {
		return nil
	}
	fix := f.setting("-b", strconv.Itoa(f.Limits.Backlog))
	if lost := f.Kernel.Value.Lost; int64(lost) > int64(f.Limits.Lost) && !f.locked() {
		fix += " && auditctl --reset-lost"
	}
	return one(Finding{
		Text:     fmt.Sprintf("the kernel holds %d records for auditd; bursts of more make processes wait or are lost", limit),
		Evidence: fmt.Sprintf("%s: backlog_limit %d, wanted %d; lost %d", statusSource, limit, f.Limits.Backlog, f.Kernel.Value.Lost),
		Fix:      fix,
	})
}

func findBacklogFull(f *Facts) []Finding {
	s := f.Kernel.Value
	if !f.Kernel.Known() || s.BacklogLimit == 0 || int64(s.Backlog)*100 < int64(s.BacklogLimit)*int64(f.Limits.BacklogFilled) {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("%d of %d records wait for auditd: it does not keep up, and audited processes are about to wait", s.Backlog, s.BacklogLimit),
		Evidence: fmt.Sprintf("%s: backlog %d, backlog_limit %d", statusSource, s.Backlog, s.BacklogLimit),
		Fix:      "see what makes the records: aureport -s --summary -ts recent; leave it out by a rule, or raise -b",
	})
}

// moreBacklog is the command that doubles the kernel's queue and lets a count begin again.
func (f *Facts) moreBacklog(reset string) string {
	limit := f.Kernel.Value.BacklogLimit
	switch {
	case limit == 0: // there is none
		return "auditctl " + reset
	case f.locked():
		return f.setting("-b", fmt.Sprint(2*max(limit, 4096)))
	}
	return f.setting("-b", fmt.Sprint(2*max(limit, 4096))) + " && auditctl " + reset
}

func findWaited(f *Facts) []Finding {
	s := f.Kernel.Value
	if !f.Kernel.Known() || s.BacklogWaited == 0 {
		return nil
	}
	return one(Finding{
		Text:     "the kernel's queue was full, and audited processes were stopped until there was room",
		Evidence: fmt.Sprintf("%s: backlog_wait_time_actual %d (ticks of the kernel, of all processes since the boot)", statusSource, s.BacklogWaited),
		Fix:      f.moreBacklog("--reset_backlog_wait_time_actual"),
	})
}

func findNoWait(f *Facts) []Finding {
	s := f.Kernel.Value
	if !f.Kernel.Known() || !s.WaitTimeKnown || s.BacklogWaitTime != 0 {
		return nil
	}
	return one(Finding{
		Text:     "with a full queue the kernel does not let processes wait, it drops their records",
		Evidence: statusSource + ": backlog_wait_time 0",
		Fix:      f.setting("--backlog_wait_time", "60000"),
	})
}

func findKernelLost(f *Facts) []Finding {
	s := f.Kernel.Value
	if !f.Kernel.Known() || int64(s.Lost) <= int64(f.Limits.Lost) {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("the kernel has lost %d records since the boot or the last reset: no log and no plugin has them", s.Lost),
		Evidence: fmt.Sprintf("%s: lost %d, backlog_limit %d", statusSource, s.Lost, s.BacklogLimit),
		Fix:      f.moreBacklog("--reset-lost"),
	})
}

func findRateLimit(f *Facts) []Finding {
	s := f.Kernel.Value
	if !f.Kernel.Known() || s.RateLimit == 0 {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("the kernel makes at most %d records a second and drops the others", s.RateLimit),
		Evidence: fmt.Sprintf("%s: rate_limit %d", statusSource, s.RateLimit),
		Fix:      f.setting("-r", "0"),
	})
}

// findNever finds the rule that Fedora and RHEL ship, in 10-no-audit.rules: then no other rule
// about system calls has an effect.
func findNever(f *Facts) []Finding {
	if !f.Rules.Known() {
		return nil
	}
	for _, r := range f.Rules.Value {
		words := strings.Fields(r)
		if len(words) == 2 && words[0] == "-a" && (words[1] == "never,task" || words[1] == "task,never") {
			fix := `sed -i -e '/^ *-a *never,task *$/d' -e '/^ *-a *task,never *$/d' /etc/audit/rules.d/*.rules`
			if f.locked() {
				fix += " && augenrules, then reboot: the rules are locked (-e 2)"
			} else {
				fix = "auditctl -d never,task && " + fix
			}
			return one(Finding{
				Text:     "a rule says that no process is audited, so that rules about system calls and files have no effect",
				Evidence: "auditctl -l: " + r, Fix: fix,
			})
		}
	}
	return nil
}
