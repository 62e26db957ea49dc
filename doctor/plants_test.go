package doctor

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"audisp-relay/host/broker"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/queue"
	"audisp-relay/sinks/remote"
	"audisp-relay/sinks/syslog"
	"audisp-relay/sinks/unix"
	"audisp-relay/test/pki"
)

const (
	dropInPath = "/etc/audit/plugins.d/audisp-relay.conf"
	confPath   = "/etc/audit/auditd.conf"
	tomlPath   = "/etc/audit/audisp-relay.toml"
	unitPath   = "/lib/systemd/system/auditd.service"
)

// plants break a healthy machine in one way each; the finding of that code, and no other, is to be
// found, with a fix that has these words.
var plants = []struct {
	code  string
	fix   string
	plant func(m *machine)
}{
	{"AR-PID-TAKEN", "kill 900", func(m *machine) { m.process(900, 1, "/usr/bin/auditbeat"); m.kernel.PID = 900 }},
	{"AR-AUDITD-DOWN", "systemctl start auditd", (*machine).stopAuditd},
	{"AR-AUDITD-DOWN", "systemctl start auditd", func(m *machine) {
		m.stopAuditd() // and what follows from that
		m.kernel.Enabled, m.kernel.Lost, m.kernel.Backlog = 0, 100, 8192
	}},
	{"AR-AUDITD-DOWN", "systemctl start auditd", func(m *machine) { // killed, and no record since
		m.stopAuditd()
		m.kernel.PID = auditdPID
	}},
	{"AR-AUDIT-OFF", "auditctl -e 1", func(m *machine) { m.kernel.Enabled = 0 }},
	{"AR-AUDIT-OFF", "grubby", func(m *machine) {
		m.stopAuditd()
		m.refused = syscall.ECONNREFUSED
		m.put("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 audit=0 quiet\n")
	}},
	{"AR-BACKLOG-LIMIT", "auditctl -b 8192 && echo '-b 8192' >> /etc/audit/rules.d/", func(m *machine) { m.kernel.BacklogLimit = 64 }},
	{"AR-BACKLOG-LIMIT", "echo '-b 8192' >> /etc/audit/rules.d/zz-audisp-relay.rules && augenrules, then reboot", func(m *machine) {
		m.kernel.BacklogLimit, m.kernel.Enabled = 64, 2
	}},
	{"AR-BACKLOG-LIMIT", "&& auditctl --reset-lost", func(m *machine) { // and what it has led to
		m.kernel.BacklogLimit, m.kernel.Lost, m.kernel.BacklogWaited = 64, 7, 12
	}},
	{"AR-BACKLOG-NOWAIT", "auditctl --backlog_wait_time 60000", func(m *machine) { m.kernel.BacklogWaitTime, m.kernel.Lost = 0, 7 }},
	{"AR-BACKLOG-FULL", "aureport", func(m *machine) { m.kernel.Backlog = 8000 }},
	{"AR-BACKLOG-WAIT", "--reset_backlog_wait_time_actual", func(m *machine) { m.kernel.BacklogWaited = 12 }},
	{"AR-BACKLOG-NOWAIT", "auditctl --backlog_wait_time 60000", func(m *machine) { m.kernel.BacklogWaitTime = 0 }},
	{"AR-KERNEL-LOST", "--reset-lost", func(m *machine) { m.kernel.Lost = 7 }},
	{"AR-RATE-LIMIT", "auditctl -r 0", func(m *machine) { m.kernel.RateLimit = 100; m.kernel.Lost = 7 }},
	{"AR-RULES-NEVER", "auditctl -d never,task", func(m *machine) { m.rules = []string{"-a never,task"} }},
	{"AR-RULES-NEVER", "reboot", func(m *machine) { m.rules, m.kernel.Enabled = []string{"-a never,task"}, 2 }},

	{"AR-AUDITD-CONF", confPath, func(m *machine) { m.edit(confPath, "num_logs = 5", "num_logs=5") }},
	{"AR-AUDITD-CUTS", "log_format = ENRICHED", func(m *machine) { m.auditctl("4.2.1"); m.edit(confPath, "ENRICHED", "RAW") }},
	{"AR-AUDITD-PADS", "/usr/sbin/audisp-relay install --format string", func(m *machine) { m.edit(dropInPath, "format = string", "format = binary") }},
	{"AR-AUDITD-REPLACED", "service auditd restart", func(m *machine) { m.link("/proc/700/exe", m.path("/usr/sbin/auditd")+" (deleted)") }},
	{"AR-NO-LOG", "write_logs = yes", func(m *machine) { m.edit(confPath, "write_logs = yes", "write_logs = no") }},
	{"AR-NO-LOG", "log_format = ENRICHED", func(m *machine) {
		m.edit(confPath, "ENRICHED", "NOLOG")
		m.relay.Recovery.LogError = "auditd writes no log"
	}},
	{"AR-NO-LOG", "write_logs = yes", func(m *machine) { // auditd does not look at the disk then
		m.edit(confPath, "write_logs = yes", "write_logs = no")
		m.disk.Size, m.disk.Avail = 100<<30, 1<<20
		m.noSpools()
	}},
	{"AR-LOG-STOPPED", "kill -USR2 700", func(m *machine) {
		m.edit("/run/audit/auditd.state", "logging suspended = no", "logging suspended = yes")
	}},
	{"AR-LOG-STOPPED", "kill -USR2 700", func(m *machine) { // auditd has made no report, and its disk is full
		m.check(os.Remove(m.path("/run/audit/auditd.state")))
		m.age("/var/log/audit/audit.log", time.Hour)
		m.disk.Size, m.disk.Avail = 100<<30, 1<<20
		m.noSpools()
	}},
	{"AR-LOG-DISK", "make room", func(m *machine) { m.disk.Size, m.disk.Avail = 100<<30, 60<<20; m.noSpools() }},
	{"AR-LOG-LIMIT", "max_log_file_action = ROTATE", func(m *machine) { m.edit(confPath, "ROTATE", "SUSPEND") }},
	{"AR-LOG-LIMIT", "max_log_file_action = ROTATE", func(m *machine) { m.edit(confPath, "ROTATE", "SYSLOG") }},
	{"AR-LOG-LIMIT", "num_logs = 5", func(m *machine) { m.edit(confPath, "num_logs = 5", "num_logs = 1") }},
	{"AR-LOG-SHORT", "max_log_file = ", func(m *machine) { m.relay.Input.LongRate = 20000 }},
	{"AR-QUEUE-SUSPENDED", "kill -USR2 700", func(m *machine) {
		m.edit("/run/audit/auditd.state", "suspended = no", "suspended = yes")
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-time.Hour)
		m.lost("local", queue.Upstream, 5)
	}},
	{"AR-QUEUE-FULL", "q_depth = 8000", func(m *machine) { m.edit("/run/audit/auditd.state", "detected = no", "detected = yes") }},
	{"AR-QUEUE-FULL", "q_depth = 8000", func(m *machine) { m.logged = []string{"queue to plugins is full - dropping event"} }},
	{"AR-QUEUE-SHORT", "q_depth = 2000", func(m *machine) { m.edit(confPath, "q_depth = 2000", "q_depth = 80") }},
	{"AR-QUEUE-SHORT", "q_depth = 2000", func(m *machine) { m.edit(confPath, "q_depth = 2000", "  q_depth   =   80") }},
	{"AR-QUEUE-ACTION", "overflow_action = SYSLOG", func(m *machine) { m.edit(confPath, "overflow_action = SYSLOG", "overflow_action = IGNORE") }},

	{"AR-PLUGIN-DIR", "mkdir", func(m *machine) { m.stopRelay(); m.check(os.RemoveAll(m.path("/etc/audit/plugins.d"))) }},
	{"AR-NOT-INSTALLED", "audisp-relay install", func(m *machine) { m.stopRelay(); m.check(os.Remove(m.path(dropInPath))) }},
	{"AR-DROPIN-OWNER", "chmod 0640 " + dropInPath + " && kill -HUP 700", func(m *machine) { m.stopRelay(); m.check(os.Chmod(m.path(dropInPath), 0o666)) }},
	{"AR-DROPIN-OWNER", "chown root:root " + dropInPath + " && kill -HUP 700", func(m *machine) { m.check(os.Chown(m.path(dropInPath), 1, 1)) }},
	{"AR-DROPIN-SYNTAX", "audisp-relay install", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "direction = out", "direction=out") }},
	{"AR-DROPIN-SYNTAX", "rm " + dropInPath, func(m *machine) { m.stopRelay(); m.link(dropInPath, "/no/such/file") }},
	{"AR-DROPIN-INACTIVE", "active = yes", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "active = yes", "Active   = NO") }},
	{"AR-DROPIN-INACTIVE", "active = yes", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "active = yes\n", "") }},
	{"AR-DROPIN-INACTIVE", "active = yes", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "active = yes", "active = no") }},
	{"AR-DROPIN-TWICE", "active = no' -e '/^ *active *=/Id' '/etc/audit/plugins.d/audisp-relay.conf~' && kill -HUP 700", func(m *machine) {
		m.put(dropInPath+"~", healthyDropIn)
		m.process(801, auditdPID, "/usr/sbin/audisp-relay")
	}},
	{"AR-DROPIN-TWICE", "/etc/audit/plugins.d/old.bak", func(m *machine) { m.auditctl("4.0.5"); m.put("/etc/audit/plugins.d/old.bak", healthyDropIn) }},
	{"AR-PROGRAM", "chmod 0755", func(m *machine) { m.stopRelay(); m.check(os.Chmod(m.path("/usr/sbin/audisp-relay"), 0o600)) }},
	{"AR-PROGRAM", "build it", func(m *machine) { m.stopRelay(); m.check(os.Remove(m.path("/usr/sbin/audisp-relay"))) }},
	{"AR-RELOAD-REFUSED", "kill -HUP 700", func(m *machine) {
		m.auditctl("4.2.2")
		m.put("/etc/audit/plugins.d/x.conf", "active = maybe\npath = /sbin/x\n")
	}},
	{"AR-GAVE-UP", "service auditd restart", func(m *machine) {
		m.stopRelay()
		m.logged = []string{"plugin /usr/sbin/audisp-relay terminated unexpectedly", "plugin /usr/sbin/audisp-relay has exceeded max_restarts"}
	}},
	{"AR-CRASHED", "journalctl", func(m *machine) {
		m.put("/var/log/syslog", "Nov 28 06:00:00 h auditd[700]: plugin /usr/sbin/audisp-relay terminated unexpectedly \n"+
			"Nov 28 06:00:00 h auditd[1]: plugin /usr/sbin/audisp-relay has exceeded max_restarts \n")
		m.stopRelay()
	}},
	{"AR-CRASHED", "journalctl", func(m *machine) { m.logged = []string{"plugin /usr/sbin/audisp-relay terminated unexpectedly"} }},
	{"AR-NO-DISPATCHER", "service auditd restart", func(m *machine) { m.stopRelay(); m.logged = []string{"No plugins found, not dispatching events"} }},
	{"AR-NOT-RELOADED", "kill -HUP 700", func(m *machine) { m.stopRelay(); m.age(dropInPath, 0) }},
	{"AR-NOT-STARTED", "service auditd restart", (*machine).stopRelay},
	{"AR-NOT-STARTED", "kill 700 && sleep 2 && systemctl start auditd", func(m *machine) { // as on Arch Linux
		m.stopRelay()
		m.check(os.Remove(m.path("/usr/sbin/service")))
	}},
	{"AR-NOT-STARTED", "kill 700 && sleep 2 && systemctl start auditd", func(m *machine) { // service asks systemctl, which is refused
		m.stopRelay()
		m.edit(unitPath, "[Service]\n", "[Unit]\nRefuseManualStop=yes\n[Service]\n")
	}},
	{"AR-NOT-STARTED", "service auditd restart", func(m *machine) { // and here not, as on RHEL
		m.stopRelay()
		m.edit(unitPath, "[Service]\n", "[Unit]\nRefuseManualStop=yes\n[Service]\n")
		m.put("/usr/libexec/initscripts/legacy-actions/auditd/restart", "")
	}},
	{"AR-RELAYS", "service auditd restart", func(m *machine) { m.process(801, auditdPID, "/usr/sbin/audisp-relay") }},

	{"AR-SILENT", "mkdir -p /run/audisp-relay", func(m *machine) { m.relay = nil }},
	{"AR-SILENT", "kill -KILL 800", func(m *machine) {
		m.hangs = errors.New("no answer")
	}},
	{"AR-REPLACED", "kill -HUP 700", func(m *machine) { m.link("/proc/800/exe", m.path("/usr/sbin/audisp-relay")+" (deleted)") }},
	{"AR-CONFIG", "check " + tomlPath, func(m *machine) { m.edit(tomlPath, "transport", "tarnsport") }},
	{"AR-CONFIG", "check " + tomlPath, func(m *machine) { m.check(os.Chmod(m.path(tomlPath), 0o666)) }},
	{"AR-CONFIG", "put it back at /etc/audit/own.toml", func(m *machine) {
		m.edit(dropInPath, "type = always", "args = -c /etc/audit/own.toml\ntype = always")
		m.relay.ConfigError = "open /etc/audit/own.toml: no such file or directory"
	}},
	{"AR-CONFIG", "put it back at " + tomlPath, func(m *machine) { // removed, and then a reload
		m.check(os.Remove(m.path(tomlPath)))
		m.relay.ConfigError = "open " + tomlPath + ": no such file or directory"
	}},
	{"AR-CONFIG", "kill -HUP 800", func(m *machine) { m.relay.ConfigError = "x.toml:1: it was wrong" }},
	{"AR-CONFIG-NEWER", "kill -HUP 800", func(m *machine) { m.age(tomlPath, time.Hour) }},
	{"AR-CONFIG-NEWER", "kill -HUP 800", func(m *machine) { m.relay.ConfigSum = strings.Repeat("0", 64) }}, // put in place with an older time
	{"AR-CONFIG-NEWER", "service auditd restart", func(m *machine) { // a reload before 4.2 does not take arguments up
		m.edit(dropInPath, "type = always", "args = -c /etc/audit/own.toml\ntype = always")
		m.put("/etc/audit/own.toml", healthyRelay)
	}},
	{"AR-CONFIG-NEWER", "service auditd restart", func(m *machine) { m.relay.ConfigLater = []string{"spool of a sink"} }},
	{"AR-STREAM-STOPPED", "service auditd restart", func(m *machine) {
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-time.Hour)
	}},
	{"AR-INPUT-STALLED", "qos", func(m *machine) {
		m.sink("siem").StalledLately = 5 * time.Second
		m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.kernel.Backlog, m.relay.Input.Last = 8192, m.now.Add(-time.Hour)
	}},
	{"AR-UPSTREAM-LOST", "q_depth", func(m *machine) { m.lost("journal", queue.Upstream, 5) }},
	{"AR-UPSTREAM-LOST", "q_depth", func(m *machine) { m.lost("siem", queue.Kernel, 5) }}, // the others came later
	{"AR-RECOVERY", "ls -la /var/log/audit/audit.log", func(m *machine) { m.relay.Recovery.LogError = "permission denied" }},
	{"AR-OWN-LOG", "[log]", func(m *machine) { m.relay.LogFault = "no such directory" }},
	{"AR-STATE-DIR", "ls -la /var/lib/audisp-relay", func(m *machine) { m.relay.StateFault = "state_dir /var/lib/audisp-relay: permission denied" }},
	{"AR-STATE-DIR", "df -h /var/lib/audisp-relay", func(m *machine) {
		m.relay.StateFault = "write /var/lib/audisp-relay/state.json: no space left on device"
		m.noSpools()
	}},
	{"AR-SPOOL-DISK", "df -h /var/lib/audisp-relay", func(m *machine) { // which is its root
		m.disk.Avail = 1 << 30
		m.relay.StateFault = "write /var/lib/audisp-relay/state.json: no space left on device"
	}},
	{"AR-SANDBOX-READONLY", "ReadWritePaths=/var/lib", func(m *machine) {
		m.put("/proc/800/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:1 / /var/lib ro - ext4 /dev/sda1 rw\n")
		m.relay.StateFault = "state_dir /var/lib/audisp-relay: read-only file system"
	}},
	{"AR-SANDBOX-OFF", `sandbox = "on"`, func(m *machine) {
		m.relay.Sandbox.Parts = []sandbox.Part{{Name: sandbox.Seccomp, Why: `sandbox = "off"`}}
	}},
	{"AR-SANDBOX-OFF", "useradd --system", func(m *machine) {
		m.relay.Sandbox = sandbox.Report{On: true, Parts: []sandbox.Part{{Name: sandbox.Worker, Why: "there is no user audisp-relay: " + broker.MakeUser()}}}
	}},
	{"AR-SANDBOX-OFF", "allow it", func(m *machine) {
		m.relay.Sandbox = sandbox.Report{On: true, Parts: []sandbox.Part{{Name: sandbox.Seccomp, Failed: true, Why: "seccomp: operation not permitted"}}}
	}},
	{"AR-SANDBOX-OFF", "or allow it", func(m *machine) {
		m.relay.Sandbox = sandbox.Report{On: true, Parts: []sandbox.Part{
			{Name: sandbox.Worker, Failed: true, Why: "no worker starts: fork/exec /proc/self/exe: permission denied"}, {Name: sandbox.Seccomp, Failed: true, Why: "x"},
		}}
	}},
	{"AR-PANICS", "upgrade", func(m *machine) { m.sink("local").Poison, m.sink("local").PoisonAt = 1, "1.000:1" }},
	{"AR-CLOCK", "time-sync", func(m *machine) { m.relay.Started = m.relay.Started.Add(-time.Hour) }},

	{"AR-SINK-DOWN", "doctor --sink siem", func(m *machine) {
		m.sink("siem").Sink.Degraded, m.sink("siem").Sink.Error = true, "connection refused"
		m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10
	}},
	{"AR-SINK-SUSPENDED", "kill -USR2 800", func(m *machine) { m.sink("siem").Suspended = true; m.lost("siem", queue.Suspended, 5) }},
	{"AR-SINK-SUSPENDED", "kill -USR2 800", func(m *machine) {
		m.sink("siem").Stopped, m.sink("siem").Sink.Degraded, m.sink("siem").Sink.Error = true, true, "connection refused"
		m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10
	}},
	{"AR-SINK-LATE", "filter", func(m *machine) { m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10 }},
	{"AR-SINK-NO-CLIENT", "/run/audisp-relay/events.sock", func(m *machine) {
		m.edit(tomlPath, "[sinks.siem]", "when_idle = \"queue\"\n[sinks.siem]")
		m.sink("local").Sink.Details = new(unix.Details)
		m.sink("local").Oldest, m.sink("local").Queued = m.now.Add(-time.Hour), 10
	}},
	{"AR-SINK-LOST", "spool", func(m *machine) { m.lost("siem", queue.Full, 5) }},
	{"AR-SINK-LOST", "spool", func(m *machine) { m.lost("local", queue.SlowClient, 5) }},
	{"AR-SINK-FLAW", "check", func(m *machine) { m.sink("local").Sink.Flaw = "there is no group adm" }},
	{"AR-SINK-ACTION", "syslog", func(m *machine) { m.edit(tomlPath, "[sinks.siem]", "overflow_action = \"ignore\"\n[sinks.siem]") }},
	{"AR-SPOOL-FULL", "max_size", func(m *machine) { m.sink("siem").SpoolSize = 200 << 20 }},
	{"AR-SPOOL-FULL", "max_size", func(m *machine) { m.sink("siem").SpoolHigh, m.sink("siem").SpoolSize = true, 100<<20 }}, // a low warn_at
	{"AR-SPOOL-SHORT", "max_size", func(m *machine) { m.sink("siem").LongRateIn = 10_000 }},
	{"AR-SPOOL-DISK", "df -h /var/lib/audisp-relay", func(m *machine) { m.disk.Avail = 1 << 30 }},
	{"AR-CERT-EXPIRED", "/etc/ca.pem", func(m *machine) { m.certificate(-time.Hour); m.sink("siem").Sink.Degraded = true }},
	{"AR-CERT-EXPIRES", "/etc/ca.pem", func(m *machine) { m.certificate(5*24*time.Hour + time.Minute) }},
	{"AR-CERT-EXPIRES", "doctor --sink siem", func(m *machine) {
		m.sink("siem").Sink.Details = &syslog.Details{ConnectionCounts: remote.ConnectionCounts{Expires: m.now.Add(time.Hour)}}
	}},
	{"AR-CERT-EXPIRED", "doctor --sink siem; let the server have a new one, and once that command passes kill -HUP 800", func(m *machine) { // it delivers still
		m.sink("siem").Sink.Details = &syslog.Details{ConnectionCounts: remote.ConnectionCounts{Expires: m.now.Add(-time.Hour)}}
	}},
	{"AR-SINK-DOWN", "doctor --sink siem", func(m *machine) { // for whatever reason
		m.sink("siem").Sink.Details = &syslog.Details{ConnectionCounts: remote.ConnectionCounts{Expires: m.now.Add(-time.Hour)}}
		m.sink("siem").Sink.Degraded, m.sink("siem").Sink.Error = true, "x509: certificate has expired"
	}},
	{"AR-CERT-FILE", "PEM", func(m *machine) { m.certificate(0); m.put("/etc/ca.pem", "no certificate\n") }},
	{"AR-CERT-EXPIRED", "/etc/metrics.pem", func(m *machine) { m.metricsCertificate(-time.Hour) }},
	{"AR-CERT-EXPIRES", "/etc/metrics.pem", func(m *machine) { m.metricsCertificate(5 * 24 * time.Hour) }},
	{"AR-CERT-FILE", "/etc/metrics.pem", func(m *machine) { m.metricsCertificate(0); m.put("/etc/metrics.pem", "") }},

	{"AR-JOURNALD-LISTENS", "systemctl mask --now systemd-journald-audit.socket", func(m *machine) {
		m.process(1, 0, "/usr/lib/systemd/systemd")
		m.put("/proc/net/netlink", "sk Eth Pid Groups Rmem\n0000 9 1 00000001 0\n0000 9 700 00000000 0\n")
	}},
	{"AR-JOURNALD-RATE", "RateLimitBurst=", func(m *machine) {
		m.link("/dev/log", "/run/systemd/journal/dev-log")
		m.put("/etc/systemd/journald.conf.d/x.conf", "[Journal]\nRateLimitIntervalSec=1min\nRateLimitBurst=600\n")
	}},
	{"AR-JOURNALD-RATE", "RateLimitBurst=", func(m *machine) {
		m.link("/dev/log", "/run/systemd/journal/dev-log")
		m.put("/etc/systemd/journald.conf", "[Journal]\nRateLimitInterval=60s\nRateLimitBurst=600\n")
	}},
	{"AR-JOURNALD-RATE", "RateLimitBurst=", func(m *machine) {
		m.link("/dev/log", "../run/systemd/journal/dev-log")
		m.put("/usr/local/lib/systemd/journald.conf.d/x.conf", "[Journal]\nRateLimitIntervalSec=1min 30s\nRateLimitBurst=900\n")
	}},
	{"AR-JOURNALD-RATE", "/etc/systemd/journald@audit.conf.d && printf", func(m *machine) {
		m.link("/dev/log", "/run/systemd/journal/dev-log")
		m.edit(unitPath, "[Service]\n", "[Service]\nLogNamespace=audit\n")
		m.put("/etc/systemd/journald@audit.conf", "[Journal]\nRateLimitIntervalSec=1min\nRateLimitBurst=600\n")
	}},
	{"AR-SANDBOX-READONLY", "ReadWritePaths=/var/lib", func(m *machine) {
		m.put("/proc/800/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:1 / /var/lib ro - ext4 /dev/sda1 rw\n")
	}},
	{"AR-SANDBOX-READONLY", "mount -o remount,rw /var", func(m *machine) {
		const mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:2 / /var ro - ext4 /dev/sda2 ro\n"
		m.put("/proc/800/mountinfo", mounts)
		m.put("/proc/1/mountinfo", mounts)
	}},
	{"AR-SANDBOX-NETWORK", "PrivateNetwork=no", func(m *machine) { m.link("/proc/800/ns/net", "net:[1]"); m.sink("siem").Sink.Degraded = true }},
	{"AR-SANDBOX-NETWORK", "RestrictAddressFamilies=AF_INET AF_INET6", func(m *machine) {
		m.put("/etc/systemd/system/auditd.service.d/hard.conf", "[Service]\nRestrictAddressFamilies=AF_UNIX AF_NETLINK\n")
	}},
	{"AR-SANDBOX-NETWORK", "RestrictAddressFamilies=AF_INET AF_INET6", func(m *machine) {
		m.put("/etc/systemd/system/auditd.service.d/hard.conf", "[Service]\nRestrictAddressFamilies=~AF_INET AF_INET6\n")
	}},
	{"AR-SANDBOX-TMP", "outside of /tmp", func(m *machine) {
		m.edit(tomlPath, "/run/audisp-relay/events.sock", "/tmp/events.sock")
		m.edit(unitPath, "[Service]\n", "[Service]\nPrivateTmp=true\n")
	}},
	{"AR-SANDBOX-TMP", "outside of /tmp", func(m *machine) {
		m.edit(tomlPath, "/run/audisp-relay/events.sock", "/var/tmp/events.sock")
		m.put("/etc/systemd/system/auditd.service.d/hard.conf", "[Service]\nPrivateTmp=disconnected\n")
	}},
	{"AR-SANDBOX-NETWORK", "PrivateNetwork=no", func(m *machine) {
		m.put("/etc/systemd/system/auditd.service.d/hard.conf", "[Service]\nPrivateNetwork=y\n")
	}},
	{"AR-SANDBOX-CPU", "CPUQuota=", func(m *machine) { m.put("/sys/fs/cgroup/system.slice/auditd.service/cpu.max", "20000 100000\n") }},
	{"AR-SANDBOX-CPU", "systemctl set-property system.slice CPUQuota=", func(m *machine) { m.put("/sys/fs/cgroup/system.slice/cpu.max", "20000 100000\n") }},
	{"AR-DENIED", "ausearch", func(m *machine) {
		m.log(m.record("AVC", `avc:  denied  { write } for  pid=800 comm="audisp-relay" name="spool" dev="sda1" scontext=system_u:system_r:audisp_t:s0 tclass=dir permissive=0`),
			m.record("AVC", `avc:  denied  { write } for  pid=80 comm="other" permissive=0`))
	}},
	{"AR-FEEDBACK", "auditctl -A never,exit -F ", (*machine).plantLoop},
	{"AR-FEEDBACK", "a rule by program exempts", func(m *machine) { // a script that reads from a socket
		m.process(950, 1, "/usr/bin/python3")
		m.sink("local").Sink.Details = &unix.Details{Clients: []unix.Client{{Pid: 950}}}
		var lines []string
		for range 30 {
			lines = append(lines, m.record("SYSCALL", `arch=c000003e syscall=1 pid=950 comm="agent" exe="/usr/bin/python3" key="x"`))
		}
		m.log(lines...)
	}},
	{"AR-FEEDBACK", "then reboot", func(m *machine) { m.plantLoop(); m.kernel.Enabled = 2 }},
}

