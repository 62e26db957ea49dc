package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/host"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
)

// TestHealthyHost: where all is well there are no findings, hidden ones neither.
func TestHealthyHost(t *testing.T) {
	r := newMachine(t).diagnose()
	for _, f := range append(r.Findings, r.Hidden...) {
		t.Errorf("%s: %s (%s)", f.Code, f.Text, f.Evidence)
	}
	if code := r.ExitCode(Text); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestEachFindingIsFoundAlone: each way in which a host is broken gives the one finding that is its
// root, with what ends it.
func TestEachFindingIsFoundAlone(t *testing.T) {
	for _, tt := range plants {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			tt.plant(m)
			r := m.diagnose()
			if got := labels(r.Findings); len(got) != 1 || r.Findings[0].Code != tt.code {
				for _, f := range append(r.Findings, r.Hidden...) {
					t.Logf("%s (hidden by %q): %s; %s", f.Code, f.HiddenBy, f.Text, f.Evidence)
				}
				t.Fatalf("findings %q, want %s alone", got, tt.code)
			}
			f := r.Findings[0]
			if !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("fix %q lacks %q", f.Fix, tt.fix)
			}
			if f.Text == "" || f.Evidence == "" || strings.Contains(f.Text+f.Evidence+f.Fix, "%!") {
				t.Errorf("finding is not complete: %+v", f)
			}
		})
	}
}

// TestEachCodeIsPlanted: no check is without a test, and none has a code twice.
func TestEachCodeIsPlanted(t *testing.T) {
	planted := map[string]bool{CodeUnknown: true} // TestUnknown
	for _, p := range plants {
		planted[p.code] = true
	}
	codes := Codes()
	for i, code := range codes {
		if !planted[code] {
			t.Errorf("nothing plants %s", code)
		}
		if slices.Contains(codes[:i], code) {
			t.Errorf("two checks have the code %s", code)
		}
	}
	for _, c := range Checks() {
		for _, other := range c.DependsOn {
			if !slices.Contains(codes, other) {
				t.Errorf("%s depends on %s, which there is not", c.Code, other)
			}
			if i := slices.IndexFunc(Checks(), func(d Check) bool { return d.Code == other }); i >= 0 && slices.Contains(Checks()[i].DependsOn, c.Code) {
				t.Errorf("%s and %s hide each other", c.Code, other)
			}
		}
	}
}

