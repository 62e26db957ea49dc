package config

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/test/pki"
)

// TestSurvey: what is missing is a warning, what stands in the way or must not be used is an
// error; both name key and path. DIR is a directory of the test.
func TestSurvey(t *testing.T) {
	ca := pki.New(t)
	cert, key := ca.PEM(ca.Issue())
	tlsSink := "[sinks.s]\ntype='syslog'\ntransport='tls'\naddress='h:6514'\nca_file='DIR/ca'\n"
	tests := []struct {
		name, text string
		warn, err  string // parts of the one message; "" for none
	}{
		{"all there", "[log]\noutput='DIR/log'\n[sinks.f]\ntype='file'\npath='DIR/f'\n[sinks.u]\ntype='unix'\npath='DIR/new/u'\ngroup='root'\n", "", ""},
		{"log directory", "log.output='DIR/no/log'", "log.output: DIR/no is not there: log lines go to syslog", ""},
		{"log is a FIFO", "log.output='DIR/fifo'", "", "log.output: DIR/fifo is in the way: it is no regular file"},
		{"log is a directory", "log.output='DIR/dir'", "", "log.output: DIR/dir is in the way"},
		{"log is a link", "log.output='DIR/link'", "", "log.output: DIR/link is in the way: it is a symbolic link"},
		{"log is a link that leads nowhere", "log.output='DIR/dangling'", "", "log.output: DIR/dangling is in the way: it is a symbolic link"},
		{"log has two names", "log.output='DIR/second'", "", "log.output: DIR/second has 2 names (hard links)"},
		{"run_dir that others may write", "run_dir='DIR/open'", "", "run_dir: DIR/open has mode 0777, others could put a socket of their own there: chmod go-w DIR/open"},
		{"run_dir below one that others may write", "run_dir='DIR/open/run'", "", "run_dir: DIR/open has mode 0777"},
		{"state_dir that others may write", "state_dir='DIR/open'", "", "state_dir: DIR/open has mode 0777, others must not write it: run chmod go-w DIR/open"},
		{"state_dir that is a link", "state_dir='DIR/dirlink'", "", ""},
		{"audit.log is a link", "recovery.log_file='DIR/link'", "", "recovery.log_file: DIR/link is in the way: it is a symbolic link"},
		{"numbers' directory", "metrics.text_file='DIR/no/x.prom'", "metrics.text_file: DIR/no is not there: no numbers are written", ""},
		{"numbers' file is a directory", "metrics.text_file='DIR/dir.prom'", "", "metrics.text_file: DIR/dir.prom is in the way: it is a directory"},
		{"metrics' certificate", "metrics = { listen='127.0.0.1:1', cert_file='DIR/ca', key_file='DIR/key' }", "", ""},
		{"metrics' certificate is missing", "metrics = { listen='127.0.0.1:1', cert_file='DIR/no', key_file='DIR/key' }", "metrics.cert_file: DIR/no is not there: nothing listens until it is", ""},
		{"metrics' key that others may read", "metrics = { listen='127.0.0.1:1', cert_file='DIR/ca', key_file='DIR/openkey' }", "", "metrics.key_file: DIR/openkey has mode 0644"},
		{"metrics' key is no key", "metrics = { listen='127.0.0.1:1', cert_file='DIR/ca', key_file='DIR/plain' }", "", "metrics.cert_file: DIR/ca, DIR/plain: tls:"},
		{"run_dir's parent", "run_dir='DIR/no/run'", "run_dir: DIR/no is not there", ""},
		{"run_dir that is to be made", "run_dir='DIR/run/'", "", ""},
		{"run_dir is a file", "run_dir='DIR/plain'", "", "run_dir: DIR/plain is no directory"},
		{"state_dir is a FIFO", "state_dir='DIR/fifo'", "", "state_dir: DIR/fifo is no directory"},
		{"state_dir below /", "state_dir='/no-such-directory/.//'", "state_dir: /no-such-directory is directly below /: the sandbox lets the worker", ""},
		{"state_dir below /, no worker", "state_dir='/no-such-directory'\nsandbox='off'", "", ""},
		{"dead letters below /", "[sinks.o]\ntype='otlp'\nurl='http://localhost:4318'\ndead_letter_dir='/no-such-directory'\n", "sinks.o.dead_letter_dir: /no-such-directory is directly below /", ""},
		{"audit.log", "recovery.log_file='DIR/no'", "recovery.log_file: DIR/no is not there: nothing can be recovered", ""},
		{"audit.log is a directory", "recovery.log_file='DIR/dir'", "", "recovery.log_file: DIR/dir is in the way"},
		{"no recovery", "recovery = { enabled = false, log_file='DIR/no' }", "", ""},
		{"file's directory", "[sinks.f]\ntype='file'\npath='DIR/no/f'\n", "t.toml:1: sinks.f.path: DIR/no is not there: records wait", ""},
		{"file's directory is none", "[sinks.f]\ntype='file'\npath='DIR/plain/f'\n", "", "sinks.f.path: DIR/plain is no directory"},
		{"file is a FIFO", "[sinks.f]\ntype='file'\npath='DIR/fifo'\n", "", "sinks.f.path: DIR/fifo is in the way"},
		{"file is a link", "[sinks.f]\ntype='file'\npath='DIR/link'\n", "", "sinks.f.path: DIR/link is in the way: it is a symbolic link"},
		{"socket is a link", "[sinks.u]\ntype='unix'\npath='DIR/dangling'\ngroup='root'\n", "", "sinks.u.path: DIR/dangling is in the way: it is a symbolic link"},
		{"collector's socket by a link", "[sinks.u]\ntype='unix'\npath='DIR/socketlink'\nlisten=false\n", "", ""},
		{"syslog socket by a link", "[sinks.s]\ntype='syslog'\naddress='DIR/socketlink'\n", "", ""},
		{"dead letters that others may write", "[sinks.o]\ntype='otlp'\nurl='http://127.0.0.1'\ndead_letter_dir='DIR/open'\n", "", "sinks.o.dead_letter_dir: DIR/open has mode 0777"},
		{"no dead letters", "[sinks.o]\ntype='otlp'\nurl='http://127.0.0.1'\ndead_letter_dir='DIR/open'\ndead_letter_size='0'\n", "", ""},
		{"user", "[sinks.f]\ntype='file'\npath='DIR/f'\nowner='no-such-user'\n", `sinks.f.owner: there is no user "no-such-user"`, ""},
		{"group", "[sinks.f]\ntype='file'\npath='DIR/f'\ngroup='no-such-group'\n", `sinks.f.group: there is no group "no-such-group"`, ""},
		{"numbers need no account", "[sinks.f]\ntype='file'\npath='DIR/f'\ngroup='54321'\nowner='54321'\nmode='0600'\n", "", ""},
		{"socket's group", "[sinks.u]\ntype='unix'\npath='DIR/u'\ngroup='no-such-group'\n", `sinks.u.group: there is no group`, ""},
		{"socket's directory", "[sinks.u]\ntype='unix'\npath='DIR/no/no/u'\ngroup='root'\n", "sinks.u.path: DIR/no is not there", ""},
		{"file in the socket's place", "[sinks.u]\ntype='unix'\npath='DIR/plain'\ngroup='root'\n", "", "sinks.u.path: DIR/plain is in the way: it is no socket"},
		{"collector's socket", "[sinks.u]\ntype='unix'\npath='DIR/no'\nlisten=false\n", "sinks.u.path: DIR/no is not there: records wait", ""},
		{"file in its place", "[sinks.u]\ntype='unix'\npath='DIR/plain'\nlisten=false\n", "", "sinks.u.path: DIR/plain is in the way: it is no socket"},
		{"syslog socket", "[sinks.s]\ntype='syslog'\naddress='DIR/no'\n", "sinks.s.address: DIR/no is not there", ""},
		{"syslog socket is a file", "[sinks.s]\ntype='syslog'\naddress='DIR/plain'\n", "", "sinks.s.address: DIR/plain is in the way"},
		{"program", "[sinks.p]\ntype='program'\npath='DIR/no'\n", "sinks.p.path: DIR/no is not there", ""},
		{"program is a directory", "[sinks.p]\ntype='program'\npath='DIR/dir'\n", "", "sinks.p.path: DIR/dir is not a regular file"},
		{"program without right to run", "[sinks.p]\ntype='program'\npath='DIR/plain'\n", "", "sinks.p.path: DIR/plain has mode 0600"},
		{"ca_file", strings.Replace(tlsSink, "/ca'", "/no'", 1), "sinks.s.ca_file: DIR/no is not there", ""},
		{"ca_file without certificate", strings.Replace(tlsSink, "/ca'", "/plain'", 1), "", "sinks.s.ca_file: DIR/plain holds no certificate"},
		{"ca_file is a FIFO", strings.Replace(tlsSink, "/ca'", "/fifo'", 1), "", "sinks.s.ca_file: DIR/fifo: is not a regular file"},
		{"certificate and key", tlsSink + "cert_file='DIR/ca'\nkey_file='DIR/key'\n", "", ""},
		{"key_file", tlsSink + "cert_file='DIR/ca'\nkey_file='DIR/no'\n", "sinks.s.key_file: DIR/no is not there", ""},
		{"cert_file", tlsSink + "cert_file='DIR/no'\nkey_file='DIR/key'\n", "sinks.s.cert_file: DIR/no is not there", ""},
		{"key that others may read", tlsSink + "cert_file='DIR/ca'\nkey_file='DIR/openkey'\n", "", "sinks.s.key_file: DIR/openkey has mode 0644, others could use the key: run chmod 0600"},
		{"key of no certificate", tlsSink + "cert_file='DIR/ca'\nkey_file='DIR/ca'\n", "", "sinks.s.key_file: DIR/ca has mode"},
		{"no key", tlsSink + "cert_file='DIR/ca'\nkey_file='DIR/plain'\n", "", "sinks.s.cert_file: DIR/ca, DIR/plain: tls:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/plain", "x", 0o600)
			write(t, dir+"/ca", cert, 0o644)
			write(t, dir+"/key", key, 0o600)
			write(t, dir+"/openkey", key, 0o644)
			write(t, dir+"/first", "x", 0o600)
			if err := errors.Join(os.Mkdir(dir+"/dir", 0o755), os.Mkdir(dir+"/dir.prom", 0o755), syscall.Mkfifo(dir+"/fifo", 0o600),
				os.Mkdir(dir+"/open", 0o755), os.Chmod(dir+"/open", 0o777), os.Mkdir(dir+"/open/run", 0o755),
				os.Link(dir+"/first", dir+"/second"), os.Symlink("plain", dir+"/link"), os.Symlink("nothing", dir+"/dangling"),
				os.Symlink("dir", dir+"/dirlink"), os.Symlink("socket", dir+"/socketlink"),
				syscall.Mknod(dir+"/socket", syscall.S_IFSOCK|0o600, 0)); err != nil {
				t.Fatal(err)
			}
			in := func(s string) string { return strings.ReplaceAll(s, "DIR", dir) }
			text := in(tt.text)
			if !strings.Contains(text, "sinks.") {
				text += "\n[sinks.f]\ntype='file'\npath='" + dir + "/f'\n"
			}
			c, err := Parse("t.toml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			warns, err := Survey(c)
			if got := strings.Join(warns, "\n"); (tt.warn == "") != (len(warns) == 0) || !strings.Contains(got, in(tt.warn)) {
				t.Errorf("warnings %q, want %q", got, in(tt.warn))
			}
			if (tt.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), in(tt.err))) {
				t.Errorf("error %v, want %q", err, in(tt.err))
			}
			if err != nil {
				checkErrors(t, err)
			}
			oneLines(t, warns)
		})
	}
}

