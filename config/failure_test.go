package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestFailureKeys: each key of actions and times, right and wrong. want is "" or "line: key: words".
func TestFailureKeys(t *testing.T) {
	slog := "[sinks.a]\ntype = 'syslog'\n"
	file := "[sinks.a]\ntype = 'file'\npath = '/var/a'\n"
	sock := "[sinks.a]\ntype = 'unix'\npath = '/var/a'\n"
	for _, tt := range []struct{ text, want string }{
		{slog + "network_failure_action = 'ignore'\ndisk_full_action = 'ignore'\nafter = '1s'\n", ""},
		{slog + "network_failure_action = 'exec /sbin/x'\ndisk_full_action = 'halt'\nafter = '168h'\n", ""},
		{slog + "network_failure_action = 'suspend'\ndisk_full_action = 'single'\n", ""},
		{file + "disk_full_action = 'exec /usr/local/sbin/full'\nspool.max_size = '0'\n", ""},
		{"[sinks.a]\ntype = 'program'\npath = '/sbin/a'\ndisk_full_action = 'syslog'\n", ""},
		{slog + "network_failure_action = 'email'\n", `3: sinks.a.network_failure_action: "email" is not allowed, must be "ignore", "syslog", "suspend", "single" or "halt", or "exec /path/of/program"`},
		{slog + "network_failure_action = 'SYSLOG'\n", `3: sinks.a.network_failure_action: "SYSLOG" is not allowed`},
		{slog + "disk_full_action = 'exec'\n", `3: sinks.a.disk_full_action: "exec" is not allowed`},
		{slog + "disk_full_action = 'exec '\n", `3: sinks.a.disk_full_action: "" is not absolute`},
		{slog + "disk_full_action = 'exec x.sh'\n", `3: sinks.a.disk_full_action: "x.sh" is not absolute`},
		{slog + "disk_full_action = 'exec /sbin/x y'\n", `3: sinks.a.disk_full_action: "/sbin/x y" is more than the path of a program: it gets no arguments`},
		{slog + "disk_full_action = \"exec /sbin/x\\ny\"\n", `3: sinks.a.disk_full_action: more than the path`},
		{slog + "disk_full_action = 1\n", `3: sinks.a.disk_full_action: is an integer, must be "ignore", "syslog", "suspend", "single" or "halt", or "exec /path/of/program"`},
		{slog + "qos = 'lossless'\nnetwork_failure_action = 'suspend'\n", `4: sinks.a.network_failure_action: "suspend" with qos = "lossless" would stop the host`},
		{"qos = 'lossless'\n" + slog + "disk_full_action = 'suspend'\n", `4: sinks.a.disk_full_action: "suspend" with qos`},
		{slog + "disk_full_action = 'syslog'\nspool.max_size = '0'\n", `3: sinks.a.disk_full_action: has no effect, since the sink has no spool`},
		{slog + "after = '10'\n", `3: sinks.a.after: "10" must be a time like "10m", "90s" or "1h30m", from "1s" to "168h"`},
		{slog + "after = 600\n", `3: sinks.a.after: is an integer, must be a time like "10m"`},
		{slog + "after = '0s'\n", `3: sinks.a.after: "0s" must be a time like "10m", "90s" or "1h30m", from "1s" to "168h"`},
		{slog + "after = '-5m'\n", `3: sinks.a.after: "-5m" must be a time`},
		{slog + "after = '9999999999h'\n", `3: sinks.a.after: "9999999999h" must be a time like "10m", "90s" or "1h30m", from "1s" to "168h"`},
		{file + "network_failure_action = 'syslog'\n", `4: sinks.a.network_failure_action: does not belong to a sink of type "file", which connects to nothing`},
		{"[sinks.a]\ntype = 'program'\npath = '/sbin/a'\nnetwork_failure_action = 'syslog'\n", `4: sinks.a.network_failure_action: does not belong to a sink of type "program", which connects to nothing`},
		{sock + "listen = false\nnetwork_failure_action = 'exec /sbin/x'\n", ""},
		{sock + "network_failure_action = 'syslog'\n", `4: sinks.a.network_failure_action: has no effect, since clients connect to the sink`},
		{sock + "network_failure_action = 'ignore'\n", ""},
		{"after = '10m'\n", `1: after: unknown key`},
		{"[spool]\nwarn_at = '25%'\n", ""},
		{"[spool]\nwarn_at = 'off'\n", ""},
		{"[spool]\nwarn_at = '0'\n", ""},
		{slog + "spool.warn_at = '95%'\n", ""},
		{"[spool]\nwarn_at = '24%'\n", `2: spool.warn_at: "24%" must be a share of max_size from "25%" to "95%", or "off"`},
		{"[spool]\nwarn_at = '100%'\n", `2: spool.warn_at: must be a share`},
		{"[spool]\nwarn_at = '+75%'\n", `2: spool.warn_at: must be a share`},
		{"[spool]\nwarn_at = '75'\n", `2: spool.warn_at: must be a share`},
		{"[spool]\nwarn_at = '%'\n", `2: spool.warn_at: must be a share`},
		{"[spool]\nwarn_at = 75\n", `2: spool.warn_at: is an integer, must be a share of max_size from "25%" to "95%", or "off"`},
	} {
		_, err := Parse("t.toml", []byte(tt.text))
		if tt.want == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.text, err)
			}
			continue
		}
		var errs Errors
		place, words, _ := strings.Cut(tt.want, ": ")
		key, words, _ := strings.Cut(words, ": ")
		if !errors.As(err, &errs) || len(errs) != 1 {
			t.Errorf("%q: %v, want one error", tt.text, err)
		} else if e := errs[0]; !strings.HasPrefix(e.Error(), "t.toml:"+place+": "+key) || !strings.Contains(e.Msg, words) || strings.Contains(e.Error(), "\n") {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.text, e, tt.want)
		}
	}
}

