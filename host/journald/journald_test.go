package journald

import (
	"os"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLimit: from journald's files as it reads them, and from the unit's own setting.
func TestLimit(t *testing.T) {
	const conf, dropIn = "/etc/systemd/journald.conf", "/etc/systemd/journald.conf.d/"
	for _, tt := range []struct {
		name      string
		files     map[string]string
		burst     int
		interval  time.Duration
		namespace string
	}{
		{"no file", nil, 10_000, 30 * time.Second, ""},
		{"comments", map[string]string{conf: "[Journal]\n#RateLimitBurst=5\n;RateLimitIntervalSec=1\n"}, 10_000, 30 * time.Second, ""},
		{"file", map[string]string{conf: "[Journal]\nRateLimitIntervalSec = 1min 30s\nRateLimitBurst=500\n"}, 500, 90 * time.Second, ""},
		{"old name, plain seconds", map[string]string{conf: "[Journal]\nRateLimitInterval=5\n"}, 10_000, 5 * time.Second, ""},
		{"off", map[string]string{conf: "[Journal]\nRateLimitIntervalSec=0\n"}, 0, 0, ""},
		{"off by the burst", map[string]string{conf: "[Journal]\nRateLimitBurst=0\n"}, 0, 0, ""},
		{"another section", map[string]string{conf: "[Other]\nRateLimitBurst=5\n"}, 10_000, 30 * time.Second, ""},
		{"nonsense", map[string]string{conf: "[Journal]\nRateLimitBurst=-5\nRateLimitIntervalSec=soon\n=\n[\n"}, 10_000, 30 * time.Second, ""},
		{"vendor's file", map[string]string{"/usr/lib/systemd/journald.conf": "[Journal]\nRateLimitBurst=7\n"}, 7, 30 * time.Second, ""},
		{"vendor's file that the host's hides", map[string]string{conf: "[Journal]\n", "/usr/lib/systemd/journald.conf": "[Journal]\nRateLimitBurst=7\n"}, 10_000, 30 * time.Second, ""},
		{"the last name counts", map[string]string{conf: "[Journal]\nRateLimitBurst=1\n", dropIn + "b.conf": "[Journal]\nRateLimitBurst=3\n",
			"/run/systemd/journald.conf.d/a.conf": "[Journal]\nRateLimitBurst=2\nRateLimitIntervalSec=500ms\n"}, 3, 500 * time.Millisecond, ""},
		{"of one name the host's counts", map[string]string{dropIn + "a.conf": "[Journal]\nRateLimitBurst=3\n",
			"/usr/lib/systemd/journald.conf.d/a.conf": "[Journal]\nRateLimitBurst=2\n"}, 3, 30 * time.Second, ""},
		{"switched off by a link", map[string]string{dropIn + "a.conf": "-> /dev/null",
			"/usr/lib/systemd/journald.conf.d/a.conf": "[Journal]\nRateLimitBurst=2\n"}, 10_000, 30 * time.Second, ""},
		{"of the unit", map[string]string{conf: "[Journal]\nRateLimitBurst=1\n", "/run/systemd/units/log-rate-limit-interval:auditd.service": "-> 1000000",
			"/run/systemd/units/log-rate-limit-burst:auditd.service": "-> 50"}, 50, time.Second, ""},
		{"off for the unit", map[string]string{"/run/systemd/units/log-rate-limit-interval:auditd.service": "-> 0"}, 0, 0, ""},
		{"of another unit", map[string]string{"/run/systemd/units/log-rate-limit-burst:sshd.service": "-> 50"}, 10_000, 30 * time.Second, ""},
		{"of a namespace", map[string]string{conf: "[Journal]\nRateLimitBurst=1\n", dropIn + "a.conf": "[Journal]\nRateLimitBurst=2\n",
			"/etc/systemd/journald@web.conf": "[Journal]\nRateLimitBurst=3\n", "/usr/local/lib/systemd/journald@web.conf.d/a.conf": "[Journal]\nRateLimitIntervalSec=5\n"}, 3, 5 * time.Second, "web"},
		{"of a namespace without a file", map[string]string{conf: "[Journal]\nRateLimitBurst=1\n"}, 10_000, 30 * time.Second, "web"},
	} {
		l := LimitOf(lab.Tree(t, tt.files), tt.namespace, "auditd.service")
		if l.Off() != (tt.burst == 0) || (!l.Off() && (l.Burst != tt.burst || l.Interval != tt.interval)) {
			t.Errorf("%s: %+v, want %d in %v", tt.name, l, tt.burst, tt.interval)
		}
	}
}

// TestNamespaceAt: whose socket it is, also where a unit sees that of its namespace in the place of the host's.
func TestNamespaceAt(t *testing.T) {
	root := lab.Tree(t, map[string]string{"/run/systemd/journal/dev-log": "", "/run/systemd/journal.web/dev-log": "", "/run/systemd/journal.db/dev-log": ""})
	for path, want := range map[string]struct {
		namespace string
		ok        bool
	}{
		"/run/systemd/journal/dev-log": {"", true}, "/run/systemd/journal/socket": {"", true}, "/run/systemd/journal/syslog": {"", false},
		"/run/systemd/journal.web/dev-log": {"web", true}, "/run/systemd/journal.web/syslog": {"", false}, "/run/systemd/journal.web/x/dev-log": {"", false},
		"/run/systemd/journals/dev-log": {"", false}, "/run/log": {"", false}, "/dev/log": {"", false},
	} {
		if namespace, ok := NamespaceAt(root, root+path); namespace != want.namespace || ok != want.ok {
			t.Errorf("%s: %q, %v", path, namespace, ok)
		}
	}

	host := root + "/run/systemd/journal"
	if err := os.Rename(host, host+"s"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("journal.web", host); err != nil { // in the place of a bind mount
		t.Fatal(err)
	}
	if namespace, ok := NamespaceAt(root, host+"/dev-log"); namespace != "web" || !ok {
		t.Errorf("in a namespace: %q, %v", namespace, ok)
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"30": 30 * time.Second, "30s": 30 * time.Second, "1min": time.Minute, "2 h": 2 * time.Hour, "500ms": 500 * time.Millisecond,
		"1min 30s": 90 * time.Second, " 0 ": 0, "1d": 24 * time.Hour} {
		if got, ok := Span(text); !ok || got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", " ", "infinity", "-5", "soon"} {
		if d, ok := Span(text); ok {
			t.Errorf("%q is taken for %v", text, d)
		}
	}
}

func FuzzSpan(f *testing.F) {
	for _, s := range []string{"30", "1min 30s", "500 ms", "", "1e9d", ".", "9999999999999d", "µs", "1µs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := Span(text); d < 0 || d > maxSpan || (!ok && d != 0) {
			t.Errorf("%q: %v, %v", text, d, ok)
		}
	})
}