// TestReadKeyFile: who may read the key.
func TestReadKeyFile(t *testing.T) {
	root := os.Geteuid() == 0
	path := write(t, t.TempDir()+"/key", "secret", 0o600)
	for mode, good := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: root, 0o440: root, 0o660: false, 0o644: false, 0o604: false, 0o610: root, 0o620: false, 0o601: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		data, err := ReadKeyFile(path)
		if (err == nil) != good || (good && string(data) != "secret") {
			t.Errorf("mode %04o: %q, %v", mode, data, err)
		}
	}
	if root {
		os.Chmod(path, 0o600)
		if _, err := ReadKeyFile(chown(t, path)); err == nil || !strings.Contains(err.Error(), "is owned by uid 1234") {
			t.Errorf("another's key: %v", err)
		}
	}
}

// TestNetworkWarnings: what goes over a network in clear, or to whoever any CA vouches for, is
// said when the configuration is read.
func TestNetworkWarnings(t *testing.T) {
	for keys, want := range map[string]string{
		"transport='relp'\naddress='h:2514'":                    "t.toml:3: sinks.a.transport: records go over the network in clear: relp uses TLS when",
		"transport='relp'\naddress='h:2514'\nca_file='/ca'":     "",
		"transport='relp'\naddress='h:2514'\nserver_name='x.y'": "sinks.a.ca_file: is not set",
		"transport='tcp'\naddress='h:514'":                      "records go over the network in clear",
		"transport='udp'\naddress='[2001:db8::1]:514'":          "records go over the network in clear",
		"transport='tcp'\naddress='[::1]:514'":                  "",
		"transport='relp'\naddress='127.0.0.2:514'":             "",
		"transport='udp'\naddress='localhost:514'":              "",
		"transport='tls'\naddress='h:6514'":                     "t.toml:1: sinks.a.ca_file: is not set: any CA",
		"transport='tls'\naddress='h:6514'\nca_file='/ca'":      "",
		"transport='tls'\naddress='h:514'\nca_file='/ca'":       "514 is the port of syslog without TLS",
		"transport='tcp'\naddress='h:6514'":                     "6514 is the port of syslog over TLS",
		"tag='x'":                                               "",
	} {
		_, warns, err := parse("t.toml", []byte("[sinks.a]\ntype='syslog'\n"+keys))
		got := strings.Join(warns, "\n")
		if err != nil || (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v, want %q", keys, got, err, want)
		}
	}
}

