package plugin

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
