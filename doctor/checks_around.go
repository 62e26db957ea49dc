package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/host/journald"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
)

func aroundChecks() []Check {
	return []Check{
		{Code: "AR-JOURNALD-LISTENS", Title: "Another program reads every audit record, too", Severity: Info, Find: findListener},
		{Code: "AR-JOURNALD-RATE", Title: "journald drops what a sink sends it", Severity: Warn, After: time.Minute, Find: findJournalRate},
		{Code: "AR-SANDBOX-READONLY", Title: "The relay may not write where it has to", Severity: Critical, Find: findReadOnly},
		{Code: "AR-SANDBOX-NETWORK", Title: "auditd's unit keeps the relay from the network", Severity: Critical, Find: findNoNetwork},
		{Code: "AR-SANDBOX-TMP", Title: "auditd's unit hides a path of the relay", Severity: Warn, Find: findPrivateTmp},
		{Code: "AR-SANDBOX-CPU", Title: "auditd and the relay may not use the CPU freely", Severity: Warn, Find: findQuota},
		{Code: "AR-DENIED", Title: "A security module refuses the relay something", Severity: Critical, Find: findDenied},
		{Code: "AR-FEEDBACK", Title: "The relay's own work is audited", Severity: Warn, Find: findFeedback},
	}
}

func findListener(f *Facts) []Finding {
	who := f.Journald.Value.Listener
	if who == "" {
		return nil
	}
	fix := "stop it, if it is not meant to"
	text := fmt.Sprintf("%s reads every audit record beside auditd", who)
	if strings.HasPrefix(who, "systemd") {
		// Before systemd 247 the unit is static: disable changes nothing then.
		fix = "systemctl mask --now systemd-journald-audit.socket && systemctl restart systemd-journald"
		text = "journald takes every audit record into the journal: that costs CPU and disk for each, and what it forwards to a syslog daemon comes twice"
	}
	return one(Finding{Text: text, Evidence: "/proc/net/netlink: audit, group 1: " + who, Fix: fix})
}

// findJournalRate: journald takes Burst messages of a service in Interval; with much free disk a
// multiple of that, six times at most, which the numbers here leave out.
func findJournalRate(f *Facts) []Finding {
	r, j := f.report(), f.Journald.Value
	limit := j.Limit
	if f.InUnit { // a unit's own limit counts for all that runs in it (systemd.exec(5))
		limit.Set(f.Unit.Value["LogRateLimitIntervalSec"], f.Unit.Value["LogRateLimitBurst"], "auditd.service")
	}
	if r == nil || !f.Journald.Known() || !j.DevLog || limit.Off() {
		return nil
	}

	conf, service := journald.ConfOf(j.Namespace), "systemd-journald"
	if j.Namespace != "" {
		service += "@" + j.Namespace
	}
	allowed := float64(limit.Burst) / limit.Interval.Seconds()

	for i := range r.Consumers {
		c := &r.Consumers[i]
		proto, address := network(f.Outputs[c.Name])
		sent := messageRate(r, c)
		if proto != "unix" || filepath.Clean(address) != "/dev/log" || sent <= allowed {
			continue
		}
		return one(Finding{
			Subject:  c.Name,
			Text:     fmt.Sprintf("sink %s sends %.0f messages/s to journald, which may drop what is above %.0f and counts it in the journal only", c.Name, sent, allowed),
			Evidence: fmt.Sprintf("/dev/log is journald's; %s: RateLimitBurst=%d in RateLimitIntervalSec=%v", cmp.Or(limit.Source, "journald's defaults"), limit.Burst, limit.Interval),
			Fix: fmt.Sprintf("mkdir -p %[1]s && printf '[Journal]\\nRateLimitBurst=%[2]d\\n' > %[1]s/zz-audisp-relay.conf && systemctl restart %[3]s",
				quote("/etc/systemd/"+conf+".d"), int(2*sent*limit.Interval.Seconds()), quote(service)),
		})
	}
	return nil
}

// messageRate is how many messages a second a sink sends: one for each record, or one for each event in a
// format of events. How many records an event has is taken from the whole stream.
func messageRate(r *plugin.Report, c *consumer.Report) float64 {
	if c.Format == "" || c.Format == "string" || c.Format == "binary" || r.Input.Rate == 0 {
		return c.RateOut
	}
	return c.RateOut * min(1, r.Input.Events/r.Input.Rate)
}

// written lists the places that the relay writes to, by what they are.
func written(c *config.Config) map[string]string {
	places := map[string]string{"state_dir": c.StateDir, "run_dir": c.RunDir}
	if filepath.IsAbs(c.Log.Output) {
		places["log.output"] = c.Log.Output
	}
	for _, s := range c.Sinks {
		if s.Output != "" {
			places["sinks."+s.Name] = s.Output
		}
	}
	return places
}