// TestUnknown: what cannot be found out is one finding and hides nothing else.
func TestUnknown(t *testing.T) {
	m := newMachine(t)
	m.check(os.Remove(m.path("/var/log/audit/audit.log")))
	m.check(os.Mkdir(m.path("/var/log/audit/audit.log"), 0o700))
	r := m.diagnose()
	if got, want := labels(r.Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if code := r.ExitCode(Nagios); code != 3 {
		t.Errorf("exit code %d of nagios, want 3", code)
	}
	if e := r.Findings[0].Evidence; !strings.Contains(e, "auditd's log: ") {
		t.Errorf("evidence %q", e)
	}
}

// TestWithoutRights: that kernel and relay may not be asked is the one finding, and nothing is
// taken for broken.
func TestWithoutRights(t *testing.T) {
	m := newMachine(t)
	m.denied = true
	r := m.diagnose()
	if got, want := labels(r.Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if fix := r.Findings[0].Fix; fix != "sudo audisp-relay doctor" {
		t.Errorf("fix %q", fix)
	}
}

// TestHiddenProcesses: where neither the kernel nor /proc says anything of an auditd, none is taken for dead.
func TestHiddenProcesses(t *testing.T) {
	m := newMachine(t)
	m.denied = true
	for _, pid := range []int{1, auditdPID, relayPID} {
		m.end(pid)
	}
	r := m.diagnose()
	if got, want := labels(append(r.Findings, r.Hidden...)), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if f := r.Findings[0]; f.Fix != "sudo audisp-relay doctor" || !strings.Contains(f.Evidence, "auditd: processes of other users are hidden") {
		t.Errorf("%+v", f)
	}
}

// TestOtherUsersPrograms: of who may see that auditd has children, and not what they run, it cannot be learnt that the relay is not among
// them; nor that it is inactive from a plugin's file that may not be read.
func TestOtherUsersPrograms(t *testing.T) {
	m := newMachine(t)
	m.stopRelay()
	m.process(relayPID, auditdPID, "/usr/sbin/audisp-relay")
	m.check(os.Remove(m.path("/proc/800/exe")))
	f := m.gather()
	f.Children.Value[0].Hidden = true
	if got, want := labels(Diagnose(f, Checks()).Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}

	m = newMachine(t)
	m.denied = true
	f = m.gather()
	f.Relays = nil
	f.Plugins.Value[0] = host.PluginFile{Path: dropInPath, Loaded: true, Err: &fs.PathError{Op: "open", Path: dropInPath, Err: syscall.EACCES}}
	f.Plugins.Value, f.Plugins.Err = readable(f.Plugins.Value)
	r := Diagnose(f, Checks())
	if got, want := labels(append(r.Findings, r.Hidden...)), []string{CodeUnknown}; !reflect.DeepEqual(got, want) || !strings.Contains(r.Findings[0].Evidence, "the plugin directory") {
		t.Errorf("findings %q, want %q: %+v", got, want, r.Findings)
	}
}

// TestWrappedRelay: a relay that another program of auditd's has started is found.
func TestWrappedRelay(t *testing.T) {
	m := newMachine(t)
	m.check(os.Remove(m.path(dropInPath)))
	m.put("/etc/audit/plugins.d/filter.conf", "active = yes\npath = /sbin/audisp-filter\n")
	m.end(relayPID)
	m.process(750, auditdPID, "/sbin/audisp-filter")
	m.process(relayPID, 750, "/usr/sbin/audisp-relay")
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
}

// TestRelayOfAnother: one that auditd did not start says nothing of the one that it does not run.
func TestRelayOfAnother(t *testing.T) {
	m := newMachine(t)
	m.lost("siem", queue.Full, 5)
	other := m.relay
	m.stopRelay()
	for _, where := range []string{"another run_dir", "that of the configuration"} {
		m.relay, m.other = nil, other
		if where != "another run_dir" {
			m.relay, m.other = other, nil
		}
		if got := labels(m.diagnose().Findings); !reflect.DeepEqual(got, []string{"AR-NOT-STARTED"}) {
			t.Errorf("%s: findings %q", where, got)
		}
	}
}

// TestDispatcher: an auditd 2.x has the relay as its dispatcher, or another one.
func TestDispatcher(t *testing.T) {
	m := newMachine(t)
	m.auditctl("2.8.5")
	m.check(os.RemoveAll(m.path("/etc/audit/plugins.d")))
	m.edit(confPath, "plugin_dir = /etc/audit/plugins.d", "dispatcher = /usr/sbin/audisp-relay")
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
	m.stopRelay()
	if got, want := labels(m.diagnose().Findings), []string{"AR-NOT-STARTED"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with the relay stopped: findings %q, want %q", got, want)
	}
	m.edit(confPath, "/usr/sbin/audisp-relay", "/sbin/audispd")
	if got, want := labels(m.diagnose().Findings), []string{"AR-NOT-INSTALLED"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with another dispatcher: findings %q, want %q", got, want)
	}
}

// TestStrangeFiles: what any process may have written into the files that are read breaks nothing.
func TestStrangeFiles(t *testing.T) {
	noise := []string{"", "\x00\x00\x00", strings.Repeat("\xff\x1b[2J = \n", 3000), strings.Repeat("a", 1<<16), "= = =\n[Service\n-----BEGIN CERTIFICATE-----\n"}
	files := []string{
		confPath, dropInPath, tomlPath, unitPath, "/proc/700/stat", "/proc/700/cgroup", "/proc/800/mountinfo", "/proc/net/netlink", "/proc/stat", "/proc/800/cmdline",
		"/run/audit/auditd.state", "/var/log/audit/audit.log", "/var/log/syslog", "/etc/systemd/journald.conf", "/usr/sbin/audisp-relay",
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			for _, text := range noise {
				m := newMachine(t)
				m.put(name, text)
				var b strings.Builder
				if err := m.diagnose().Write(&b, Style{Format: Text}); err != nil {
					t.Error(err)
				}
				if strings.Contains(b.String(), "\x1b") {
					t.Errorf("an escape reaches the terminal: %q", b.String())
				}
			}
		})
	}
}

