package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
	_ "audisp-relay/sinks/all"
)

// secrets are what must not be in a bundle, of every kind.
var secrets = []string{
	"alice", "zbigniew", "Prod-Operator7", // people
	"db17.corp.internal", "db17", "loghost.acme.example", "vault-eu-west-3", "münchen", // hosts
	"10.17.34.201", "2001:db8:5:77::beef", "fe80::1c2d:3e4f", "52:54:00:ab:cd:ef", "192.168.44.7", // addresses
	"hunter2", "s3cr3tP4ss", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "4111111111111111", "00491761234567",
	"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7", "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQsw",
	"alice.anderson@acme.example", "https://bob:xyzzy42@proxy.acme.example:3128/x", "xyzzy42",
	"--password=hunter2", "mysqldump", "quarterly-layoffs.xlsx", "proctitle=6D7973716C", "6D7973716C", "/home/alice/payroll", "payroll",
	"ACME-PRJ-00917", "acct#55-1234", "кириллица",
}

const plantedConfig = `# token: ghp_16C7e42F292c6912E7710c838347Ae178B4a, ask zbigniew
name_format = "user"
name = "db17.corp.internal"
[rules]
"ACME-PRJ-00917" = 'exe == "/home/alice/payroll"'
mysqldump = 'iends(exe, "mysqldump") or icontains(cmdline, "quarterly-layoffs.xlsx")'
[sinks.vault-eu-west-3]
type = "syslog"
transport = "tls"
address = "loghost.acme.example:6514"
server_name = "vault-eu-west-3"
ca_file = "/home/alice/payroll/ca.pem"
cert_file = "/home/alice/payroll/c.pem"
key_file = "/home/alice/payroll/quarterly-layoffs.xlsx"
tag = "ACME-PRJ-00917"
filter = 'exe == "/home/alice/payroll" or key == "acct#55-1234"'
[sinks.up]
type = "program"
path = "/usr/sbin/mysqldump"
args = ["--password=hunter2", "10.17.34.201"]
user = "zbigniew"
[sinks.six]
type = "syslog"
transport = "udp"
address = "[2001:db8:5:77::beef]:514"
`

// record is an audit record with all kinds of secrets in it.
func record() string {
	return `type=EXECVE msg=audit(1700000000.123:4711): argc=3 a0="mysqldump" a1="--password=hunter2" a2="/home/alice/payroll" proctitle=6D7973716C addr=10.17.34.201`
}

// planted are facts with every secret in every text.
func planted(t *testing.T) *Facts {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Join(secrets, " ") + " " + strings.Join(secrets, ",") + ` "` + strings.Join(secrets, `" "`) + `" ` + record()
	var log strings.Builder
	for _, s := range append(secrets, record(), "-----BEGIN PRIVATE KEY-----\\n"+secrets[17], all) {
		line, err := json.Marshal(map[string]any{"level": "warn", "msg": "sink failed", "error": "connect to " + s + ": refused", "sink": s, s: 7, "n": 12, "list": []string{s}})
		if err != nil {
			t.Fatal(err)
		}
		log.Write(append(line, '\n'))
		fmt.Fprintf(&log, "Nov 28 06:53:13 db17 audisp-relay[77]: sink failed {\"error\": \"%s\"} x=%s (%s) [%s] %s=1 %s:5\n", s, s, s, s, s, s)
	}
	put("/var/log/audisp-relay/own.log", log.String())
	put("/etc/audit/audisp-relay.toml", plantedConfig)
	put("/etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:1000:1000:Alice Anderson:/home/alice:/bin/sh\n")
	put("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nHOME_URL=\"https://bob:xyzzy42@proxy.acme.example:3128/x\"\n")
	put("/proc/77/limits", "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n")
	put("/proc/77/status", "Name:\tzbigniew\nVmRSS:\t   12345 kB\nCapEff:\t0000000000000000\n")

	cfg, err := config.Parse("/etc/audit/audisp-relay.toml", []byte(plantedConfig))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Log.Output = "/var/log/audisp-relay/own.log"
	relay := &plugin.Report{Pid: 77, Version: "1.2.3", Config: "/home/alice/payroll", ConfigError: all, PanicLast: all, LogFault: all, Why: secrets, Degraded: secrets,
		Consumers: []consumer.Report{{Name: "vault-eu-west-3", Type: "syslog", Filter: all, PoisonAt: all, Sink: sinks.Status{Degraded: true, Error: all, Flaw: all},
			Lost: map[string]consumer.LossReport{"alice": {}}}}}
	finding := doctor.Finding{Code: "AR-TEST", Title: all, Subject: all, Text: all, Evidence: all, Fix: all}
	return &Facts{
		Version: "1.2.3", File: "/etc/audit/audisp-relay.toml", Config: cfg, ConfigErr: errors.New(all), root: root,
		Auditd:    host.Auditd{PID: 5, Version: "3.0.9", Conf: host.AuditdConf{Name: "db17.corp.internal", LogFile: "/home/alice/payroll", SpaceLeftAction: "email", NumLogs: 5}},
		AuditdErr: errors.New(all),
		Plugins:   []host.PluginFile{{Path: "/etc/audit/plugins.d/acct#55-1234.conf", Binary: "/usr/sbin/mysqldump", Config: all, Active: true, Problems: secrets, Err: errors.New(all)}},
		Unit:      map[string]string{"ProtectSystem": "full", "ReadWritePaths": "/home/alice/payroll", "ExecStart": all, "Environment": all},
		Relay:     relay, RelayErr: errors.New(all), Doctor: &doctor.Report{Time: time.Now(), Host: "db17", Findings: []doctor.Finding{finding}, Hidden: []doctor.Finding{finding}},
	}
}

