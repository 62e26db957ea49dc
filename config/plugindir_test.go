package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The settings of the confs that audit 2.8.5 ships, switched on.
const (
	afUnix28 = `
# The af_unix plugin takes events and writes them to a unix domain socket.
# This plugin can take 2 arguments, the path and the mode.

active = yes
direction = out
path = builtin_af_unix
type = builtin
args = 0640 /var/run/audispd_events
format = string
`
	syslog28 = `# the message priority is the first argument

active = yes
direction = out
path = builtin_syslog
type = builtin
args = LOG_INFO
format = string
`
	audispd28 = `#
# This file controls the configuration of the audit event
# dispatcher daemon, audispd.
#

q_depth = 250
overflow_action = SYSLOG
priority_boost = 4
max_restarts = 10
name_format = HOSTNAME
#name = mydomain
plugin_dir = /etc/audisp/plugins.d/
`
)

// audispTree makes an /etc/audisp in a temporary directory: files maps names
// to contents, "../" means the directory above plugins.d.
func audispTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugins.d")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), text, 0o640)
	}
	return dir
}

// program makes a file that auditd would take for a plugin.
func program(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "prog"), "#!/bin/sh\n", mode)
}

func always(path, args string) string {
	return "active = yes\ndirection = out\npath = " + path + "\ntype = always\nargs = " + args + "\nformat = binary\n"
}