// TestLateCertificates: of several authorities one that is valid will do.
func TestLateCertificates(t *testing.T) {
	now := time.Unix(1e9, 0)
	file := CertFile{Certs: []Cert{{"old", now.Add(-time.Hour)}, {"new", now.Add(time.Hour)}}}
	if c := file.expiry(); c.Subject != "new" {
		t.Errorf("of authorities %s counts", c.Subject)
	}
	file.Own = true
	if c := file.expiry(); c.Subject != "old" {
		t.Errorf("of the relay's own certificates %s counts", c.Subject)
	}
}

// TestSpoolThatLastsForCenturies is long enough, whatever its size.
func TestSpoolThatLastsForCenturies(t *testing.T) {
	m := newMachine(t)
	m.relay.Input.Bytes = 20 * m.relay.Input.Records
	m.sink("siem").SpoolMax = 1 << 50
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q: %s", labels(r.Findings), r.Findings[0].Text)
	}
}

// TestWithoutRecovery: where nothing is taken from audit.log, no finding says that it is.
func TestWithoutRecovery(t *testing.T) {
	for _, on := range []bool{true, false} {
		m := newMachine(t)
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-time.Hour)
		m.edit("/run/audit/auditd.state", "detected = no", "detected = yes")
		m.lost("siem", queue.Upstream, 5)
		if !on {
			m.edit(tomlPath, "[sinks.local]", "[recovery]\nenabled = false\n[sinks.local]")
		}
		r := m.diagnose()
		all := append(r.Findings, r.Hidden...)
		if got, want := labels(all), []string{"AR-STREAM-STOPPED", "AR-QUEUE-FULL", "AR-UPSTREAM-LOST"}; !reflect.DeepEqual(got, want) {
			t.Fatalf("findings %q, want %q", got, want)
		}
		for i, claim := range []string{"come from the log", "were recovered", "audit.log does not have them"} {
			if strings.Contains(all[i].Text, claim) != on {
				t.Errorf("recovery %v: %s", on, all[i].Text)
			}
		}
	}
}

// TestCertificateOfMetrics costs no record: it is a warning, and no sink is taken for the one that has it.
func TestCertificateOfMetrics(t *testing.T) {
	m := newMachine(t)
	m.metricsCertificate(-time.Hour)
	m.sink("siem").Sink.Degraded, m.sink("siem").Sink.Error = true, "connection refused"
	r := m.diagnose()
	if got, want := labels(r.Findings), []string{"AR-SINK-DOWN siem", "AR-CERT-EXPIRED [metrics]"}; !reflect.DeepEqual(got, want) || r.Findings[1].Severity != Warn {
		t.Errorf("findings %q, want %q: %+v", got, want, r.Findings)
	}
}

// TestOldLossesAreForgotten: a loss of long ago is no finding.
func TestOldLossesAreForgotten(t *testing.T) {
	m := newMachine(t)
	m.sink("siem").Lost = map[string]consumer.LossReport{queue.Full.String(): {Records: 5, At: m.now.Add(-48 * time.Hour)}}
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
}

// TestLossesOfEarlierRuns: a relay that was started again counts from 0, and still knows what the run before has lost.
func TestLossesOfEarlierRuns(t *testing.T) {
	m := newMachine(t)
	siem := m.sink("siem")
	siem.Lost24h = map[string]uint64{queue.Shutdown.String(): 7, queue.Upstream.String(): 3, queue.Spool.String(): 0}
	f := m.gather()
	r := Diagnose(f, Checks())
	if got, want := labels(r.Findings), []string{"AR-SINK-LOST siem", "AR-UPSTREAM-LOST"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if text := r.Findings[0].Text; !strings.Contains(text, " 7 records") {
		t.Errorf("text %q", text)
	}

	f.Limits.LostWithin = time.Hour
	if r := Diagnose(f, Checks()); len(r.Findings) > 0 {
		t.Errorf("of the last hour: findings %q", labels(r.Findings))
	}
	siem.Lost1h = map[string]uint64{queue.Shutdown.String(): 7}
	if got, want := labels(Diagnose(f, Checks()).Findings), []string{"AR-SINK-LOST siem"}; !reflect.DeepEqual(got, want) {
		t.Errorf("of the last hour: findings %q, want %q", got, want)
	}
	f.Limits.LostWithin = time.Minute
	if r := Diagnose(f, Checks()); len(r.Findings) > 0 {
		t.Errorf("of the last minute: findings %q", labels(r.Findings))
	}
}