// TestTransportIsNamed: an address that belongs to another transport is not called a wrong
// path.
func TestTransportIsNamed(t *testing.T) {
	for keys, want := range map[string]string{
		"address='loghost:514'":                              `"loghost:514" looks like host:port: for a server set transport to "udp"`,
		"address='[::1]:514'":                                "looks like host:port",
		"address='10.0.0.1:514'":                             "looks like host:port",
		"address='loghost'":                                  `for a server set transport to "udp"`,
		"address='tcp://loghost:514'":                        `write it as transport = "tcp" and address = "loghost:514"`,
		"transport='udp'\naddress='tls://loghost:6514'":      `transport = "tls" and address = "loghost:6514"`,
		"transport='tcp'\naddress='RELP://loghost:2514'":     `transport = "relp"`,
		"transport='tcp'\naddress='https://loghost:443'":     `has a scheme: write "host:port", and say with transport`,
		"transport='local'\naddress='unix:///dev/log'":       `transport = "local" and address = "/dev/log"`,
		"address='@@loghost:514'":                            `transport = "tcp" and address = "loghost:514"`,
		"transport='tcp'\naddress='@loghost:514'":            `transport = "udp" and address = "loghost:514"`,
		"transport='tcp'\naddress='/dev/log'":                `is the path of a socket: set transport = "local"`,
		"transport='relp'\naddress='/run/systemd/journal/x'": `set transport = "local"`,
		"transport='tls'\naddress='loghost'":                 `must be "host:port": the usual port is 514 for udp and tcp, 6514 for tls`,
	} {
		_, err := Parse("t.toml", []byte("[sinks.a]\ntype='syslog'\n"+keys))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "sinks.a.address") {
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
}
