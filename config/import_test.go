package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the files in testdata again")

// What distributions ship, switched on.
const (
	auditd30 = `#
local_events = yes
log_format = ENRICHED
max_log_file_action = ROTATE
space_left_action = exec /usr/local/sbin/tell
##tcp_listen_port = 60
q_depth = 2000
overflow_action = SYSLOG
max_restarts = 10
plugin_dir = /etc/audit/plugins.d
end_of_event_timeout = 2
`
	syslog30 = `active = yes
direction = out
path = /sbin/audisp-syslog
type = always
args = LOG_INFO
format = string
`
	afUnix41 = `active = yes
path = /sbin/audisp-af_unix
type = always
args = 0640 /run/audit/audispd_events string
format = binary
`
	remote30 = `active = yes
direction = out
path = /sbin/audisp-remote
type = always
format = string
`
	filter40 = `active = yes
path = /sbin/audisp-filter
type = always
args = allowlist /etc/audit/audisp-filter.conf /sbin/audisp-syslog LOG_USER LOG_INFO interpret
format = string
`
	remoteConf30 = `#
remote_server = loghost.example.com
port = 60
local_port = any
transport = tcp
queue_file = /var/spool/audit/remote.log
mode = immediate
queue_depth = 10240
format = managed
network_retry_time = 1
max_tries_per_record = 3
max_time_per_record = 5
heartbeat_timeout = 0 

network_failure_action = stop
disk_low_action = ignore
disk_full_action = exec /usr/local/sbin/tell
disk_error_action = warn_once
remote_ending_action = reconnect
generic_error_action = syslog
generic_warning_action = syslog
queue_error_action = stop
overflow_action = syslog
startup_failure_action = warn_once_continue

enable_krb5 = no
krb5_principal = auditd/loghost.example.com
krb5_client_name = auditd
krb5_key_file = /etc/audit/audisp-remote.key
tls_ca_file = /etc/pki/ca.pem
`
)

// at3 and at2 are where auditd 3 and later, and audispd, have their files.
var (
	at3 = ImportFrom{PluginDir: "/etc/audit/plugins.d", Settings: "/etc/audit/auditd.conf", File: "/etc/audit/audisp-relay.toml", Self: "/usr/sbin/audisp-relay", AllArgs: true}
	at2 = ImportFrom{PluginDir: "/etc/audisp/plugins.d", Settings: "/etc/audisp/audispd.conf", Audispd: true, File: "/etc/audit/audisp-relay.toml", Self: "/usr/sbin/audisp-relay"}
)

