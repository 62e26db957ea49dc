package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// auditd stops and starts under load, its plugin is killed and its log rotated:
// the test continues with the same configuration, rules and logs.
func TestLiveStopAndStartAgain(t *testing.T) {
	Require(t)
	a := Start(t, Options{NumLogs: 99, Conf: map[string]string{"max_restarts": "20"},
		Plugins: []Plugin{{Name: "cat", Path: "/bin/cat", Args: "-"}}})
	first := a.Drain()
	before, beforeRules := a.PID(), len(mustRules(t))
	run := a.StartLoad(Load{Rate: 1000, Duration: 3 * time.Second})
	a.Rotate()
	cat := a.PluginPID("cat")
	if next := a.KillPlugin("cat"); next == cat || next != a.PluginPID("cat") {
		t.Errorf("killed %d, then %d, then %d", cat, next, a.PluginPID("cat"))
	}
	a.Stop()
	if a.PluginRunning("cat") {
		t.Error("the plugin outlived auditd")
	}
	a.StartAgain()
	if a.PID() == before || a.PID() == 0 {
		t.Errorf("pid %d before, %d now", before, a.PID())
	}
	if n := len(mustRules(t)); n != beforeRules+1 {
		t.Errorf("%d rules, %d before the load's", n, beforeRules)
	}
	res := run.Wait()
	last := a.Drain()
	if n := len(a.Logs()); n != 2 {
		t.Errorf("%d logs", n)
	}
	seen, err := res.Seen(a.Logs()...)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel keeps what happens while no daemon listens only if booted with audit=1.
	if seen.Events == 0 || seen.Events > res.Made {
		t.Errorf("%+v of %d", seen, res.Made)
	}
	for _, mark := range []string{first, last} {
		n := 0
		for _, log := range a.Logs() {
			got, err := CountString(log, mark)
			if err != nil {
				t.Fatal(err)
			}
			n += got
		}
		if n != 1 {
			t.Errorf("%d of %s", n, mark)
		}
	}
}

func mustRules(t *testing.T) []string {
	t.Helper()
	rules, err := ReadRules()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// throttled finds a count of periods in which a group was held back (cpu.stat).
var throttled = regexp.MustCompile(`(?m)^nr_throttled [1-9]`)

func TestLimitCPU(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: control groups cannot be made")
	}
	busy := StartProcess(t, "sh", "-c", "while :; do :; done")
	root, v2 := cpuController()
	before, err := groupOf(busy.PID(), v2)
	if err != nil {
		t.Skip(err)
	}
	release := LimitCPU(t, busy.PID(), 0.2)
	group, err := groupOf(busy.PID(), v2)
	if err != nil || group == before {
		t.Fatalf("in group %q, before %q: %v", group, before, err)
	}
	Wait(t, 30*time.Second, "the process to be held back", func() (bool, string) {
		var stat []byte
		stat, err = os.ReadFile(filepath.Join(root, group, "cpu.stat"))
		return throttled.Match(stat), fmt.Sprintf("%s %v", stat, err)
	})
	release()
	if now, err := groupOf(busy.PID(), v2); err != nil || now != before {
		t.Errorf("in group %q afterwards, before %q: %v", now, before, err)
	}
	if _, err := os.Stat(filepath.Join(root, group)); err == nil {
		t.Errorf("group %s is still there", group)
	}
}
