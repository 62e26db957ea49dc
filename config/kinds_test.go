package config_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/config"
	_ "audisp-relay/format/all"
	_ "audisp-relay/sinks/all" // registers types of sinks, as format/all does formats, for the other tests of config too
	"audisp-relay/sinks/file"
	"audisp-relay/sinks/program"
	"audisp-relay/sinks/syslog"
	"audisp-relay/sinks/unix"
)

func TestParseAllTypes(t *testing.T) {
	got, err := config.Parse("t.toml", []byte(`q_depth = 100
q_bytes = 131072
qos = "lossless"
overflow_action = "ignore"
priority_boost = 0
oom_score_adj = -1000
sandbox = "off"
name_format = "user"
name = "host-1"
memory_limit = "1GiB"
input_buffer = "0"
run_dir = "/run/x"
state_dir = "/srv/x"
process_context = false
process_cgroup = true
process_hash = "64MiB"
loss_markers = false
log = { level = "debug", output = "/var/log/relay.log" }
spool = { max_size = "1MiB" }
recovery = { enabled = false, log_file = "/srv/audit.log" }

[sinks.z-prog]
type = "program"
path = "/sbin/audisp-remote"
args = ["-x", "a b"]
format = "binary"
max_restarts = 0

[sinks]
[sinks.sock]
type = "unix"
path = "/run/x/s"
mode = "600"
owner = "0"
group = "audit"
allow_uids = [0, 1000]
max_clients = 1
slow_client = "drop"
when_idle = "queue"
qos = "lossy"
q_depth = 7
[sinks.arch]
type = "file"
path = "/var/log/x"
max_size = "0"
max_files = 1
compress = true
sync = "batch"
q_bytes = "64KiB"
overflow_action = "suspend"
spool = { sync = "batch" }
[sinks.net]
type = "syslog"
transport = "tcp"
address = "[::1]:514"
facility = "local7"
[sinks.net.spool]
max_size = "0"
[sinks.loc]
type = "syslog"
`))
	if err != nil {
		t.Fatal(err)
	}
	sink := func(name, typ string, line int) config.Sink {
		return config.Sink{Name: name, Type: typ, Format: "string", QDepth: 100, QBytes: 128 << 10, QOS: "lossless", OverflowAction: "ignore",
			Spool: config.Spool{MaxSize: 1 << 20, Sync: "interval", WarnAt: 75}, NameFormat: "user", NodeName: "host-1", StateDir: "/srv/x",
			NetworkFailureAction: "ignore", DiskFullAction: "ignore", After: 10 * time.Minute, Origin: fmt.Sprint("t.toml:", line)}
	}
	arch, loc, net := sink("arch", "file", 42), sink("loc", "syslog", 59), sink("net", "syslog", 52)
	sock, prog := sink("sock", "unix", 30), sink("z-prog", "program", 22)
	arch.QBytes, arch.OverflowAction, arch.Spool.Sync = 64<<10, "suspend", "batch"
	net.Spool.MaxSize = 0
	arch.Output, arch.Files = "/var/log/x", 1
	arch.Settings = &file.Config{Path: "/var/log/x", Mode: 0o640, Owner: "root", Group: "root", MaxFiles: 1, Compress: true, Sync: "batch"}
	loc.Settings = &syslog.Config{Transport: "local", Address: "/dev/log", Protocol: "rfc3164", Facility: "user", Severity: "info", Tag: "audisp-relay", MaxMessage: syslog.DefaultMaxMessage}
	net.Settings = &syslog.Config{Transport: "tcp", Address: "[::1]:514", Protocol: "rfc5424", Facility: "local7", Severity: "info", Tag: "audisp-relay", MaxMessage: syslog.DefaultMaxMessage, Framing: "both"}
	sock.QOS, sock.QDepth = "lossy", 7
	sock.Output, sock.SlowClient, sock.WhenIdle = "/run/x/s", "drop", "queue"
	sock.Settings = &unix.Config{Path: "/run/x/s", Mode: 0o600, Owner: "0", Group: "audit", AllowUIDs: []int{0, 1000}, MaxClients: 1, MaxPerUID: 8}
	prog.Format, prog.Frames = "binary", "auto"
	prog.Program = "/sbin/audisp-remote"
	prog.Settings = &program.Config{Path: "/sbin/audisp-remote", Args: []string{"-x", "a b"}}
	want := &config.Config{QDepth: 100, QBytes: 128 << 10, QOS: "lossless", OverflowAction: "ignore", OOMScoreAdj: -1000, ProcessCgroup: true, ProcessHash: 64 << 20, Sandbox: "off",
		NameFormat: "user", Name: "host-1", MemoryLimit: 1 << 30, RunDir: "/run/x", StateDir: "/srv/x",
		Spool: config.Spool{MaxSize: 1 << 20, Sync: "interval", WarnAt: 75}, Recovery: config.Recovery{LogFile: "/srv/audit.log"}, Log: config.Log{Level: "debug", Output: "/var/log/relay.log"}, Metrics: config.Metrics{Socket: true, TLS: true},
		Sinks: []config.Sink{arch, loc, net, sock, prog}, File: "t.toml"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