func findReadOnly(f *Facts) (found []Finding) {
	c := f.Config.Value
	if !f.Sandbox.Known() || c == nil {
		return nil
	}

	places := written(c)
	for _, key := range slices.Sorted(maps.Keys(places)) {
		path := places[key]
		real := cmp.Or(f.Sandbox.Value.Real[path], path)
		inner, ok := mountOf(f.Sandbox.Value.Mounts, real)
		if !ok || !inner.ReadOnly {
			continue
		}
		finding := Finding{
			Subject:  strings.TrimPrefix(key, "sinks."),
			Text:     fmt.Sprintf("%s (%s) is on a file system that the relay may only read", path, key),
			Evidence: fmt.Sprintf("/proc/%d/mountinfo: %s %s is read-only", f.Sandbox.Value.PID, inner.Type, inner.Point),
			Fix:      fmt.Sprintf("mount -o remount,rw %s, or name another path", quote(inner.Point)),
		}
		if outer, ok := mountOf(f.Sandbox.Value.Outer, real); ok && !outer.ReadOnly {
			finding.Text += ", though the host may write it: the sandbox of auditd's unit (ProtectSystem= or the like)"
			finding.Fix = f.unitFix("ReadWritePaths=" + filepath.Dir(real))
		}
		found = append(found, finding)
	}
	return found
}

// unitFix is the command that changes auditd's unit.
func (f *Facts) unitFix(setting string) string {
	return fmt.Sprintf("mkdir -p /etc/systemd/system/auditd.service.d && printf '[Service]\\n%%s\\n' %s >> /etc/systemd/system/auditd.service.d/zz-audisp-relay.conf && systemctl daemon-reload && %s",
		quote(setting), f.restart())
}

// setYes says whether a setting of auditd's unit, which auditd runs in, is on.
func (f *Facts) setYes(key string) bool { return f.InUnit && isOn(f.Unit.Value[key]) }

func findNoNetwork(f *Facts) []Finding {
	var remote []string
	for _, name := range slices.Sorted(maps.Keys(f.Outputs)) {
		if isRemote(f.Outputs[name]) {
			remote = append(remote, name)
		}
	}
	if len(remote) == 0 || !f.running() {
		return nil
	}

	families := f.Unit.Value["RestrictAddressFamilies"]
	setting, seen := "", ""
	switch {
	case f.Sandbox.Known() && f.Sandbox.Value.OwnNet:
		setting, seen = "PrivateNetwork=no", fmt.Sprintf("/proc/%d/ns/net is not that of the host", f.Sandbox.Value.PID)
	case f.setYes("PrivateNetwork"):
		setting, seen = "PrivateNetwork=no", "auditd.service: PrivateNetwork=yes"
	case f.InUnit && forbidsInternet(families): // what is set adds to that
		setting, seen = "RestrictAddressFamilies=AF_INET AF_INET6", "auditd.service: RestrictAddressFamilies="+families
	case f.InUnit && strings.Contains(f.Unit.Value["IPAddressDeny"], "any") && f.Unit.Value["IPAddressAllow"] == "":
		setting, seen = "IPAddressDeny=", "auditd.service: IPAddressDeny="+f.Unit.Value["IPAddressDeny"]
	default:
		return nil
	}

	return one(Finding{
		Text:     fmt.Sprintf("sinks %s send over the network, which the sandbox of auditd's unit forbids to all that auditd starts", strings.Join(remote, ", ")),
		Evidence: seen, Fix: f.unitFix(setting),
	})
}

// forbidsInternet reports whether a list of address families has neither AF_INET nor AF_INET6, or as
// one that begins with "~" forbids both (config_parse_address_families of systemd).
func forbidsInternet(families string) bool {
	words := strings.Fields(families)
	if len(words) == 0 {
		return false
	}
	allowed := !strings.HasPrefix(words[0], "~") // what is in the list
	listed := make(map[string]bool)
	for _, word := range words {
		name, inverted := strings.CutPrefix(word, "~")
		listed[name] = inverted != allowed
	}
	if allowed {
		return !listed["AF_INET"] && !listed["AF_INET6"]
	}
	return listed["AF_INET"] && listed["AF_INET6"]
}