func TestLoadPluginDirAs28(t *testing.T) {
	bin := program(t, 0o750)
	dir := audispTree(t, map[string]string{
		"af_unix.conf": afUnix28, "syslog.conf": syslog28, "au-remote.conf": always(bin, "-a b"),
		"off.conf": "active = no\npath = /sbin/nothing\n", "../audispd.conf": audispd28,
	})
	base := Default()
	base.QBytes, base.QOS, base.Spool = 1<<20, "lossless", Spool{8 << 20, "none", 50}
	got, warns, err := loadPluginDir(dir, base, "")
	if err != nil {
		t.Fatal(err)
	}
	sink := func(name, typ, format string) Sink {
		return Sink{Name: name, Type: typ, Format: format, QDepth: 250, QBytes: 1 << 20, QOS: "lossless", OverflowAction: "syslog", Spool: Spool{8 << 20, "none", 50},
			NetworkFailureAction: NoAction, DiskFullAction: NoAction, After: defaultAfter,
			NameFormat: "hostname", NodeRawOnly: true, StateDir: DefaultStateDir}
	}
	unix, remote, syslog := sink("af_unix", "unix", "string"), sink("au-remote", "program", "binary"), sink("syslog", "syslog", "string")
	unix.Origin, remote.Origin, syslog.Origin = dir+"/af_unix.conf:7", dir+"/au-remote.conf:3", dir+"/syslog.conf:5"
	unix.Output, unix.SlowClient, unix.WhenIdle = "/var/run/audispd_events", "drop", "discard"
	remote.NameFormat, remote.Frames, remote.Program = "none", "auto", bin
	syslog.DropEOE = true
	var settings []string
	for i := range got {
		settings = append(settings, shown(&got[i]))
		got[i].Settings = nil
	}
	wantSettings := []string{
		"&{Path:/var/run/audispd_events Mode:416 Owner:root Group:root AllowUIDs:[] MaxClients:16 MaxPerUID:8 Connect:false}",
		"&{Path:" + bin + " Args:[-a b] MaxRestarts:10 User:}",
		"&{Transport:local Address:/dev/log Protocol:rfc3164 Facility:user Severity:info Tag:audispd MaxMessage:8000 Framing: CAFile: CertFile: KeyFile: ServerName: Checkpoint:false}",
	}
	if diff := cmp.Diff(wantSettings, settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Sink{unix, remote, syslog}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(warns) != 1 || !strings.Contains(warns[0], "audispd.conf:6: q_depth: each plugin's queue holds 250 records") {
		t.Errorf("warnings %q", warns)
	}
}

// Audit 3 has no audispd.conf; auditd.conf's name_format acts in auditd.
func TestLoadPluginDirWithoutAudispd(t *testing.T) {
	dir := audispTree(t, map[string]string{"s.conf": syslog28})
	base := Default()
	base.QDepth, base.NameFormat, base.Name = 77, "user", "n"
	got, warns, err := loadPluginDir(dir, base, "")
	if err != nil || len(got) != 1 || len(warns) > 0 {
		t.Fatal(got, warns, err)
	}
	if s := got[0]; s.QDepth != 77 || s.NameFormat != "user" || s.NodeName != "n" || s.NodeRawOnly {
		t.Errorf("got %+v", s)
	}
}

// Each row is one conf; want are words of its warning, "" meaning none, and
// skipped that no sink comes of it.
func TestPluginConfWarnsOrSkips(t *testing.T) {
	good, nogroup := program(t, 0o755), program(t, 0o700)
	groupw := program(t, 0o770)
	dir550 := program(t, 0o550)
	on := "active = yes\n"
	tests := []struct {
		name, text string
		skipped    bool
		want       string
		check      func(*Sink) bool
	}{
		{"keys and words in any case", "ACTIVE = YES\nPath = BUILTIN_SYSLOG\nTYPE = Builtin\nargs = log_local3 Log_Debug\nFORMAT = String\n", false, "",
			func(s *Sink) bool { return has(s, " Facility:local3 Severity:debug ") }},
		{"indented, spaces", "  active   =  yes  \n   # comment\n\n path = " + good + "\n", false, "", func(s *Sink) bool { return has(s, "{Path:"+good+" Args:[] ") }},
		{"no final newline", on + "path = builtin_syslog", false, ":2: the last line has no newline", nil},
		{"many args", on + "path = " + good + "\nargs = a b c d\n", false, ":3: args: 4 arguments", func(s *Sink) bool { return has(s, " Args:[a b c d] ") }},
		{"long line", on + "path = " + good + "\nargs = " + strings.Repeat("x", 400) + "\n", false, ":3: line of 407 bytes: audit before 4.1.3", func(s *Sink) bool { return has(s, " Args:["+strings.Repeat("x", 400)+"] ") }},
		{"longer line", on + "path = " + good + "\nargs = " + strings.Repeat("x", 504) + "\n", false, ":3: line of 511 bytes skipped", func(s *Sink) bool { return has(s, " Args:[] ") }},
		{"mode 0550", on + "path = " + dir550 + "\n", false, "", nil},
		{"group-writable program", on + "path = " + groupw + "\n", true, "chmod go-w", nil},
		{"type builtin", on + "path = " + good + "\ntype = builtin\n", false, ":2: path: type = builtin with", func(s *Sink) bool { return s.Type == "program" }},
		{"direction in", on + "direction = in\npath = " + good + "\n", false, "", nil},
		{"args of audit 4", on + "path = builtin_af_unix\nargs = 0600 /run/x binary 4000\n", false, "4 arguments",
			func(s *Sink) bool {
				return has(s, "{Path:/run/x Mode:384 ") && s.Format == "binary" && s.QDepth == 4000
			}},
		{"path first", on + "path = builtin_af_unix\nargs = /run/x 666\nformat = binary\n", false, "", func(s *Sink) bool { return has(s, " Mode:438 ") && s.Format == "binary" }},
		{"no args", on + "path = builtin_af_unix\n", false, "no path for the socket, taking /var/run/audispd_events", func(s *Sink) bool { return has(s, " Mode:416 ") }},
		{"syslog defaults", on + "path = builtin_syslog\nformat = binary\n", false, "format: builtin_syslog writes text", func(s *Sink) bool { return s.Format == "string" && has(s, " Facility:user ") }},
		{"empty", "", true, "", nil},
		{"not active", "active = no\npath = /no/such/thing\nargs = a b c", true, "", nil},

		{"unknown key", on + "\nformta = string\n", true, `x.conf:3: formta: unknown key, did you mean "format"?; allowed: active, args,`, nil},
		{"bad word", "active = on\n", true, `x.conf:1: active: "on" is not allowed, must be "yes" or "no"`, nil},
		{"comment after", "active = yes # on\n", true, "x.conf:1: active: has more than one value, a comment", nil},
		{"tab", "active\t=\tyes\n", true, `x.conf:1: "active\t=\tyes": no "=" with spaces around it, must be "key = value"; tabs`, nil},
		{"no blank", "active=yes\n", true, `x.conf:1: active=yes: no "="`, nil},
		{"no value", "path =\n", true, "x.conf:1: path: has no value", nil},
		{"NUL", on + "path = /bin/\x00ls\n", true, "x.conf:2: holds a NUL byte", nil},
		{"no path", on, true, "path: is missing", nil},
		{"CRLF", on + "path = /sbin/x\r\n", true, "/sbin/x? must not be run", nil},
		{"relative path", on + "path = sbin/x\n", true, "x.conf:2: path: \"sbin/x\" is not absolute", nil},
		{"short directory", on + "path = /a/x\n", true, `x.conf:2: path: the directory "/a" is too short`, nil},
		{"unknown builtin", on + "path = builtin_smtp\n", true, `x.conf:2: path: there is no "builtin_smtp"`, nil},
		{"no program", on + "path = /sbin/no-such-plugin\n", true, "x.conf:2: path: /sbin/no-such-plugin", nil},
		{"directory", on + "path = /usr/bin\n", true, "is not a regular file", nil},
		{"mode 0700", on + "path = " + nogroup + "\n", true, "has mode 0700, must contain 0750: run chmod 0750", nil},
		{"syslog arg", on + "path = builtin_syslog\nargs = LOG_INFO interpret\n", true, `x.conf:3: args: "interpret" is not allowed`, nil},
		{"syslog facility", on + "path = builtin_syslog\nargs = LOG_MAIL\n", true, `"LOG_MAIL" is not allowed`, nil},
		{"socket mode", on + "path = builtin_af_unix\nargs = 0980 /run/x\n", true, `x.conf:3: args: "0980" is not a mode`, nil},
		{"socket path", on + "path = builtin_af_unix\nargs = 0600 events\n", true, `x.conf:3: args: the socket's path "events" is not absolute`, nil},
		{"two paths", on + "path = builtin_af_unix\nargs = /run/x /run/y\n", true, `"/run/y" is one too many`, nil},
		{"depth", on + "path = builtin_af_unix\nargs = 0600 /run/x string 0\n", true, `"0" is not a queue depth`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := audispTree(t, map[string]string{"x.conf": tt.text})
			sinks, warns, err := loadPluginDir(dir, Default(), "")
			if err != nil {
				t.Fatal(err)
			}
			if (len(sinks) == 0) != tt.skipped {
				t.Fatalf("%d sinks, warnings %q", len(sinks), warns)
			}
			all := strings.Join(warns, "\n")
			if !strings.Contains(all, tt.want) || (tt.want == "" && all != "") {
				t.Errorf("warnings %q\nwant %q", all, tt.want)
			}
			if skipped := strings.HasPrefix(warnEnd(warns), `Skipping "x.conf" plugin due to errors: `); skipped != (tt.skipped && tt.want != "") {
				t.Errorf("warnings %q", all)
			}
			if tt.check != nil && !tt.check(&sinks[0]) {
				t.Errorf("got %+v %s", sinks[0], shown(&sinks[0]))
			}
		})
	}
}

