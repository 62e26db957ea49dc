package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReservedPaths: no file sink has the name of auditd's log, of what a rotation makes of
// it, of the relay's own log, or of something in state_dir; and others may be beside them.
func TestReservedPaths(t *testing.T) {
	for _, tt := range []struct{ path, says string }{
		{"/var/log/audit/audit.log", "auditd (log_file of auditd.conf)"},
		{"/var/log//audit/../audit/audit.log", "auditd (log_file of auditd.conf)"},
		{"/var/log/audit/audit.log.1", "auditd (log_file of auditd.conf)"},
		{"/var/log/audit/audit.log.12.gz", "auditd (log_file of auditd.conf)"},
		{"/var/log/audit/audit.log-20260102.xz", "auditd (log_file of auditd.conf)"},
		{"/srv/audit.log.4", "auditd (log_file of auditd.conf)"},
		{"/srv/other.log", "auditd (recovery.log_file)"},
		{"/srv/other.log.2", "auditd (recovery.log_file)"},
		{"/srv/relay.log", "log.output"},
		{"/srv/relay.log.1.gz", "log.output"},
		{"/var/lib/relay/spool/a/00000001", "spools"},
		{"/var/lib/relay/events.log", "state_dir"},
		{"/var/lib/relay", "state_dir"},
		{"/srv/kept", `is rotated to "/srv/kept.3", which is of the files of auditd (log_file of auditd.conf)`},
		{"/srv/kept.3.1", "auditd (log_file of auditd.conf)"},
		{"/srv/kept.03", ""},
		{"/srv/kep", ""},
		{"/var/log/audit/events.log", ""},
		{"/var/log/audit/audit.log.relay", ""},
		{"/var/log/audit/audit.logs", ""},
		{"/var/log/audit.log", ""},
		{"/var/lib/relay-events.log", ""},
	} {
		file := filepath.Join(t.TempDir(), "c.toml")
		write(t, file, "state_dir = '/var/lib/relay/'\nlog.output = '/srv/relay.log'\nrecovery.log_file = '/srv/other.log'\n"+
			"[sinks.b]\ntype = 'syslog'\n[sinks.a]\ntype = 'file'\npath = '"+tt.path+"'\n", 0o600)
		c, _, err := Load(file, "/var/log/audit/audit.log", "/srv/audit.log", "/srv/kept.3")
		switch {
		case tt.says == "" && (err != nil || len(c.Sinks) != 2 || len(c.Sinks[0].Reserved) != 6):
			t.Errorf("%s: %v", tt.path, err)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), file+":8: sinks.a.path: ")):
			t.Errorf("%s: %v, want %q", tt.path, err, tt.says)
		case tt.says != "" && len(c.Sinks) != 1:
			t.Errorf("%s: sinks %v", tt.path, c.Sinks)
		}
	}
}