// importOf imports from files that are not there; programs below /missing are not installed.
func importOf(from ImportFrom, files map[string]string) (*Imported, error) {
	read := func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
	im := &importer{from: from, read: read}
	im.open = func(path string) (*pluginConf, error) {
		data, err := read(path)
		if err != nil {
			return nil, err
		}
		p, bad := parsePluginConf(path, data)
		if bad != nil {
			return nil, bad
		}
		return p, nil
	}
	im.check = func(program string) error {
		if strings.HasPrefix(program, "/missing/") {
			return errors.New(program + ": no such file or directory")
		}
		return nil
	}
	var names []string
	for path := range files {
		if filepath.Dir(path) == from.PluginDir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return im.run(names)
}

// plugins names files as those of a plugin directory.
func plugins(dir string, files map[string]string) map[string]string {
	all := make(map[string]string)
	for name, text := range files {
		if !strings.HasPrefix(name, "/") {
			name = dir + "/" + name
		}
		all[name] = text
	}
	return all
}

// TestImportStock: the whole text, and with it every note, for what distributions ship.
func TestImportStock(t *testing.T) {
	no := func(text string) string { return strings.Replace(text, "active = yes", "active = no", 1) }
	for name, test := range map[string]struct {
		from  ImportFrom
		files map[string]string
	}{
		"audit-2.8": {at2, map[string]string{
			"af_unix.conf": afUnix28, "syslog.conf": syslog28, "au-remote.conf": remote30, "/etc/audisp/audispd.conf": audispd28,
			"/etc/audisp/audisp-remote.conf": remoteConf30,
		}},
		"audit-3.0": {at3, map[string]string{
			"af_unix.conf": afUnix28, "syslog.conf": strings.Replace(syslog30, "LOG_INFO", "LOG_LOCAL1 LOG_NOTICE", 1), "au-remote.conf": remote30,
			"/etc/audit/auditd.conf": auditd30, "/etc/audit/audisp-remote.conf": remoteConf30,
		}},
		"audit-4.1": {at3, map[string]string{
			"af_unix.conf": afUnix41, "syslog.conf": no(syslog30), "au-remote.conf": no(remote30), "filter.conf": filter40,
			"/etc/audit/audisp-filter.conf": "# no failed opens\n(type r= SYSCALL && syscall i= openat && success r= no)\n",
			"laurel.conf":                   "active = yes\ndirection = out\npath = /usr/sbin/laurel\ntype = always\nargs = --config /etc/laurel/config.toml\nformat = string\n",
			"audisp-relay.conf":             "active = no\npath = /usr/sbin/audisp-relay\n",
			"/etc/audit/auditd.conf":        strings.NewReplacer("2000", "99999", "SYSLOG", "single", "max_restarts = 10", "max_restarts = 3").Replace(auditd30),
		}},
		"filter": {at3, map[string]string{
			"only.conf": strings.Replace(filter40, "allowlist", "blocklist", 1), "not.conf": strings.Replace(filter40, "LOG_USER LOG_INFO interpret", "LOG_AUTH", 1),
			"remote.conf":                   "active = yes\npath = /sbin/audisp-filter\nargs = allowlist /etc/audit/audisp-filter.conf /sbin/audisp-remote\nformat = string\n",
			"/etc/audit/audisp-filter.conf": "# noise\ntype r= \"SERVICE_STOP\"\n\n\t(type r= NETFILTER_CFG )\n",
			"/etc/audit/audisp-remote.conf": "remote_server = 2001:db8::1\nqueue_depth = 2048\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := importOf(test.from, plugins(test.from.PluginDir, test.files))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "import", name+".toml")
			if *update {
				if err := os.WriteFile(golden, got.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), string(got.Text)); diff != "" {
				t.Errorf("go test ./config -run TestImportStock -update writes it (-want +got):\n%s", diff)
			}
			checkImported(t, got)
		})
	}
}

// checkImported holds what is true of every import: the text is a configuration, has every note,
// and nothing that could do something to a terminal.
func checkImported(t *testing.T, got *Imported) {
	t.Helper()
	c, err := Parse("t.toml", got.Text)
	if err != nil {
		t.Fatalf("not a configuration: %v\n%s", err, got.Text)
	}
	checkConfig(t, c)
	if len(c.Sinks) != len(got.DropIns) || len(c.Sinks) == 0 {
		t.Errorf("%d sinks of %q", len(c.Sinks), got.DropIns)
	}
	others, d := *c, globals()
	others.QDepth, others.OverflowAction, others.NameFormat, others.Name = d.QDepth, d.OverflowAction, d.NameFormat, d.Name
	others.Sinks, others.File = nil, ""
	if diff := gocmp.Diff(d, &others); diff != "" {
		t.Errorf("a key of its own (-default +got):\n%s\n%s", diff, got.Text)
	}
	oneLines(t, got.Notes)
	for _, note := range got.Notes {
		if !strings.Contains(string(got.Text), "\n# "+strings.TrimRight(note, " ")+"\n") {
			t.Errorf("the text lacks the note %q", note)
		}
	}
	for _, c := range string(got.Text) {
		if (c < ' ' && c != '\n') || c == 0x7f {
			t.Fatalf("a control character, %q, in\n%q", c, got.Text)
		}
	}
}

// Each row is one plugin: words of its sink's table, or of the note that says why there is none.
func TestImportPlugin(t *testing.T) {
	on := "active = yes\n"
	unix := func(args string) string { return on + "path = /sbin/audisp-af_unix\nargs = " + args + "\n" }
	syslog := func(args string) string { return on + "path = /sbin/audisp-syslog\nargs = " + args + "\n" }
	for _, tt := range []struct{ name, text, table, note string }{
		{"socket", unix("0600 /run/x"), "path         = \"/run/x\"  # x.conf:3: args = 0600 /run/x\nmode         = \"0600\"", ""},
		{"socket of frames", unix("0600 /run/x binary"), "format       = \"binary\"", ""},
		{"frames as auditd has them", unix("0600 /run/x binary"), "frames       = \"auto\"", ""},
		{"lines of frames", strings.Replace(afUnix41, " string", "", 1), "format       = \"string\"", ""},
		{"socket's queue", unix("0600 /run/x string 50000"), "q_depth      = 50000  #", ""},
		{"smaller queue", unix("0600 /run/x string 512"), "mode         = \"0600\"", ""},
		{"no args", on + "path = /sbin/audisp-af_unix\n", "x.conf has no args: the default", "no path for the socket"},
		{"quote", unix(`/run/"x 0600`), `path         = "/run/\"x"`, ""},
		{"two paths", unix("/run/a /run/b"), "", `not carried over: "x.conf": /etc/audit/plugins.d/x.conf:3: args: "/run/b" is one too many`},
		{"syslog", syslog("log_local0 log_debug"), "facility     = \"local0\"  # x.conf:3: args = log_local0 log_debug\nseverity     = \"debug\"", ""},
		{"ident", syslog("LOG_LOCAL0"), `tag          = "audispd"`, ""},
		{"ident of user", syslog("LOG_USER"), `tag          = "audisp-syslog"`, ""},
		{"interpret", syslog("LOG_LOCAL2 interpret"), "args         = [\"LOG_LOCAL2\", \"interpret\"]", "sinks.x runs /sbin/audisp-syslog, since the relay has no counterpart of interpret"},
		{"instead of interpret", syslog("LOG_LOCAL2 interpret"), "# facility     = \"local2\"\n", "interpret"},
		{"wrong facility", syslog("LOG_MAIL"), "", `"LOG_MAIL" is not allowed`},
		{"wrong facility, interpret", syslog("LOG_MAIL interpret"), "", `"LOG_MAIL" is not allowed`},
		{"builtin of 2.8", syslog28, `tag          = "audispd"`, "left EOE records out"},
		{"other program", on + "path = /usr/sbin/laurel\nargs = -c \"a\n", `args         = ["-c", "\"a"]`, ""},
		{"comment in a value", on + "path = /usr/sbin/laurel\nargs = \"]#\n", `args         = ["\"]#"]`, ""},
		{"no UTF-8", on + "path = /usr/sbin/laurel\nargs = \xff\n", "", "not valid TOML"},
		{"controls", on + "path = /usr/sbin/laurel\nargs = \x1b[31m\x7f\r\n", `args         = ["\u001b[31m\u007f\r"]  # x.conf:3: args = ?[31m??`, ""},
		{"remote without its file", remote30, "path         = \"/sbin/audisp-remote\"", "which cannot read its configuration: open /etc/audit/audisp-remote.conf"},
		{"not installed", on + "path = /missing/audisp-remote\n", "", "path: /missing/audisp-remote: no such file"},
		{"not active", "active = no\npath = /sbin/audisp-remote\n", "", "left out: /etc/audit/plugins.d/x.conf: it is not active"},
		{"not said to be active", "path = /sbin/audisp-remote\n", "", "it is not active"},
		{"empty", "", "", "it is not active"},
		{"unknown key", on + "colour = red\n", "", "x.conf:2: colour: unknown key"},
		{"NUL", on + "path = /sbin/\x00\n", "", "holds a NUL byte"},
		{"no value", on + "path =\n", "", "path: has no value"},
		{"twice", on + "path = /usr/sbin/a\npath = /usr/sbin/b\n", `path         = "/usr/sbin/b"  # x.conf:3: path = /usr/sbin/b`, ""},
		{"huge line", on + "path = /usr/sbin/a\nargs = " + strings.Repeat("x", 5000) + "\n", "path         = \"/usr/sbin/a\"", "line of 5007 bytes skipped"},
		{"the relay's own socket", unix("0600 /run/audisp-relay/control.sock"), "", "is written by the relay itself already"},
		{"filter that runs the relay", strings.Replace(filter40, "/sbin/audisp-syslog", "/usr/local/sbin/audisp-relay", 1), "", "/usr/local/sbin/audisp-relay is the relay itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"other.conf": on + "path = /usr/sbin/other\n", "x.conf": tt.text}
			got, err := importOf(at3, plugins(at3.PluginDir, files))
			if err != nil {
				t.Fatal(err)
			}
			checkImported(t, got)
			_, table, there := strings.Cut(string(got.Text), "[sinks.x]\n")
			if there != (tt.table != "") || !strings.Contains(table, tt.table) {
				t.Errorf("want %s in\n%s", tt.table, got.Text)
			}
			notes := strings.Join(got.Notes, "\n")
			if !strings.Contains(notes, tt.note) || (tt.note == "" && notes != "") {
				t.Errorf("notes %q\nwant %q", notes, tt.note)
			}
		})
	}
}