// shown prints the settings of a sink, whose package these tests cannot import.
func shown(s *Sink) string { return fmt.Sprintf("%+v", s.Settings) }

func has(s *Sink, text string) bool { return strings.Contains(shown(s), text) }

func warnEnd(warns []string) string {
	if len(warns) == 0 {
		return ""
	}
	return warns[len(warns)-1]
}

func TestPluginSelection(t *testing.T) {
	sock := func(n string) string {
		return "active = yes\npath = builtin_af_unix\nargs = 0600 /run/" + n + "\n"
	}
	dir := audispTree(t, map[string]string{
		"plain": sock("1"), "a.conf": sock("2"), "my plug-in.conf": sock("3"), ".hidden.conf": sock("4"), "b.conf.rpmsave": sock("5"),
		"c.bak": sock("6"), "d.conf~": sock("7"), "plain.conf": sock("8"), "twin.conf": sock("2"),
	})
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, ".hidden.conf"), filepath.Join(dir, "link.conf")); err != nil {
		t.Fatal(err)
	}
	sinks, warns, err := loadPluginDir(dir, Default(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sinks {
		got = append(got, s.Name+" "+s.Output)
	}
	if diff := cmp.Diff([]string{"a /run/2", "link /run/4", "my_plug-in /run/3", "plain /run/1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{`skipped "c.bak"`, `skipped "d.conf~"`, `Skipping "sub" plugin due to errors: `,
		`Skipping "plain.conf" plugin due to errors: there is a sink "plain" already`, `Skipping "twin.conf" plugin due to errors: "/run/2" is written by sinks.a already`} {
		if !slices.ContainsFunc(warns, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("no warning %q in %q", want, warns)
		}
	}
	if len(warns) != 5 {
		t.Errorf("%d warnings: %q", len(warns), warns)
	}
}

func TestPluginConfTrust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root refuses files that others can write")
	}
	dir := audispTree(t, map[string]string{"g.conf": syslog28, "o.conf": syslog28, "u.conf": syslog28})
	for name, mode := range map[string]fs.FileMode{"g.conf": 0o660, "o.conf": 0o646} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	chown(t, filepath.Join(dir, "u.conf"))
	sinks, warns, err := loadPluginDir(dir, Default(), "")
	if err != nil || len(sinks) != 1 || sinks[0].Name != "g" {
		t.Fatalf("got %+v, %v", sinks, err)
	}
	all := strings.Join(warns, "\n")
	for _, want := range []string{"g.conf: is writable by its group", "chmod o-w " + dir + "/o.conf", "chown root " + dir + "/u.conf"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %q", want, all)
		}
	}
}

