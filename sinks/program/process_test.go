package program

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
)

// served returns what a monitor starts for a worker that may have path, which goes at the end of the test.
func served(t *testing.T, path string) *children {
	t.Helper()
	k := newChildren(func(string) (Config, bool) { return Config{Path: path}, true })
	t.Cleanup(k.Close)
	return k
}

// askFor has k do op, as a worker that gives fds would ask for it.
func askFor(k *children, op string, args asked, fds ...int) (broker.Answer, error) {
	text, _ := json.Marshal(args) // it can be
	return k.Serve(broker.NewCall("program/p", op, string(text), fds...))
}

// startFor starts the program with a stdin that does not end before the test, and returns its handle and pid.
func startFor(t *testing.T, k *children) started {
	t.Helper()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pipe[1]) })
	a, err := askFor(k, opStart, asked{}, pipe[0])
	unix.Close(pipe[0])
	if err != nil {
		t.Fatal(err)
	}
	return a.Result.(started)
}

// TestReapedProcessIsLeftAlone: what has the number of a process that was reaped gets none of its signals.
func TestReapedProcessIsLeftAlone(t *testing.T) {
	k := served(t, tool(t, "cat"))
	other := k.all[startFor(t, k).Handle]
	reaped := &ownProcess{p: other.p, reaped: true}
	reaped.signal(unix.SIGKILL)
	reaped.signalGroup(unix.SIGKILL)
	if reaped.hasMembers() || reaped.reap() != "its end is not known" {
		t.Error("it is taken for the one that was reaped")
	}
	other.signalGroup(unix.SIGTERM)
	other.await()
	if status := other.reap(); status != "signal: terminated" {
		t.Errorf("the other has ended with %q", status)
	}
}

// TestWorkerThatReapsTooEarlyLeavesNoProgram: a worker that asks for the end of a program that has not ended, and goes, cannot keep it.
func TestWorkerThatReapsTooEarlyLeavesNoProgram(t *testing.T) {
	k := served(t, tool(t, "cat"))
	is := startFor(t, k)
	answered := make(chan error, 1)
	go func() {
		_, err := askFor(k, opReap, asked{Handle: is.Handle})
		answered <- err
	}()
	eventually(t, "it waits for the end", func() bool { return strings.Contains(stacks(), "(*ownProcess).await") }, func() any { return stacks() })
	if len(k.all) != 1 {
		t.Error("the program is not known any more")
		unix.Kill(is.Pid, unix.SIGKILL)
	}
	k.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if !gone(is.Pid) {
		t.Error("it is not reaped")
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// TestCloseWaitsForPrograms: whatever a program does about the end of its input and TERM, it was killed when Close returns, as this
// process may end then.
func TestCloseWaitsForPrograms(t *testing.T) {
	dir := t.TempDir()
	k := served(t, script(t, fmt.Sprintf("trap '' TERM\n: >%s/trapped\nwhile :; do sleep 0.01; done\n", dir)))
	is := startFor(t, k)
	eventually(t, "it ignores TERM", func() bool { _, err := os.Stat(filepath.Join(dir, "trapped")); return err == nil }, func() any { return is.Pid })
	k.Close()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", is.Pid))
	dead := regexp.MustCompile(`(?m)^State:\t[ZX]|^(Sig|Shd)Pnd:\t[0-9a-f]+[1-9a-f][0-9a-f]{2}$`) // with KILL at the latest when it runs next
	if err == nil && !dead.Match(status) {
		t.Errorf("it lives on:\n%s", status)
	}
	if _, err := askFor(k, opAwait, asked{Handle: is.Handle}); err == nil {
		t.Error("it is known after Close")
	}
}

// TestActionsHaveNoInput: the program of an action reads nothing, whatever a worker gives it.
func TestActionsHaveNoInput(t *testing.T) {
	dir := t.TempDir()
	path := script(t, fmt.Sprintf("cat >%s/new\nmv %s/new %s/read\n", dir, dir, dir))
	k := NewActions(func(string) bool { return true }).children
	t.Cleanup(k.Close)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(pipe[1], []byte("for the program")); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[1])
	_, err := askFor(k, opStart, asked{Path: path}, pipe[0])
	unix.Close(pipe[0])
	if err != nil {
		t.Fatal(err)
	}
	read := filepath.Join(dir, "read")
	eventually(t, "it has read", func() bool { _, err := os.Stat(read); return err == nil }, func() any { return dir })
	if text, err := os.ReadFile(read); len(text) > 0 || err != nil {
		t.Errorf("it has read %q, %v", text, err)
	}
}

// TestStartsAreBounded: a worker that was taken over has the monitor start no more programs than a sink that works badly.
func TestStartsAreBounded(t *testing.T) {
	k := served(t, tool(t, "true"))
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	ask := func(op string, handle uint64) error {
		_, err := askFor(k, op, asked{Handle: handle}, int(null.Fd()))
		return err
	}
	for n := uint64(1); ; n++ {
		err := ask(opStart, 0)
		if (err != nil && n <= maxChildren) || n > 100*maxChildren {
			t.Fatalf("program %d: %v", n, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "too often") {
				t.Error(err)
			}
			return
		}
		if err := ask(opReap, n); err != nil { // so that it is not for their number at a time
			t.Fatal(err)
		}
	}
}

// TestProgramIsNotTheWorkers: a program of the worker's user could end that.
func TestProgramIsNotTheWorkers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: no program runs as another user")
	}
	was := broker.User
	t.Cleanup(func() { broker.User = was })
	broker.User = "bin"
	if _, _, err := broker.Account(); err != nil {
		t.Skip(err)
	}
	cat := tool(t, "cat")
	for user, want := range map[string]string{"bin": "is the relay's own user", "daemon": ""} {
		p, err := startProgram(&Config{Path: cat, User: user}, nil, nil)
		if err == nil {
			p.end()
		}
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("as %s: %v", user, err)
		}
	}
}