// An auditd that may give its plugins less than what their confs say is a reason for a note.
func TestImportOfManyArgs(t *testing.T) {
	files := plugins(at2.PluginDir, map[string]string{"x.conf": "active = yes\npath = /usr/sbin/x\nargs = a b c\n"})
	got, err := importOf(at2, files)
	if err != nil || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "x.conf:3: args: 3 arguments: audit before 3.1.3 passes on two") {
		t.Errorf("%v, notes %q", err, got.Notes)
	}
}

// TestImportNamesEachKey: of audisp-remote.conf every key is said to stay, with its value and what
// there is in its place, one that the relay does not know, too.
func TestImportNamesEachKey(t *testing.T) {
	got, err := importOf(at3, plugins(at3.PluginDir, map[string]string{"r.conf": remote30, "/etc/audit/audisp-remote.conf": remoteConf30}))
	if err != nil {
		t.Fatal(err)
	}
	file, bad := splitConf("r", []byte(remoteConf30))
	if bad != nil {
		t.Fatal(bad)
	}
	for _, l := range file.lines {
		line := fmt.Sprintf("\n# %s = %s -> ", l.key, strings.Join(l.values, " "))
		if !strings.Contains(string(got.Text), line) {
			t.Errorf("no line %q in\n%s", line, got.Text)
		}
	}
	for _, k := range remoteKeys {
		if !strings.Contains(remoteConf30, "\n"+k.key+" = ") {
			t.Errorf("the test lacks %s", k.key)
		}
	}
	if want := "# tls_ca_file = /etc/pki/ca.pem -> not known\n"; !strings.Contains(string(got.Text), want) {
		t.Errorf("no line %q in\n%s", want, got.Text)
	}

	// What is recommended instead is a configuration, too.
	_, instead, _ := strings.Cut(string(got.Text), "\n# [sinks.r]\n")
	instead, _, _ = strings.Cut(instead, "\n#\n")
	instead = "[sinks.r]" + strings.ReplaceAll("\n"+instead, "\n# ", "\n")
	c, err := Parse("t.toml", []byte(instead))
	if err != nil || !has(&c.Sinks[0], " Address:loghost.example.com:2514 ") {
		t.Errorf("%v in\n%s", err, instead)
	}
}