// TestOwnLogIsNotAuditds: nor is the relay's own log written there, or where a sink will
// rename its files to.
func TestOwnLogIsNotAuditds(t *testing.T) {
	for _, tt := range []struct{ path, says string }{
		{"/var/log/audit/audit.log", "auditd's own log"},
		{"/var/log/audit/audit.log.3", "auditd's own log"},
		{"/srv/other.log", "auditd's own log"},
		{"/srv/events.log.1", "rotated file of sinks.a"},
		{"/var/lib/audisp-relay/marker.key", "written by the relay itself"},
		{"/var/lib/audisp-relay/relay.log", "of the files of the relay itself (state_dir)"},
		{"/var/lib/audisp-relay/spool/relay.log", "in the directory of the spools"},
		{"/run/audisp-relay/state", "written by the relay itself"},
		{"/srv/metrics.prom", "written by metrics.text_file"},
		{"/srv/ca.pem", "read as a file of sinks.b"},
		{"CONFIG", "read as a file of the configuration"},
		{"/run/audisp-relay/relay.log", ""},
		{"/srv/relay.log", ""},
		{"syslog", ""},
	} {
		file := filepath.Join(t.TempDir(), "c.toml")
		tt.path = strings.ReplaceAll(tt.path, "CONFIG", file)
		write(t, file, "log.output = '"+tt.path+"'\nrecovery.log_file = '/srv/other.log'\nmetrics.text_file = '/srv/metrics.prom'\n[sinks.a]\ntype = 'file'\npath = '/srv/events.log'\n"+
			"[sinks.b]\ntype = 'syslog'\ntransport = 'tls'\naddress = 'h:6514'\nca_file = '/srv/ca.pem'\n", 0o600)
		c, _, err := Load(file, "/var/log/audit/audit.log")
		switch {
		case tt.says == "" && (err != nil || c.Log.Output != tt.path):
			t.Errorf("%s: %v", tt.path, err)
		case tt.says != "" && (err == nil || !strings.HasPrefix(err.Error(), file+":1: log.output: ") || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, want %q", tt.path, err, tt.says)
		case tt.says != "" && (c == nil || c.Log.Output != "syslog"):
			t.Errorf("%s: what runs is %+v", tt.path, c)
		}
	}
}

// TestOwnLogByAnotherName: where a link leads to auditd's log, or to what that will be renamed to, check says so.
func TestOwnLogByAnotherName(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/audit", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/audit/audit.log", "", 0o600)
	for link, to := range map[string]string{"/a": "audit", "/f": "audit/audit.log"} {
		if err := os.Symlink(to, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	for output, wrong := range map[string]bool{"/a/audit.log": true, "/a/audit.log.5": true, "/f": true, "/a/relay.log": false, "/audit.log": false} {
		file := filepath.Join(dir, "c.toml")
		write(t, file, "log.output = '"+dir+output+"'\n[sinks.s]\ntype = 'syslog'\n", 0o600)
		c, _, err := Load(file, dir+"/audit/audit.log")
		if err != nil {
			t.Fatal(err)
		}
		_, err = Survey(c)
		if wrong != (err != nil && strings.Contains(err.Error(), "log.output: "+dir+output+" leads to a file of auditd")) {
			t.Errorf("%s: %v", output, err)
		}
	}
}

// TestNoSinkWritesWhatIsRead: the configuration, keys, certificates and lists are not for sinks.
func TestNoSinkWritesWhatIsRead(t *testing.T) {
	dir := t.TempDir()
	file, list := filepath.Join(dir, "c.toml"), write(t, filepath.Join(dir, "list"), "x\n", 0o600)
	rules := write(t, filepath.Join(dir, "rules"), "x\n", 0o600)
	for path, says := range map[string]string{
		file: "the configuration", dir + "/./c.toml": "the configuration", list: "sinks.b", rules: "[rules]", "/srv/ca.pem": "sinks.b", "/srv/cert.pem": "[metrics]",
		"/srv/key.pem": "[metrics]", "/srv/token": "sinks.c", file + ".log": "", "/srv": "",
	} {
		write(t, file, "[metrics]\ncert_file = '/srv/cert.pem'\nkey_file = '/srv/key.pem'\n[rules]\nx = 'exe in file(\""+rules+"\")'\n[sinks.a]\ntype = 'file'\npath = '"+path+"'\n"+
			"[sinks.b]\ntype = 'syslog'\ntransport = 'tls'\naddress = 'h:6514'\nca_file = '/srv/ca.pem'\nfilter = 'exe in file(\""+list+"\")'\n"+
			"[sinks.c]\ntype = 'otlp'\nurl = 'https://h:4318'\nheaders = { A = '/srv/token' }\n", 0o600)
		c, _, err := Load(file)
		if says == "" {
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "sinks.a.path: ") || !strings.Contains(err.Error(), "is read as a file of "+says+",") || len(c.Sinks) != 2 {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}

// TestDirectoriesMayEndWithASlash: what is made of their paths has none, so that nothing is looked for in them that is above.
func TestDirectoriesMayEndWithASlash(t *testing.T) {
	c, err := Parse("t.toml", []byte("run_dir = '/run/x/'\nstate_dir = '/srv//x/./'\nplugin_dir = '/etc/p.d//'\n[sinks.a]\ntype = 'otlp'\nurl = 'http://127.0.0.1:4318'\ndead_letter_dir = '/srv/dead/'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.RunDir != "/run/x" || c.StateDir != "/srv/x" || c.PluginDir != "/etc/p.d" {
		t.Errorf("%q, %q, %q", c.RunDir, c.StateDir, c.PluginDir)
	}
	if owns := c.Sinks[0].Settings.(Owner).Owns(); len(owns) != 1 || owns[0] != "/srv/dead" {
		t.Errorf("%q", owns)
	}
}
