package plugin

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/process"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/host/trusted"
	"audisp-relay/sinks/program"
	"audisp-relay/state"
	"audisp-relay/test/lab"
)

// op is one that a worker asks for.
type op struct {
	item, op string
	args     any
	result   bool // it wants one
	fds      int  // that come back
	gives    bool // one goes with it
}

const opsConfig = `
[sinks.f]
type = "file"
path = "DIR/logs/out"
[sinks.u]
type = "unix"
path = "DIR/sock"
group = "root"
[sinks.c]
type = "unix"
path = "DIR/collector"
listen = false
[sinks.l]
type = "syslog"
address = "DIR/collector"
`

// asked are the arguments of more than one package.
type asked map[string]any

// ops lists all ops of all items in an order in which they can be done, in a monitor whose auditd cannot be found. A kind of sink has
// handles that begin with 1.
func ops(dir string) []op {
	in := func(name string) string { return filepath.Join(dir, name) }
	out := func(args asked) asked { args["Dir"], args["Name"] = 1, "out"; return args }
	return []op{
		{config.ConfigItem, config.OpDir, nil, true, 0, false}, {config.ConfigItem, config.OpLoad, nil, false, 1, false},
		{trusted.Item, trusted.OpOpen, in("ca.pem"), false, 1, false},
		{auditlog.LogItem, "look", in("audit.log"), true, 0, false}, {auditlog.LogItem, "open", in("audit.log"), false, 1, false},
		{host.AuditdItem, "logs", nil, true, 0, false}, {host.AuditdItem, "padded", "", true, 0, false},
		{users.Item, "passwd", 0, true, 0, false}, {users.Item, "group", 0, true, 0, false},
		{process.Item, process.OpExe, os.Getpid(), true, 0, false},
		{controlItem, opListen, nil, false, 1, false}, {controlItem, opThere, nil, true, 0, false}, {controlItem, opDrop, nil, false, 0, false},
		{metricsItem, opListen, nil, false, 1, false}, {metricsItem, opThere, nil, true, 0, false}, {metricsItem, opDrop, nil, false, 0, false},
		{portItem, opListen, nil, false, 1, false},
		{textItem, opPut, nil, false, 0, true}, {textItem, opRemove, nil, false, 0, false}, {reportItem, opPut, nil, false, 0, true},
		{ownLogItem, opOpen, nil, false, 1, false}, {ownLogItem, opThere, nil, true, 0, false},
		{initItem, opRun, "0", false, 0, false},
		{program.ActionItem, "start", asked{"Path": "/bin/true"}, true, 0, true}, {program.ActionItem, "await", asked{"Handle": 1}, false, 0, false},
		{program.ActionItem, "members", asked{"Handle": 1}, true, 0, false}, {program.ActionItem, "reap", asked{"Handle": 1}, true, 0, false},
		{"program/p", "start", asked{}, true, 0, true}, {"program/p", "members", asked{"Handle": 1}, true, 0, false},
		{"program/p", "signal", asked{"Handle": 1, "Signal": 9, "Group": true}, false, 0, false}, {"program/p", "await", asked{"Handle": 1}, false, 0, false},
		{"program/p", "reap", asked{"Handle": 1}, true, 0, false},
		{"file/f", "dir", asked{"Name": in("logs")}, true, 0, false}, {"file/f", "open", out(asked{"How": "make"}), false, 1, false},
		{"file/f", "look", asked{}, true, 0, false}, {"file/f", "lstat", out(asked{}), true, 0, false},
		{"file/f", "names", asked{"Dir": 1}, true, 0, false}, {"file/f", "sync", asked{"Dir": 1}, false, 0, false},
		{"file/f", "chmod", out(asked{"Mode": 0o640}), false, 0, false}, {"file/f", "chown", out(asked{}), false, 0, false},
		{"file/f", "rename", out(asked{"To": "out.1"}), false, 0, false}, {"file/f", "remove", asked{"Dir": 1, "Name": "out.1"}, false, 0, false},
		{"file/f", "close", asked{"Dir": 1}, false, 0, false},
		{"unix/u", "listen", nil, true, 1, false}, {"unix/u", "check", 1, true, 0, false}, {"unix/u", "grant", 1, true, 0, false}, {"unix/u", "remove", 1, true, 0, false},
		{"unix/c", "connect", nil, false, 1, false}, {"syslog/l", "connect", "unix", false, 1, false},
	}
}

// TestDeskAnswersEveryOp: what a worker asks for with the arguments that it has is done, and answered with the result and descriptors
// that it wants; without them, or with others, it is an error that says so or the same.
func TestDeskAnswersEveryOp(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: a file sink's directory has to be root's")
	}
	d, dir := deskFor(t, deskConfig+opsConfig)
	prepareOps(t, dir)
	m := lab.Worker(t, d.Serve)
	fd, err := config.InMemory([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ask := func(o *op, args any) error {
		var given []int
		if o.gives {
			given = []int{fd}
		}
		var result any
		into := any(nil)
		if o.result {
			into = &result
		}
		got, err := m.Call(o.item, o.op, args, into, o.fds, given...)
		for _, fd := range got {
			unix.Close(fd)
		}
		return err
	}
	list := ops(dir)
	for i := range list {
		o := &list[i]
		if o.args != nil { // with it is a copy of one that has none
			for _, args := range []any{nil, true, []int{}} {
				if err := ask(o, args); err == nil || strings.Contains(err.Error(), "panicked") {
					t.Errorf("%s of %s with %v: %v", o.op, o.item, args, err)
				}
			}
		}
		if err := ask(o, o.args); err != nil {
			t.Errorf("%s of %s with %v: %v", o.op, o.item, o.args, err)
		}
		if err := ask(&op{item: o.item, op: "other", result: o.result}, o.args); err == nil || strings.Contains(err.Error(), "panicked") {
			t.Errorf("other of %s with %v: %v", o.item, o.args, err)
		}
	}
	for _, o := range []op{ // whether these can be done depends on the host
		{item: host.AuditdItem, op: "log", result: true}, {item: host.AuditdItem, op: "node", result: true},
		{item: host.AuditdItem, op: "state", result: true}, {item: host.AuditdItem, op: "kernel", result: true},
		{item: state.Item, op: state.OpMake}, {item: renewItem, op: opCheck},
	} {
		err := ask(&o, nil)
		for _, not := range []string{"no result", "cannot be done", "panicked", "descriptors"} {
			if err != nil && strings.Contains(err.Error(), not) {
				t.Error(err)
			}
		}
	}
}

// prepareOps makes what is read and connected to.
func prepareOps(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.pem", "audit.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "collector"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() }) // who connects need not be accepted
}
