package host

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A shipped auditd.conf of 3.0.9, shortened, with the values changed.
const auditdConf = `#
# This file controls the configuration of the audit daemon
#

local_events = yes
write_logs = no
  log_file = /srv/log/audit.log
log_group = adm
LOG_FORMAT = RAW
flush = INCREMENTAL_ASYNC
max_log_file = 16
num_logs = 9
priority_boost = 6
name_format = USER
name = web1
##name = mydomain
max_log_file_action = KEEP_LOGS
q_depth = 4000
overflow_action = IGNORE
max_restarts = 3
plugin_dir = /srv/plugins.d/
end_of_event_timeout = 5
distribute_network = yes
dispatcher = /sbin/audispd
disp_qos = LOSSLESS
`

func TestParseAuditdConf(t *testing.T) {
	got, err := ParseAuditdConf("auditd.conf", []byte(auditdConf))
	if err != nil {
		t.Fatal(err)
	}
	want := AuditdConf{
		File: "auditd.conf", WriteLogs: false, LogFile: "/srv/log/audit.log", LogFormat: "raw",
		NameFormat: "user", Name: "web1", PluginDir: "/srv/plugins.d", DistributeNetwork: true, Dispatcher: "/sbin/audispd",
		QDepth: 4000, MaxRestarts: 3, OverflowAction: "ignore", MaxLogFile: 16, NumLogs: 9, MaxLogFileAction: "keep_logs",
		SpaceLeftAction: "ignore", AdminSpaceLeftAction: "ignore", DiskFullAction: "ignore", DiskErrors: "syslog",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(AuditdConf{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got.Given("log_file") || !got.Given("name") || got.Given("space_left") {
		t.Errorf("the keys that are there: %q", got.given)
	}
}

// What auditd skips or rejects is named with its line; the rest counts.
func TestParseAuditdConfProblems(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"Tab", "log_file\t=\t/x", "x.conf:2: want `key = value`"},
		{"TabInValue", "q_depth = 12\t", `q_depth: "12\t" is not a number`},
		{"NoSpaces", "log_file=/x", "x.conf:2: want `key = value`"},
		{"NoValue", "log_file =", "x.conf:2: log_file has no value"},
		{"IndentedComment", "  # fine", ""},
		{"HashWord", "#fine", ""},
		{"TrailingComment", "q_depth = 12 # ignored by auditd", ""},
		{"Negative", "q_depth = -1", "q_depth"},
		{"Huge", "q_depth = 99999999999999999999", "q_depth"},
		{"RelativePath", "plugin_dir = plugins.d", "absolute"},
		{"YesNo", "write_logs = maybe", "neither yes nor no"},
		{"Long", "name = " + strings.Repeat("x", 152), "x.conf:2: the line has 160 bytes"},
		{"LongestRead", "name = " + strings.Repeat("x", 151), ""},
		{"LongComment", "# " + strings.Repeat("x", 1000), ""},
		{"Unknown", "new_key_of_4_9 = 1", ""},
		{"NULs", "name = \x00\x00", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseAuditdConf("x.conf", []byte("log_file = /log\n"+test.line+"\ntcp_listen_port = 60\n"))
			if got.LogFile != "/log" || got.TCPListenPort != 60 {
				t.Errorf("the other lines were lost: %+v", got)
			}
			if test.want == "" {
				if err != nil {
					t.Errorf("error %v, want none", err)
				}
				return
			}
			var conf *ConfError
			if !errors.As(err, &conf) || len(conf.Problems) != 1 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a *ConfError with %q", err, test.want)
			}
		})
	}
}

func TestParseAuditdConfLastLineWithoutNewline(t *testing.T) {
	got, err := ParseAuditdConf("x.conf", []byte("tcp_listen_port = 7"))
	if got.TCPListenPort != 0 || err == nil || !strings.Contains(err.Error(), "x.conf:1: the last line has no newline") {
		t.Errorf("tcp_listen_port %d, error %v; auditd does not read such a line", got.TCPListenPort, err)
	}
}

func TestReadAuditdConfMissing(t *testing.T) {
	got, err := fakeMachine(t).ReadAuditdConf("/etc/audit")
	if !errors.Is(err, fs.ErrNotExist) || got.LogFile != "/var/log/audit/audit.log" {
		t.Errorf("got %v, %q", err, got.LogFile)
	}
}

func FuzzParseAuditdConf(f *testing.F) {
	f.Add([]byte(auditdConf))
	f.Add([]byte(" = \n=\n a = \x00\n\tb = c\nq_depth = 1 2 3\nplugin_dir = ////\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseAuditdConf("x.conf", data)
		for _, path := range []string{got.LogFile, got.PluginDir} {
			if !strings.HasPrefix(path, "/") {
				t.Errorf("path %q is not absolute", path)
			}
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
		parseDropIn(data)
	})
}

func FuzzStatField(f *testing.F) {
	f.Add([]byte("7 (a) S 1) S 3 7"))
	f.Add([]byte("7 (a"))
	f.Fuzz(func(t *testing.T, data []byte) { statField(data, 4) })
}