// TestFailureValues: what is set comes out, what is not has its default.
func TestFailureValues(t *testing.T) {
	c, err := Parse("t.toml", []byte(`
[spool]
warn_at = "50%"
[sinks.a]
type = "syslog"
network_failure_action = "exec /sbin/x"
disk_full_action = "halt"
after = "1m30s"
spool.warn_at = "off"
[sinks.b]
type = "syslog"
`))
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Sinks[0], c.Sinks[1]
	if a.NetworkFailureAction != "exec /sbin/x" || a.DiskFullAction != "halt" || a.After != 90*time.Second || a.Spool.WarnAt != 0 {
		t.Errorf("%+v", a)
	}
	if b.NetworkFailureAction != "ignore" || b.DiskFullAction != "ignore" || b.After != 10*time.Minute || b.Spool.WarnAt != 50 {
		t.Errorf("%+v", b)
	}
	if ExecPath(a.NetworkFailureAction) != "/sbin/x" || ExecPath(a.DiskFullAction) != "" || ExecPath("exec") != "" {
		t.Error("ExecPath")
	}
}

// TestSurveyLooksAtTheProgramsOfActions: one that is missing may come, one that others can change is wrong.
func TestSurveyLooksAtTheProgramsOfActions(t *testing.T) {
	good, bad := program(t, 0o750), program(t, 0o757)
	c, err := Parse("t.toml", []byte("[sinks.a]\ntype='syslog'\nnetwork_failure_action='exec "+good+"'\ndisk_full_action='exec "+bad+"'\n[sinks.b]\ntype='syslog'\ndisk_full_action='exec /no/such'\n"))
	if err != nil {
		t.Fatal(err)
	}
	warns, err := Survey(c)
	if err == nil || !strings.Contains(err.Error(), "sinks.a.disk_full_action") || strings.Contains(err.Error(), "network_failure_action") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(strings.Join(warns, "\n"), "sinks.b.disk_full_action: /no/such is not there") {
		t.Errorf("%q", warns)
	}
}