// Settings for all plugins: what the text begins with, and what is said of the others.
func TestImportSettings(t *testing.T) {
	tests := []struct {
		name       string
		from       ImportFrom
		text, want string
		notes      []string
	}{
		{"none", at3, "", "", nil},
		{"larger queue", at3, "q_depth = 99999\n", "q_depth      = 99999  # /etc/audit/auditd.conf:1: q_depth = 99999\n", nil},
		{"smaller queue", at3, "q_depth = 2000\n", "", []string{"q_depth = 2000: the relay's own q_depth, 16384, is larger and stays"}},
		{"impossible queue", at3, "q_depth = 1000000\n", "", []string{`not carried over: /etc/audit/auditd.conf:1: q_depth: "1000000" is not allowed`}},
		{"action", at3, "overflow_action = HALT\n", `overflow_action = "halt"  #`, nil},
		{"impossible action", at3, "overflow_action = exec /bin/x\n", "", []string{"overflow_action: has more than one value"}},
		{"auditd's own", at3, "name_format = hostname\npriority_boost = 8\ndisp_qos = lossy\n", "", nil},
		{"audispd's", at2, "name_format = USER\nname = n1\n", "name_format  = \"user\"  # /etc/audisp/audispd.conf:1: name_format = user\nname         = \"n1\"", []string{"audispd put node= in front"}},
		{"user without name", at2, "name_format = user\n", "", []string{"not carried over: /etc/audisp/audispd.conf:1: name_format = user: it needs a name"}},
		{"boost", at2, "priority_boost = 8\n", "", []string{"priority_boost: 8 differs"}},
		{"unknown", at2, "disp_qos = lossy\n", "", []string{"disp_qos: unknown key"}},
		{"no conf", at3, "q_depth=1\n", "", []string{`not carried over: /etc/audit/auditd.conf:1: q_depth=1: no "="`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := importOf(tt.from, plugins(tt.from.PluginDir, map[string]string{"p.conf": "active = yes\npath = /usr/sbin/p\n", tt.from.Settings: tt.text}))
			if err != nil {
				t.Fatal(err)
			}
			checkImported(t, got)
			global, _, _ := strings.Cut(string(got.Text), "[sinks.")
			_, global, _ = strings.Cut(global, "\n\n")
			if !strings.Contains(global, tt.want) || (tt.want == "" && global != "") {
				t.Errorf("got %q, want %q", global, tt.want)
			}
			if len(got.Notes) != len(tt.notes) {
				t.Fatalf("notes %q, want %q", got.Notes, tt.notes)
			}
			for i, want := range tt.notes {
				if !strings.Contains(got.Notes[i], want) {
					t.Errorf("note %q, want %q", got.Notes[i], want)
				}
			}
		})
	}
}