func findPrivateTmp(f *Facts) (found []Finding) {
	value := f.Unit.Value["PrivateTmp"] // disconnected, since systemd 257, is an empty one instead of a part of that of the host
	if (!f.setYes("PrivateTmp") && !(f.InUnit && value == "disconnected")) || f.Config.Value == nil {
		return nil
	}
	places := written(f.Config.Value)
	for _, key := range slices.Sorted(maps.Keys(places)) {
		path := places[key]
		if !strings.HasPrefix(path, "/tmp/") && !strings.HasPrefix(path, "/var/tmp/") {
			continue
		}
		found = append(found, Finding{
			Subject: key, Text: fmt.Sprintf("%s (%s) is in a directory of auditd's own that other programs do not see", path, key),
			Evidence: "auditd.service: PrivateTmp=" + value, Fix: fmt.Sprintf("name a path outside of /tmp in %s, then %s", quote(f.configFile()), f.hup()),
		})
	}
	return found
}

func findQuota(f *Facts) []Finding {
	seen, fix := "", f.unitFix("CPUQuota=")
	if s := f.Sandbox.Value; s.CPUQuota != "" {
		seen = fmt.Sprintf("%s: %s", s.QuotaOf, s.CPUQuota)
		if group := filepath.Base(filepath.Dir(s.QuotaOf)); group != "auditd.service" { // of a slice above it, say
			fix = "systemctl set-property " + quote(group) + " CPUQuota="
		}
	} else if quota := f.Unit.Value["CPUQuota"]; f.InUnit && quota != "" {
		seen = "auditd.service: CPUQuota=" + quota
	}
	if seen == "" {
		return nil
	}
	return one(Finding{
		Text:     "with a CPU quota auditd and its plugins stand still when it is used up, and audited processes wait for them",
		Evidence: seen, Fix: fix,
	})
}

func findDenied(f *Facts) []Finding {
	var last Denial
	times, permissive, own := 0, 0, false
	for _, d := range f.Log.Value.Denials {
		if f.Now.Sub(d.At) > f.Limits.DeniedWithin {
			continue
		}
		times, last = times+1, d
		if d.Permissive {
			permissive++
		}
		own = own || slices.ContainsFunc(f.Relays, func(p host.Process) bool { return p.PID == int(d.PID) })
	}
	if times == 0 {
		return nil
	}

	finding := Finding{
		Text:     fmt.Sprintf("%d times within %s a program called audisp-relay was refused something, at last by pid %d", times, span(f.Limits.DeniedWithin), last.PID),
		Evidence: fmt.Sprintf("%s: %s", f.Log.Value.Path, last.Text),
		Fix:      "see all: ausearch -m AVC -c audisp-relay -ts recent; SELinux: restorecon -Rv on the path, or audit2allow; AppArmor: aa-logprof",
	}

	switch {
	case times == permissive:
		finding.Severity = Info
		finding.Text += "; it was let through, since SELinux is permissive"
	case !own:
		finding.Severity = Warn
		finding.Text += "; that is no relay that runs now, and any program can call itself so"
	}
	return one(finding)
}

// minLoop is how many records about the relay there have to be before they are a loop.
const minLoop = 20

func findFeedback(f *Facts) []Finding {
	exe, n := f.Log.Value.worstLoop()
	all := f.Log.Value.Records
	if n < minLoop || n*100 < all*f.Limits.Loop {
		return nil
	}
	for _, loaded := range f.Rules.Value {
		if strings.Contains(loaded, "never") && strings.Contains(loaded, "exe="+exe) {
			return nil // what the log has is of before
		}
	}
	return one(Finding{
		Subject:  exe,
		Text:     fmt.Sprintf("%d of the last %d records of audit.log are about system calls of %s: each record makes it do more, which makes more records", n, all, exe),
		Evidence: fmt.Sprintf("%s: type=%s, exe=%q", f.Log.Value.Path, record.AppendTypeName(nil, record.TypeSyscall), exe),
		Fix:      f.exempt(exe),
	})
}

// exempt is what ends the records about a program. A rule by its file is for the relay alone: of
// a reader or child the file may be an interpreter, and the rule would switch the audit of whatever
// that runs off. auditctl has no quotes in its files, so a path with blanks would end the rules.
func (f *Facts) exempt(exe string) string {
	own := exe == host.DefaultBinary || slices.ContainsFunc(f.Relays, func(p host.Process) bool { return p.Exe == exe })
	own = own || slices.ContainsFunc(f.Plugins.Value, func(file host.PluginFile) bool { return file.Relay && file.Binary == exe })
	if own && Printable(exe) == exe && !strings.Contains(exe, " ") {
		return f.setting("-A", "never,exit", "-F", "exe="+exe)
	}
	return "see by which keys: ausearch -i -m SYSCALL -ts recent -x " + quote(exe) +
		"; give those rules a condition that leaves this process out (-F auid!=unset, -F subj_type!=...): a rule by program exempts all that it runs"
}