func (m *machine) stopRelay() {
	m.end(relayPID)
	m.relay = nil
}

func (m *machine) stopAuditd() {
	m.stopRelay()
	m.end(auditdPID)
	m.kernel.PID = 0
}

// noSpools takes the spools away, so that only auditd's own log needs the disk.
func (m *machine) noSpools() {
	m.edit(tomlPath, "[sinks.local]", "[spool]\nmax_size = \"0\"\n[sinks.local]")
}

func (m *machine) plantLoop() {
	var lines []string
	for range 30 {
		lines = append(lines, m.record("SYSCALL", `arch=c000003e syscall=1 pid=800 comm="audisp-relay" exe="`+m.path("/usr/sbin/audisp-relay")+`" key="x"`))
	}
	m.log(lines...)
}

// certificate gives the sink siem a file of authorities that expires in d.
func (m *machine) certificate(d time.Duration) {
	m.putCertificate("/etc/ca.pem", d)
	m.edit(tomlPath, `transport = "tcp"`, "transport = \"tls\"\nca_file = \"/etc/ca.pem\"")
}

// metricsCertificate has metrics served with a certificate that expires in d.
func (m *machine) metricsCertificate(d time.Duration) {
	m.putCertificate("/etc/metrics.pem", d)
	m.edit(tomlPath, "[sinks.local]", "[metrics]\nlisten = \"192.0.2.7:9817\"\ncert_file = \"/etc/metrics.pem\"\nkey_file = \"/etc/metrics.key\"\n[sinks.local]")
}

// putCertificate writes one that expires in d.
func (m *machine) putCertificate(path string, d time.Duration) {
	ca := pki.New(m.t)
	text, _ := ca.PEM(ca.IssueFor(d))
	m.put(path, text)
}
