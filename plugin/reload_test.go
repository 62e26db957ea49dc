package plugin

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/consumer"
)

// TestLogThatAuditdMovesToASinksFile: the sink does not write on there, though the configuration with it cannot be loaded any more.
func TestLogThatAuditdMovesToASinksFile(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n", nil)
	defer end()
	report := func() consumer.Report { return p.Report().Consumers[0] }
	w.Write(records(5))
	wait(t, "it is delivered", func() bool { return report().Delivered == 5 })
	path := p.consumers()[0].Config().Output
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	inMain(p, func() { p.keep(errors.New("its path is auditd's"), []string{path}) })
	w.Write(records(5))
	wait(t, "it is refused", func() bool { return strings.Contains(report().Sink.Error, "of the files of auditd") })
	if text, err := os.ReadFile(path); string(text) != string(before) {
		t.Errorf("the log has %d bytes, not %d: %v", len(text), len(before), err)
	}
	inMain(p, func() { p.keep(errors.New("the same"), nil) }) // what is not found out now is not forgotten
	if r := report(); r.Queued != 5 || r.LostTotal != 0 {
		t.Errorf("%+v", r)
	}
}

// TestOwnLogThatAuditdTakes is left at once.
func TestOwnLogThatAuditdTakes(t *testing.T) {
	t.Parallel()
	p, _, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n", nil)
	defer end()
	inMain(p, func() { p.keep(errors.New("log.output is auditd's"), []string{p.cfg.Log.Output}) })
	before := logOf(t, p)
	inMain(p, func() { p.log.Error("said after that") })
	if got := logOf(t, p); got != before {
		t.Errorf("%q is in auditd's log", got[len(before):])
	}
	if fault := p.Report().LogFault; !strings.Contains(fault, "of the files of auditd") {
		t.Errorf("fault %q", fault)
	}
}

// TestDeskReservesWhatIsAuditdsNow, whatever the worker has started with.
func TestDeskReservesWhatIsAuditdsNow(t *testing.T) {
	d, dir := deskFor(t, "state_dir = \"DIR/state\"\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n")
	ask := func() string {
		a, err := d.Serve(broker.NewCall("file/f", "dir", `{"Name":"`+dir+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(a.Result)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := ask(); strings.Contains(got, "auditd") {
		t.Fatal(got)
	}
	d.mu.Lock()
	d.reserve([]string{filepath.Join(dir, "out")})
	d.mu.Unlock()
	if got := ask(); !strings.Contains(got, "it is of the files of auditd") {
		t.Error(got)
	}
}

// TestReloadTakesUpTheCgroupsLimit: systemctl set-property changes it while the relay runs.
func TestReloadTakesUpTheCgroupsLimit(t *testing.T) {
	t.Parallel()
	p, _, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n", nil)
	defer end()
	root := t.TempDir()
	plant(t, filepath.Join(root, "proc/self/cgroup"), "0::/a\n")
	plant(t, filepath.Join(root, "proc/self/mountinfo"), "30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	inMain(p, func() { p.cgroup.root = root })
	for _, limit := range []int64{64 << 20, 48 << 20, 0} {
		text := "max\n"
		if limit > 0 {
			text = strconv.FormatInt(limit, 10) + "\n"
		}
		plant(t, filepath.Join(root, "sys/fs/cgroup/a/memory.max"), text)
		inMain(p, p.reload)
		r := p.Report()
		if r.Memory.Cgroup != limit || (limit > 0 && r.Memory.Limit != limit/4*3) {
			t.Errorf("with %d: %+v", limit, r.Memory)
		}
		if room := r.Consumers[0].Room; (room < int64(config.DefaultQBytes)) != (limit > 0) {
			t.Errorf("with %d the queue holds %d bytes", limit, room)
		}
	}
	if n := strings.Count(logOf(t, p), "memory limit of the cgroup has changed"); n != 3 {
		t.Errorf("said %d times", n)
	}
}

// TestReloadLeavesWhatIsFixed: what takes effect at the next start keeps its value for everything until then, and it is said.
func TestReloadLeavesWhatIsFixed(t *testing.T) {
	t.Parallel()
	const sink = "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\nspool.max_size = \"1MiB\"\n"
	p, w, end := run(t, sink, nil)
	w.Write(records(1)) // which returns when it is read
	wait(t, "it runs", func() bool { return p.Report().Consumer("f") != nil })
	dir := filepath.Dir(p.opt.Config)
	text, err := os.ReadFile(p.opt.Config)
	if err != nil {
		t.Fatal(err)
	}
	next := strings.NewReplacer(dir+"/run", dir+"/next", dir+"/state", dir+"/next-state", "1MiB", "5MiB").Replace(string(text))
	if err := os.WriteFile(p.opt.Config, []byte(next), 0o640); err != nil {
		t.Fatal(err)
	}
	p.signals.hup <- syscall.SIGHUP
	wait(t, "it has reloaded", func() bool { return p.Report().Reloads == 1 })

	p.signals.usr1 <- syscall.SIGUSR1
	report := filepath.Join(dir, "run", stateName)
	wait(t, "the report is where the sockets are", func() bool { _, err := os.Stat(report); return err == nil })
	if limit := p.Report().Consumer("f").SpoolMax; limit != 1<<20 {
		t.Errorf("the spool is said to have a limit of %d bytes", limit)
	}
	if later := p.Report().ConfigLater; !slices.Equal(later, []string{"run_dir", "state_dir", "spool of a sink"}) {
		t.Errorf("at the next start: %q", later)
	}
	end()
	for _, name := range []string{"next", "next-state"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for _, key := range []string{"run_dir", "state_dir", "spool of a sink"} {
		if !strings.Contains(string(log), `"key":"`+key+`"`) {
			t.Errorf("nothing is said of %s", key)
		}
	}
}

// TestUnreadConfigRunsNoSink: at a start on a file of which nothing can be read there is no built-in sink in the place of those
// that were asked for.
func TestUnreadConfigRunsNoSink(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	for name, put := range map[string]func() error{
		"empty":     func() error { return os.WriteFile(file, nil, 0o640) },
		"not TOML":  func() error { return os.WriteFile(file, []byte(strings.Repeat("= x\n", 20)), 0o640) },
		"NUL bytes": func() error { return os.WriteFile(file, make([]byte, 100), 0o640) },
		"FIFO":      func() error { return syscall.Mkfifo(file, 0o640) },
		"directory": func() error { return os.Mkdir(file, 0o750) },
		"dangling":  func() error { return os.Symlink("nowhere", file) },
		"large":     func() error { return os.WriteFile(file, make([]byte, 2<<20), 0o640) },
	} {
		if err := errors.Join(os.RemoveAll(file), put()); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := loadConfig(file, os.Getppid())
		if err == nil || cfg == nil || len(cfg.Sinks) != 0 || cfg.RunDir != config.DefaultRunDir {
			t.Errorf("%s: %+v, %v", name, cfg, err)
		}
	}
}
