package plugin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/process"
	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/host/trusted"
	"audisp-relay/sinks/program"
	"audisp-relay/state"
)

// deskFor returns the desk of a plugin with this configuration, which a worker has asked for, and the directory that DIR in it is replaced by.
func deskFor(t testing.TB, text string) (*desk, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.toml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := New(Options{Config: file, In: strings.NewReader(""), Init: func(string) error { return nil }})
	t.Cleanup(p.signals.close)
	d := newDesk(p)
	t.Cleanup(d.Close)
	a, err := d.Serve(broker.NewCall(config.ConfigItem, config.OpLoad, ""))
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(a.FDs[0])
	return d, dir
}

const deskConfig = `
run_dir = "DIR/run"
state_dir = "DIR/state"
[log]
output = "DIR/log"
[recovery]
log_file = "DIR/audit.log"
[metrics]
text_file = "DIR/numbers.prom"
listen = "127.83.17.4:47831"
[sinks.p]
type = "program"
path = "/bin/cat"
[sinks.o]
type = "otlp"
url = "https://localhost:4318"
ca_file = "DIR/ca.pem"
network_failure_action = "exec /bin/true"
[sinks.halt]
type = "file"
path = "DIR/out"
overflow_action = "halt"
`

// TestDeskServesWhatIsConfigured, and nothing else.
func TestDeskServesWhatIsConfigured(t *testing.T) {
	d, dir := deskFor(t, deskConfig)
	for _, name := range []string{"ca.pem", "audit.log", "audit.log.1", "audit.log.1.gz", "secret", "relay.toml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	quoted := func(name string) string { return fmt.Sprintf("%q", filepath.Join(dir, name)) }
	for _, x := range []struct {
		item, op, args string
		done           bool
	}{
		{trusted.Item, trusted.OpOpen, quoted("ca.pem"), true}, {trusted.Item, trusted.OpOpen, quoted("secret"), false},
		{trusted.Item, trusted.OpOpen, `"/etc/shadow"`, false}, {trusted.Item, trusted.OpOpen, `""`, false},
		{trusted.Item, "other", quoted("ca.pem"), false}, {trusted.Item, trusted.OpOpen, "[]", false},
		{auditlog.LogItem, "open", quoted("audit.log"), true}, {auditlog.LogItem, "open", quoted("audit.log.1"), true},
		{auditlog.LogItem, "open", quoted("audit.log.1.gz"), false}, {auditlog.LogItem, "open", quoted("audit.log.01"), false},
		{auditlog.LogItem, "open", quoted("secret"), false}, {auditlog.LogItem, "open", `"/etc/shadow"`, false},
		{program.ActionItem, "start", `{"Path":"/bin/sh"}`, false}, {program.ActionItem, "start", `{"Path":""}`, false},
		{"program/p", "signal", `{"Handle":1,"Signal":9}`, false}, {"program/none", "start", "{}", false},
		{initItem, opRun, `"0"`, true}, {initItem, opRun, `"1"`, false}, {initItem, opRun, `"6"`, false}, {initItem, opRun, "{}", false},
		{ownLogItem, opOpen, "", true}, {ownLogItem, opDrop, "", false},
		{controlItem, opListen, "", true}, {controlItem, opThere, "", true}, {controlItem, opDrop, "", true}, {controlItem, opPut, "", false},
		{portItem, opListen, "", true}, {portItem, opThere, "", false}, {textItem, opPut, "", false}, {textItem, opRemove, "", true},
		{process.Item, process.OpExe, strconv.Itoa(os.Getpid()), true}, {process.Item, process.OpExe, "0", false}, {process.Item, process.OpExe, `"1"`, false},
		{process.Item, "environ", "1", false}, {reportItem, opRemove, "", false}, {state.Item, "other", "", false}, {"nonsense", opOpen, "", false}, {"", "", "", false},
		{"file/halt", "dir", `{"Name":"/etc"}`, false}, {"file/p", "dir", "{}", false}, {"unix/halt", "listen", "", false},
	} {
		a, err := d.Serve(broker.NewCall(x.item, x.op, x.args))
		if (err == nil) != x.done {
			t.Errorf("%s of %s with %s: %+v, %v", x.op, x.item, x.args, a, err)
		}
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
	}
}

// TestDeskPutsFiles that the worker has in memory, of a length that there may be, and of no other kind.
func TestDeskPutsFiles(t *testing.T) {
	d, dir := deskFor(t, deskConfig)
	const given = "a\treport\n\x1b[31m\u009b\u202e é\n"
	fd, err := config.InMemory([]byte(given))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for item, want := range map[string]struct{ path, text string }{
		reportItem: {"run/state", "a\treport\n?[31m?? é\n"}, textItem: {"numbers.prom", given}, // people read the first
	} {
		if _, err := d.Serve(broker.NewCall(item, opPut, "", fd)); err != nil {
			t.Errorf("%s: %v", item, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, want.path)); string(text) != want.text {
			t.Errorf("%s: %q, %v", want.path, text, err)
		}
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	large, err := config.InMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(large)
	if err := unix.Ftruncate(large, maxPut+1); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	for name, fds := range map[string][]int{"a pipe": {pipe[0]}, "a file of another file system": {int(elsewhere.Fd())}, "nothing": nil, "two": {fd, fd}, "a large one": {large}} {
		if _, err := d.Serve(broker.NewCall(reportItem, opPut, "", fds...)); err == nil {
			t.Errorf("%s is put", name)
		}
	}
}

// TestDeskPutsFilesWhereTheyBelong: who owns the directory above a text file's, or the log's, cannot have what a worker gives put elsewhere.
func TestDeskPutsFilesWhereTheyBelong(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	d, dir := deskFor(t, "run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\n[metrics]\ntext_file = \"DIR/its/texts/numbers.prom\"\n[log]\noutput = \"DIR/its/texts/log\"\n")
	texts, outside := filepath.Join(dir, "its", "texts"), filepath.Join(dir, "outside")
	for _, err := range []error{
		os.Mkdir(filepath.Dir(texts), 0o755), os.Mkdir(outside, 0o755), os.Symlink(outside, texts), os.Lchown(texts, 12345, 12345),
		os.Chown(filepath.Dir(texts), 12345, 12345),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := config.InMemory([]byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, fds := range [][]int{{fd}, nil} {
		op := opRemove
		if fds != nil {
			op = opPut
		}
		if _, err := d.Serve(broker.NewCall(textItem, op, "", fds...)); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: %v", op, err)
		}
	}
	for _, op := range []string{opOpen, opThere} {
		if _, err := d.Serve(broker.NewCall(ownLogItem, op, "")); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: %v", op, err)
		}
	}
	if there, err := os.ReadDir(outside); len(there) > 0 || err != nil {
		t.Errorf("%v, %v", there, err)
	}
	for _, err := range []error{os.Remove(texts), os.Mkdir(texts, 0o755), os.Chown(texts, 12345, 12345)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Serve(broker.NewCall(textItem, opPut, "", fd)); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(texts + "/numbers.prom"); string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.Mkdir(texts+"/log", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Serve(broker.NewCall(ownLogItem, opOpen, "")); err == nil || err.Error() != texts+"/log: not a regular file" {
		t.Errorf("a directory is in the way: %v", err)
	}
}

// TestDeskReadsListsOfFilters: those that a sink's filter or a rule takes values from, even if root alone may read them.
func TestDeskReadsListsOfFilters(t *testing.T) {
	lists := t.TempDir()
	list := func(name string) string { return filepath.Join(lists, name) }
	for _, name := range []string{"keys", "programs", "other"} {
		if err := os.WriteFile(list(name), []byte("content\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, _ := deskFor(t, fmt.Sprintf("state_dir = \"DIR/state\"\n[rules]\nknown = 'exe in file(%q)'\n"+
		"[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\nfilter = 'key in file(%q)'\n", list("programs"), list("keys")))
	for name, may := range map[string]bool{"keys": true, "programs": true, "other": false} {
		a, err := d.Serve(broker.NewCall(trusted.Item, trusted.OpOpen, fmt.Sprintf("%q", list(name))))
		if (err == nil) != may {
			t.Errorf("list %s: %v", name, err)
		}
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
	}
}

// TestDeskObeysWhatItGaveTheWorker: after a reload the new files may be read, and the old ones not; one with errors changes nothing.
func TestDeskObeysWhatItGaveTheWorker(t *testing.T) {
	const sink = "[sinks.o]\ntype = \"otlp\"\nurl = \"https://localhost:4318\"\nca_file = \"DIR/%s\"\n"
	d, dir := deskFor(t, fmt.Sprintf("state_dir = \"DIR/state\"\n"+sink, "one"))
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(name string) bool {
		a, err := d.Serve(broker.NewCall(trusted.Item, trusted.OpOpen, fmt.Sprintf("%q", filepath.Join(dir, name))))
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
		return err == nil
	}
	for _, x := range []struct {
		text string
		want string
	}{{fmt.Sprintf(sink, "two"), "two"}, {"nonsense", "two"}, {fmt.Sprintf(sink, "one"), "one"}} {
		text := strings.ReplaceAll("state_dir = \"DIR/state\"\n"+x.text, "DIR", dir)
		if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := d.Serve(broker.NewCall(config.ConfigItem, config.OpLoad, ""))
		if err != nil {
			t.Fatal(err)
		}
		given := make([]byte, len(text)+1)
		if n, err := unix.Pread(a.FDs[0], given, 0); string(given[:max(n, 0)]) != text {
			t.Errorf("given %q, %v", given, err)
		}
		unix.Close(a.FDs[0])
		if one, two := reads("one"), reads("two"); one != (x.want == "one") || two != (x.want == "two") {
			t.Errorf("after %q: one %v, two %v", x.text, one, two)
		}
	}
}

// TestDeskStartsNoProgramOfARemovedSink, nor connects to what one has connected to; what it has started it may end.
func TestDeskStartsNoProgramOfARemovedSink(t *testing.T) {
	const sinks = "[sinks.p]\ntype = \"program\"\npath = \"/bin/cat\"\n[sinks.c]\ntype = \"unix\"\npath = \"DIR/collector\"\nlisten = false\n" +
		"[sinks.l]\ntype = \"syslog\"\naddress = \"DIR/collector\"\n"
	const rest = "state_dir = \"DIR/state\"\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n"
	d, dir := deskFor(t, rest+sinks)
	ln, err := net.Listen("unix", filepath.Join(dir, "collector"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	ask := func(item, op, args string, fds ...int) error {
		a, err := d.Serve(broker.NewCall(item, op, args, fds...))
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
		return err
	}
	for _, may := range []bool{true, false, true} {
		text := rest
		if may {
			text += sinks
		}
		if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ask(config.ConfigItem, config.OpLoad, ""); err != nil {
			t.Fatal(err)
		}
		for item, err := range map[string]error{
			"program/p": ask("program/p", "start", "{}", int(null.Fd())), "unix/c": ask("unix/c", "connect", ""), "syslog/l": ask("syslog/l", "connect", `"unix"`),
		} {
			if (err == nil) != may {
				t.Errorf("%s, configured %v: %v", item, may, err)
			}
		}
		if !may {
			if err := ask("program/p", "reap", `{"Handle":1}`); err != nil {
				t.Errorf("reap: %v", err)
			}
		}
	}
}

// TestDeskServesWhatTheWorkerBeganWith: a change that takes effect at the next start changes nothing of audit.log, state_dir, the own
// log and the sockets; nor does the end of auditd, which then no longer says where its log is.
func TestDeskServesWhatTheWorkerBeganWith(t *testing.T) {
	const text = "run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\n[log]\noutput = \"DIR/log\"\n[recovery]\nlog_file = \"DIR/audit.log\"\n"
	d, dir := deskFor(t, text)
	for _, name := range []string{"audit.log", "found", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.noteLog(filepath.Join(dir, "found")) // as one of auditd's
	ask := func(item, op, args string) error {
		a, err := d.Serve(broker.NewCall(item, op, args))
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
		return err
	}
	other := strings.ReplaceAll(strings.ReplaceAll(text, "DIR/", dir+"/other/"), "log_file", "enabled = false\nlog_file")
	if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ask(config.ConfigItem, config.OpLoad, ""); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"audit.log": true, "found": true, "secret": false} {
		if err := ask(auditlog.LogItem, "open", fmt.Sprintf("%q", filepath.Join(dir, name))); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ask(controlItem, opListen, ""); err != nil {
		t.Error(err)
	}
	if err := ask(ownLogItem, opOpen, ""); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"run/control.sock", "log"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if d.started().StateDir != filepath.Join(dir, "state") {
		t.Errorf("state_dir is %s", d.started().StateDir)
	}
}

// FuzzDesk: no request, to whatever item, does more than fail.
func FuzzDesk(f *testing.F) {
	for _, item := range []string{config.ConfigItem, trusted.Item, auditlog.LogItem, controlItem, textItem, reportItem, ownLogItem, renewItem, "file/halt", "program/p", "unix/x"} {
		for _, op := range []string{"open", "listen", "dir", "put", "start", ""} {
			f.Add(item, op, `{"Dir":1,"Name":"x"}`)
		}
	}
	d, dir := deskFor(f, strings.ReplaceAll(deskConfig, "halt", "file"))
	f.Fuzz(func(t *testing.T, item, op, args string) {
		if item == initItem || item == program.ActionItem || (strings.HasPrefix(item, "program/") && op == "start") {
			return
		}
		a, _ := d.Serve(broker.NewCall(item, op, args))
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
		if _, err := os.Stat(dir + "/relay.toml"); err != nil {
			t.Error(err)
		}
	})
}
