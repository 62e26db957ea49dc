package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveProcessesHaveTheirParents: of processes that live for a moment, at load, events say who has started them. The shells are
// this test's own, so it knows what is true. Where pids are few, the kernel comes round to those of the first shells.
func TestLiveProcessesHaveTheirParents(t *testing.T) {
	l := startLive(t, `
[spool]
max_size = "1GiB"
[sinks.json]
type = "file"
path = "DIR/json"
format = "json"
filter = 'args[1] startsWith "relaytag"'
max_size = "0"
[sinks.shells]
type = "file"
path = "DIR/shells"
format = "json"
filter = 'parent.cmdline startsWith "sh -c /bin/true relaytag" and args[1] startsWith "relaytag"'
max_size = "0"
`, lab.Options{}, "string")
	auditctl(t, "-a", "always,exit", "-F", "arch=b64", "-S", "execve,execveat", "-k", "relay_who")

	s := shells{pids: make([]int, 4000)}
	s.run(t)
	until(t, "all events", func() bool {
		n, err := lab.CountString(l.path("json"), "\n")
		return err == nil && n >= len(s.pids)
	})
	until(t, "all that the filter lets through", func() bool { return l.relay().consumer("shells").Queued == 0 })

	events, torn := readEvents(t, l.path("json"))
	right, ancestors := s.check(t, events)
	passed, tornToo := readEvents(t, l.path("shells"))
	known, _ := s.check(t, passed)
	// What the relay learnt of this test, which ran before it, is not certain any more once the kernel has come past its pid.
	t.Logf("of %d events %d say the parent, %d its parent, too; the filter let through %d", len(events), right, ancestors, len(passed))
	if n := len(s.pids); torn+tornToo > 0 || len(events) != n || right < n-n/1000 || known < n-n/1000 || known != len(passed) {
		t.Errorf("of %d events, one of each of %d shells, %d say the parent; of %d that the filter let through %d; %d torn", len(events), n, right, len(passed), known, torn+tornToo)
	}
}

// shells are processes that start another one each, and end.
type shells struct {
	pids []int // of each
}

func shellScript(i int) string { return fmt.Sprintf("/bin/true relaytag%d; :", i) }

// run runs them, four at a time.
func (s *shells) run(t *testing.T) {
	t.Helper()
	const workers = 4
	threads, began := s.threads(t), time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(s.pids); i += workers {
				cmd := exec.Command("sh", "-c", shellScript(i))
				if err := cmd.Run(); err != nil {
					t.Error(err)
				}
				s.pids[i] = cmd.Process.Pid
				takePIDs(threads)
			}
		})
	}
	wg.Wait()

	sorted := slices.Sorted(slices.Values(s.pids))
	again := len(sorted) - len(slices.Compact(sorted))
	t.Logf("%d shells, %.0f execs a second, %d threads after each; the pids of %d came again", len(s.pids), float64(2*len(s.pids))/time.Since(began).Seconds(), threads, again)
	if threads > 0 && again == 0 {
		t.Error("no pid came again")
	}
}

// threads returns how many threads after each shell take the kernel once round all pids, and a quarter of that; 0 where there are too
// many pids for that.
func (s *shells) threads(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if most > 1<<16 {
		return 0
	}
	return max(1, most*5/4/len(s.pids)-2) // the shell and its child take one each
}

// takePIDs starts so many threads, one after the other, each of which takes a pid and ends.
func takePIDs(threads int) {
	for range threads {
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			close(locked)
		}()
		<-locked
	}
}

// check holds events of what the shells have started against what is true, and returns how many say the parent, and how many of
// these that this test has started that.
func (s *shells) check(t *testing.T, events []jsonEvent) (right, ancestors int) {
	t.Helper()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	me, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range events {
		var i int
		if _, err := fmt.Sscanf(e.Args[1], "relaytag%d", &i); err != nil || i >= len(s.pids) {
			t.Fatalf("%+v", e)
		}
		if p := e.Parent; p != nil {
			if p.PID != s.pids[i] || p.Exe != exe || p.ExecID == "" || !slices.Equal(p.Args, []string{"sh", "-c", shellScript(i)}) {
				t.Fatalf("of %d, whose shell was %d: %+v", i, s.pids[i], *p)
			}
			right++
		}
		if len(e.Ancestors) > 0 {
			if a := e.Ancestors[0]; a.PID != os.Getpid() || a.Exe != me {
				t.Fatalf("this test is %d, %s: %+v", os.Getpid(), me, a)
			}
			ancestors++
		}
	}
	return right, ancestors
}