func TestPluginProgramTrust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root refuses files that others can write")
	}
	for want, path := range map[string]string{"chmod go-w": program(t, 0o757), "chown root": chown(t, program(t, 0o750))} {
		dir := audispTree(t, map[string]string{"x.conf": always(path, "x")})
		sinks, warns, err := loadPluginDir(dir, Default(), "")
		if err != nil || len(sinks) > 0 || len(warns) != 1 || !strings.Contains(warns[0], want) {
			t.Errorf("got %+v, %q, %v, want %q", sinks, warns, err, want)
		}
	}
}

func TestPluginIsSelf(t *testing.T) {
	self := program(t, 0o755)
	link := filepath.Join(t.TempDir(), "relay")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	dir := audispTree(t, map[string]string{"relay.conf": always(self, "x"), "link.conf": always(link, "x")})
	check := func(want int) {
		t.Helper()
		if sinks, warns, err := loadPluginDir(dir, Default(), self); err != nil || len(sinks) != want || len(warns) != 0 {
			t.Errorf("got %+v, %q, %v, want %d sinks", sinks, warns, err, want)
		}
	}
	check(0)
	hard := filepath.Join(filepath.Dir(self), "hard")
	if err := os.Link(self, hard); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "link.conf"), always(hard, "x"), 0o640)
	check(0)
	write(t, filepath.Join(dir, "link.conf"), always(program(t, 0o755), "x"), 0o640)
	check(1)
	// An upgrade has put a new file in place of the one that runs.
	if err := os.Remove(self); err != nil {
		t.Fatal(err)
	}
	write(t, self, "#!/bin/sh\nnew", 0o755)
	check(1)
}

func TestAudispdConf(t *testing.T) {
	base := Default()
	settings := func(depth int, action string, restarts int, format, name string, rawOnly bool) audispd {
		c := *base
		c.QDepth, c.OverflowAction, c.NameFormat, c.Name = depth, action, format, name
		return audispd{c, restarts, rawOnly}
	}
	start := settings(base.QDepth, base.OverflowAction, DefaultRestarts, "fqd", "x", false)
	tests := []struct {
		name, text string
		want       audispd
		warn       string
	}{
		{"empty", "", settings(16384, "syslog", 10, "none", "", true), ""},
		{"all", "q_depth = 99999\noverflow_action = Suspend\nmax_restarts = 3\nname_format = USER\nname = n1\npriority_boost = 4\n", settings(99999, "suspend", 3, "user", "n1", true), ""},
		{"boost", "priority_boost = 8\n", settings(16384, "syslog", 10, "none", "", true), ":1: priority_boost: 8 differs"},
		{"wrong depth", "q_depth = 100000\nmax_restarts = 1\n", settings(16384, "syslog", 1, "none", "", true), ":1: q_depth: \"100000\" is not allowed, must be a number from 1 to 99999; ignored"},
		{"wrong words", "overflow_action = exec\nname_format = ip\n", settings(16384, "syslog", 10, "none", "", true), ":2: name_format: \"ip\" is not"},
		{"user without name", "name_format = user\n", settings(16384, "syslog", 10, "none", "", true), "needs a name"},
		{"unknown", "disp_qos = lossy\n", settings(16384, "syslog", 10, "none", "", true), ":1: disp_qos: unknown key"},
		{"bad name", "name = a\tb\n", settings(16384, "syslog", 10, "none", "", true), "not a node name"},
		{"not a conf", "q_depth=1\n", start, "settings of audispd ignored: c:1:"},
	}
	for _, tt := range tests {
		got, warns := parseAudispd("c", []byte(tt.text), start, base)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if all := strings.Join(warns, "\n"); !strings.Contains(all, tt.warn) || (tt.warn == "" && all != "") {
			t.Errorf("%s: warnings %q, want %q", tt.name, all, tt.warn)
		}
	}
}
