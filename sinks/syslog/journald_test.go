package syslog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// tree makes files below a directory, and links of those whose text begins with "-> ".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = root + path
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestJournalLimit: from its files as journald reads them, and from the unit's own setting.
func TestJournalLimit(t *testing.T) {
	const conf, dropIn = "/etc/systemd/journald.conf", "/etc/systemd/journald.conf.d/"
	for _, tt := range []struct {
		name     string
		files    map[string]string
		burst    int
		interval time.Duration
	}{
		{"no file", nil, 10_000, 30 * time.Second},
		{"comments", map[string]string{conf: "[Journal]\n#RateLimitBurst=5\n;RateLimitIntervalSec=1\n"}, 10_000, 30 * time.Second},
		{"file", map[string]string{conf: "[Journal]\nRateLimitIntervalSec = 1min 30s\nRateLimitBurst=500\n"}, 500, 90 * time.Second},
		{"old name, plain seconds", map[string]string{conf: "[Journal]\nRateLimitInterval=5\n"}, 10_000, 5 * time.Second},
		{"off", map[string]string{conf: "[Journal]\nRateLimitIntervalSec=0\n"}, 0, 0},
		{"off by the burst", map[string]string{conf: "[Journal]\nRateLimitBurst=0\n"}, 0, 0},
		{"another section", map[string]string{conf: "[Other]\nRateLimitBurst=5\n"}, 10_000, 30 * time.Second},
		{"nonsense", map[string]string{conf: "[Journal]\nRateLimitBurst=-5\nRateLimitIntervalSec=soon\n=\n[\n"}, 10_000, 30 * time.Second},
		{"vendor's file", map[string]string{"/usr/lib/systemd/journald.conf": "[Journal]\nRateLimitBurst=7\n"}, 7, 30 * time.Second},
		{"vendor's file that the host's hides", map[string]string{conf: "[Journal]\n", "/usr/lib/systemd/journald.conf": "[Journal]\nRateLimitBurst=7\n"}, 10_000, 30 * time.Second},
		{"the last name counts", map[string]string{conf: "[Journal]\nRateLimitBurst=1\n", dropIn + "b.conf": "[Journal]\nRateLimitBurst=3\n",
			"/run/systemd/journald.conf.d/a.conf": "[Journal]\nRateLimitBurst=2\nRateLimitIntervalSec=500ms\n"}, 3, 500 * time.Millisecond},
		{"of one name the host's counts", map[string]string{dropIn + "a.conf": "[Journal]\nRateLimitBurst=3\n",
			"/usr/lib/systemd/journald.conf.d/a.conf": "[Journal]\nRateLimitBurst=2\n"}, 3, 30 * time.Second},
		{"switched off by a link", map[string]string{dropIn + "a.conf": "-> /dev/null",
			"/usr/lib/systemd/journald.conf.d/a.conf": "[Journal]\nRateLimitBurst=2\n"}, 10_000, 30 * time.Second},
		{"of the unit", map[string]string{conf: "[Journal]\nRateLimitBurst=1\n", "/run/systemd/units/log-rate-limit-interval:auditd.service": "-> 1000000",
			"/run/systemd/units/log-rate-limit-burst:auditd.service": "-> 50"}, 50, time.Second},
		{"off for the unit", map[string]string{"/run/systemd/units/log-rate-limit-interval:auditd.service": "-> 0"}, 0, 0},
		{"of another unit", map[string]string{"/run/systemd/units/log-rate-limit-burst:sshd.service": "-> 50"}, 10_000, 30 * time.Second},
	} {
		j := journal{root: tree(t, tt.files)}
		if burst, interval := j.limit("auditd.service"); burst != tt.burst || interval != tt.interval {
			t.Errorf("%s: %d in %v, want %d in %v", tt.name, burst, interval, tt.burst, tt.interval)
		}
	}
}

// TestJournalIsRecognised: by where the socket's path leads.
func TestJournalIsRecognised(t *testing.T) {
	root := tree(t, map[string]string{"/run/systemd/journal/dev-log": "", "/run/systemd/journal/syslog": "", "/run/systemd/journal.web/dev-log": "", "/run/rsyslog/log": ""})
	for target, want := range map[string]bool{
		"/run/systemd/journal/dev-log": true, "/run/systemd/journal.web/dev-log": true, "/run/systemd/journal/syslog": false, "/run/rsyslog/log": false, "/nowhere": false,
	} {
		link := root + "/log"
		os.Remove(link)
		if err := os.Symlink(root+target, link); err != nil {
			t.Fatal(err)
		}
		j := journal{root: root}
		if j.look("/log"); (j.burst > 0) != want {
			t.Errorf("%s: burst %d", target, j.burst)
		}
	}
}

// TestJournalRate: a rate that journald does not take is said once, and what may have been
// dropped is counted, in each of its intervals.
func TestJournalRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		j := journal{burst: 100, interval: 30 * time.Second}
		over := 0
		for range 60 { // 3 a second
			over += j.note(3, zap.New(core))
			time.Sleep(time.Second)
		}
		if over != 0 || logs.Len() != 0 {
			t.Fatalf("%d over, %d log lines at a rate it takes", over, logs.Len())
		}
		time.Sleep(time.Minute)
		for range 2 {
			for range 30 { // 300 in an interval
				over += j.note(10, zap.New(core))
				time.Sleep(time.Second)
			}
			time.Sleep(time.Second)
		}
		if over != 400 || logs.Len() != 1 {
			t.Errorf("%d over, want 400; %d log lines", over, logs.Len())
		}
		if j = (journal{}); j.note(1<<20, zap.New(core)) != 0 {
			t.Error("counted where there is no limit")
		}
	})
}

func TestUnitIsReadFromCgroup(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/auditd.service\n":                                      "auditd.service",
		"0::/system.slice/auditd.service/child\n":                                "auditd.service",
		"12:cpu:/x.service\n1:name=systemd:/system.slice/auditd.service\n0::/\n": "auditd.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                          "",
		"": "", "x\n": "", ":\n": "", "0::\n": "",
	} {
		if got := unitOf([]byte(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzSpan(f *testing.F) {
	for _, s := range []string{"30", "1min 30s", "500 ms", "", "1e9d", ".", "9999999999999d", "µs", "1µs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := span(text); d < 0 || d > maxSpan || (!ok && d != 0) {
			t.Errorf("%q: %v, %v", text, d, ok)
		}
	})
}