// unpack returns the files of a bundle.
func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	files := make(map[string]string)
	for r := tar.NewReader(unpacked); ; {
		header, err := r.Next()
		if err == io.EOF {
			return files
		}
		text, rerr := io.ReadAll(r)
		if err = errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		if header.Mode != 0o600 {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
		files[filepath.Base(header.Name)] = string(text)
	}
}

// TestSecretsThatLookHarmless: numbers and words of the program's that a word before them says are secrets.
func TestSecretsThatLookHarmless(t *testing.T) {
	for _, text := range []string{
		"login with password=4711", "token: 4711", "token:4711", `{"api_key":"4711"}`, "Authorization: Bearer admin", "x-auth-token=admin", "client_secret = 'admin'",
		"Bearer 4711", "cookie: admin",
	} {
		if got := newRedactor().Text(text); strings.Contains(got, "4711") || strings.Contains(got, "admin") {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := newRedactor().Text("no token, port 4711"); got != "no token, port 4711" {
		t.Errorf("a text without a secret becomes %q", got)
	}
	out, err := newRedactor().JSON(map[string]any{"password": 4711, "tokens": []int{4711}, "filter": "auid == 4711", "n": 12})
	if err != nil || strings.Contains(string(out), "4711") || !strings.Contains(string(out), "12") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestNoSecretGetsOut plants secrets of every kind in everything that a bundle is made of.
func TestNoSecretGetsOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tgz")
	entries, err := Write(path, planted(t))
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, path)
	for name, text := range files {
		lower := strings.ToLower(text)
		for _, secret := range secrets {
			if i := strings.Index(lower, strings.ToLower(secret)); i >= 0 {
				t.Errorf("%s has %q: %q", name, secret, text[max(0, i-60):min(len(text), i+80)])
			}
		}
		if strings.Contains(text, "BEGIN PRIVATE") || strings.Contains(text, "msg=audit") || strings.Contains(text, "argc") {
			t.Errorf("%s has a key or a record", name)
		}
	}

	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if len(files) != len(parts)+1-leftOut(entries) || !strings.Contains(files["README.txt"], "config.json") {
		t.Errorf("%d files, %+v", len(files), entries)
	}
	wantUseful(t, files)
}

func leftOut(entries []Entry) (n int) {
	for _, e := range entries {
		if strings.HasPrefix(e.Note, "left out") {
			n++
		}
	}
	return n
}

// wantUseful: what a maintainer needs is still there.
func wantUseful(t *testing.T, files map[string]string) {
	t.Helper()
	for name, parts := range map[string][]string{
		"config.json":   {`"transport": "tls"`, `:6514"`, `"type": "program"`, `"left_out": 2`, `"sink-`, `"host-`, `"address": "addr-`},
		"auditd.json":   {`"NumLogs": 5`, `"SpaceLeftAction": "email"`},
		"status.json":   {`"version": "1.2.3"`, `"degraded": true`, `"pid": 77`},
		"findings.json": {`"AR-TEST"`},
		"log.txt":       {`"level":"warn"`, `"msg":"sink failed"`, `"n":12`, "connect to ", "refused"},
		"process.txt":   {"VmRSS:    12345 kB", "Max open files", "1024"},
		"system.json":   {`"VERSION_ID": "12"`, `"ID": "debian"`, `"version": "3.0.9"`},
		"plugins.json":  {`"active": true`, "/etc/audit/plugins.d/"},
		"unit.txt":      {`"ProtectSystem": "full"`},
		"build.json":    {`"go": "go1`},
	} {
		for _, part := range parts {
			if !strings.Contains(files[name], part) {
				t.Errorf("%s lacks %s:\n%.3000s", name, part, files[name])
			}
		}
	}
}

// TestWriteRefusesWhatIsThere: no file and no link is written over.
func TestWriteRefusesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	there, link := filepath.Join(dir, "there"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(there, []byte("x"), 0o600), os.Symlink(filepath.Join(dir, "absent"), link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{there, link, filepath.Join(dir, "no", "dir")} {
		if _, err := Write(path, &Facts{}); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "x" {
		t.Errorf("%q %v", text, err)
	}
}

// TestWriteOfNothing: where nothing is known of a host, there is a bundle, too.
func TestWriteOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tgz")
	if _, err := Write(path, &Facts{root: t.TempDir(), File: "/absent", ConfigErr: errors.New("x")}); err != nil {
		t.Fatal(err)
	}
	if files := unpack(t, path); files["build.json"] == "" || files["config.json"] == "" {
		t.Errorf("%v", files)
	}
}

// TestBounds: a huge log is cut at its beginning, huge reports at their end.
func TestBounds(t *testing.T) {
	f := planted(t)
	log := filepath.Join(f.root, "/var/log/audisp-relay/own.log")
	if err := os.WriteFile(log, bytes.Repeat([]byte("sink failed\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		f.Relay.Why = append(f.Relay.Why, "sink failed and failed and failed")
	}

	path := filepath.Join(t.TempDir(), "b.tgz")
	if _, err := Write(path, f); err != nil {
		t.Fatal(err)
	}
	for name, text := range unpack(t, path) {
		if len(text) > maxFile+100 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
}

// TestText: what stays and what does not.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"connect to syslog (tls db1:6514): i/o timeout":           "connect to syslog (tls host-1:6514): i/o timeout",
		"audisp-relay.toml:12: address: log.server and log-queue": "audisp-relay.toml:12: address: host-1 and log-queue",
		"queue-full 12 records, 4.5ms, 1m30s, 80%":                "queue-full 12 records, 4.5ms, 1m30s, 80%",
		"2026-11-28T06:53:13.123Z open /var/log/x9/f: full":       "2026-11-28T06:53:13.123Z open /var/log/name-1/name-2: full",
		"10.0.0.1:514 and 10.0.0.1 and [fe80::1]:6514":            "addr-1:514 and addr-1 and [addr-2]:6514",
		"a.b@c.example":          "mail-1",
		"\x1b[31mfailed\nfailed": "word-1[word-2 failed",
		"":                       "",
	} {
		if got := newRedactor().Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// FuzzText: whatever the text, the result is one printable line of bounded length that has no word
// which is not known.
func FuzzText(f *testing.F) {
	for _, s := range secrets {
		f.Add("error: " + s)
	}

	f.Add(record())
	f.Add("\xff\xfe\x00/..//\x1b[2J")
	f.Fuzz(func(t *testing.T, text string) {
		got := newRedactor().Text(text)
		if len(got) > 40*len(text)+40 {
			t.Errorf("%d bytes become %d", len(text), len(got))
		}
		for i := range len(got) {
			if got[i] < ' ' || got[i] > '~' {
				t.Fatalf("%q has a byte %#x", got, got[i])
			}
		}
		if again := newRedactor().Text(strings.ToUpper("zbigniew " + text)); strings.Contains(strings.ToLower(again), "zbigniew") {
			t.Errorf("%q", again)
		}
	})
}
