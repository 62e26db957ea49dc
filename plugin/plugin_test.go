package plugin

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"audisp-relay/plugin/consumer"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.loop"), goleak.IgnoreTopFunction("os/signal.signal_recv"))
}

// run starts a plugin in this process, its stream a pipe, and returns the
// stream's other end and a function that ends the plugin.
func run(t *testing.T, config string, init func(string) error) (*Plugin, io.Writer, func()) {
	t.Helper()
	return runWith(t, Options{Config: configFile(t, config), Init: init})
}

// configFile writes a configuration, and returns its path.
func configFile(t *testing.T, config string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "relay.toml")
	head := "run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\npriority_boost = 0\noom_score_adj = 0\nlog.output = \"DIR/log\"\n"
	if !strings.Contains(config, "spool") {
		head += "spool.max_size = \"0\"\n"
	}
	if !strings.Contains(config, "loss_markers") {
		head += "loss_markers = false\n"
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(head+config, "DIR", dir)), 0o640); err != nil {
		t.Fatal(err)
	}
	return file
}

// runFile is run with a file that is there.
func runFile(t *testing.T, file string) (*Plugin, io.Writer, func()) {
	t.Helper()
	return runWith(t, Options{Config: file})
}

func runWith(t *testing.T, o Options) (*Plugin, io.Writer, func()) {
	in, out := io.Pipe()
	o.In = in
	p := New(o)
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	return p, out, func() {
		t.Helper()
		out.Close()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("the plugin does not end at the end of its stream")
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(filepath.Dir(o.Config), "log"))
			t.Logf("log:\n%s", log)
		}
	}
}

func records(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "type=USER_CMD msg=audit(1795296167.053:%d): pid=1 uid=0 auid=0 ses=1 msg='cmd=6C73 res=success'\n", i+1)
	}
	return []byte(b.String())
}

// removeDir removes a directory in which the plugin writes, at once and as a whole.
func removeDir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	wait(t, dir+" is gone", func() bool { return os.RemoveAll(dir+".gone") == nil })
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so", what)
		}
	}
}

// TestSingleAndHaltRunInitOnce: what would change the run level is recorded
// instead.
func TestSingleAndHaltRunInitOnce(t *testing.T) {
	t.Parallel()
	for action, level := range map[string]string{"single": "1", "halt": "0"} {
		var mu sync.Mutex
		var levels []string
		p, w, end := run(t, `
[sinks.dead]
type = "file"
path = "DIR/no/such/dir/out"
q_depth = 10
overflow_action = "`+action+"\"\n", func(level string) error {
			mu.Lock()
			defer mu.Unlock()
			levels = append(levels, level)
			return nil
		})
		w.Write(records(100))
		w.Write(records(100))
		wait(t, "init was run", func() bool { mu.Lock(); defer mu.Unlock(); return len(levels) > 0 })
		wait(t, "all is queued or lost", func() bool { return p.Report().Consumers[0].Received == 200 })
		c := p.Report().Consumers[0]
		if c.Lost["queue-full"].Records != 190 || c.Queued != 10 {
			t.Errorf("%s: %+v", action, c)
		}
		end()
		if len(levels) != 1 || levels[0] != level {
			t.Errorf("%s: /sbin/init was given %q, want once %q", action, levels, level)
		}
		log, _ := os.ReadFile(p.cfg.Log.Output)
		if n := strings.Count(string(log), "will run /sbin/init "+level); n != 1 {
			t.Errorf("%s: the warning at start is there %d times", action, n)
		}
	}
}

// TestEveryConsumerAccountsForEverythingAtTheEnd: what a dead place did not
// take is lost at shutdown, and the state report says so.
func TestEveryConsumerAccountsForEverythingAtTheEnd(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, `
[sinks.dead]
type = "file"
path = "DIR/no/such/dir/out"
[sinks.good]
type = "file"
path = "DIR/out"
[sinks.idle]
type = "unix"
path = "DIR/sock"
group = "root"
`, nil)
	w.Write(records(500))
	// At the end the good one has half a second for the rest, which a busy machine may not give it.
	wait(t, "all is read, and delivered where it can be", func() bool {
		r := p.Report()
		return r.Input.Records == 500 && r.Consumer("good").Delivered == 500
	})
	end()
	state, err := os.ReadFile(filepath.Join(p.cfg.RunDir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"records received = 500\n", "good delivered = 500\n", "good lost = 0\n",
		"dead lost = 500\n", "dead lost shutdown = 500 records, 500 events, serials 1 to 500", "idle discarded = 500\n",
	} {
		if !strings.Contains(string(state), want) {
			t.Errorf("the state report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", state)
	}
}

// TestStreamEndsDuringAReload: consumers that leave or change have no more time
// than there is at the end anyway, and what they had not delivered is said.
func TestStreamEndsDuringAReload(t *testing.T) {
	stubborn := filepath.Join(t.TempDir(), "stubborn")
	if err := os.WriteFile(stubborn, []byte("#!/bin/sh\ntrap '' TERM\nfor i in 1 2 3 4 5 6 7 8 9 10; do read x; done\nwhile :; do sleep 0.1; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var dead string
	for i := range 6 {
		dead += fmt.Sprintf("[sinks.dead%d]\ntype = \"file\"\npath = \"DIR/no/such/dir/%d\"\n", i, i)
	}
	kept := "[sinks.child]\ntype = \"program\"\npath = \"" + stubborn + "\"\n"
	p, w, end := run(t, dead+kept, nil)
	w.Write(records(10))
	wait(t, "the child has all", func() bool {
		return slices.ContainsFunc(p.Report().Consumers, func(c consumer.Report) bool { return c.Name == "child" && c.Delivered == 10 })
	})
	dir := filepath.Dir(p.opt.Config)
	config, _ := os.ReadFile(p.opt.Config)
	next := strings.ReplaceAll(string(config), strings.ReplaceAll(dead, "DIR", dir), "") + "args = [\"x\"]\n"
	if err := os.WriteFile(p.opt.Config, []byte(next), 0o640); err != nil {
		t.Fatal(err)
	}
	p.signals.hup <- syscall.SIGHUP
	wait(t, "the reload has begun", func() bool { return p.Report().Reloads == 1 })
	end()
	log, _ := os.ReadFile(p.cfg.Log.Output)
	if n := strings.Count(string(log), `"msg":"consumer removed"`); n != 6 {
		t.Errorf("%d of 6 consumers were said to be removed", n)
	}
	if n := strings.Count(string(log), `"lost":10,`); n != 6 {
		t.Errorf("the loss of %d consumers of 6 was said", n)
	}
}

// TestEverySinkSaysItsLosses, however many have some at the same time.
func TestEverySinkSaysItsLosses(t *testing.T) {
	var dead string
	for i := range 8 {
		dead += fmt.Sprintf("[sinks.dead%d]\ntype = \"file\"\npath = \"DIR/no/such/dir/%d\"\n", i, i)
	}
	p, w, end := run(t, dead, nil)
	w.Write(records(10))
	wait(t, "all is read, and every sink has tried", func() bool {
		r := p.Report()
		return r.Input.Records == 10 && !slices.ContainsFunc(r.Consumers, func(c consumer.Report) bool { return !c.Sink.Degraded })
	})
	end()
	log, _ := os.ReadFile(p.cfg.Log.Output)
	for _, msg := range []string{"records lost", "sink degraded"} {
		if n := strings.Count(string(log), `"msg":"`+msg+`"`); n != 8 {
			t.Errorf("%q is there %d times of 8", msg, n)
		}
	}
}

// TestAClientOfTheControlSocketDoesNotHoldTheEnd by saying nothing, even if it had
// all the time in the world for that.
func TestAClientOfTheControlSocketDoesNotHoldTheEnd(t *testing.T) {
	defer func(d time.Duration) { controlTimeout = d }(controlTimeout)
	controlTimeout = time.Hour
	p, w, end := run(t, "", nil)
	w.Write(records(1))
	var conn net.Conn
	wait(t, "the control socket is there", func() (ok bool) {
		var err error
		conn, err = net.Dial("unix", filepath.Join(p.cfg.RunDir, controlName))
		return err == nil
	})
	defer conn.Close()
	time.Sleep(20 * time.Millisecond) // until it is being served
	end()
}

// TestRunDirKeepsItsMode: a directory that is there already is left as it is.
func TestRunDirKeepsItsMode(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o700, 0o777 | os.ModeSticky} {
		os.Chmod(dir, mode)
		if err := makeDir(dir); err != nil {
			t.Error(err)
		}
		if st, err := os.Stat(dir); err != nil || st.Mode()&^os.ModeDir != mode {
			t.Errorf("%v became %v, %v", mode, st.Mode(), err)
		}
	}
	fresh := filepath.Join(dir, "run")
	if err := makeDir(fresh); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(fresh); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("made with %v, %v", st.Mode(), err)
	}
}

// TestOpenEventsCountWhenTheReaderWaits: an event that is open when its consumer is removed,
// while the reader waits for room in that consumer's queue, is counted as lost.
func TestOpenEventsCountWhenTheReaderWaits(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, `
[sinks.dead]
type = "file"
path = "DIR/no/such/dir/out"
format = "json"
qos = "lossless"
q_depth = 10
`, nil)
	w.Write([]byte("type=SYSCALL msg=audit(1795296167.053:9000): arch=c000003e syscall=59 success=yes\n"))
	w.Write(records(30))
	c := p.consumers()[0]
	wait(t, "the reader waits", func() bool { return !c.Queue().Counts().StallSince.IsZero() })
	before := p.Report().Input
	config, _ := os.ReadFile(p.opt.Config)
	next, _, _ := strings.Cut(string(config), "[sinks.dead]")
	next += "[sinks.other]\ntype = \"file\"\npath = \"" + filepath.Dir(p.opt.Config) + "/out\"\n"
	if err := os.WriteFile(p.opt.Config, []byte(next), 0o640); err != nil {
		t.Fatal(err)
	}
	p.signals.hup <- syscall.SIGHUP
	wait(t, "the reload has begun", func() bool { return p.Report().Reloads == 1 })
	if after := p.Report().Input; after.Stalls < before.Stalls || after.Stalled < before.Stalled {
		t.Errorf("%d stalls of %v in all were %d of %v before", after.Stalls, after.Stalled, before.Stalls, before.Stalled)
	}
	end()
	if n := c.Queue().Counts(); n.Received != 31 || n.LostRecords() != 31 {
		t.Errorf("%d received, %d lost, want 31 each", n.Received, n.LostRecords())
	}
	log, _ := os.ReadFile(p.cfg.Log.Output)
	if !strings.Contains(string(log), `"sink":"dead","delivered":0,"lost":31,`) {
		t.Error("the log does not say that 31 records were lost")
	}
}

// TestSettleDoesNotWaitForever for what a log that hangs holds up, however much that is.
func TestSettleDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	never, ended := make(chan struct{}), make(chan struct{})
	close(ended)
	p := &Plugin{}
	for range 3 {
		p.leaving = append(p.leaving, &consumer.Consumer{Ended: ended, Settled: never})
	}
	done := make(chan struct{})
	go func() { p.settle(never); close(done) }()
	wait(t, "settle has come back", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// TestEventThatWaitsForRoomHoldsUpNothing: an event that nothing has completed finds its
// lossless consumer dead and the queue full. Signals are served and the end comes
// nevertheless.
func TestEventThatWaitsForRoomHoldsUpNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	p, w, end := run(t, `
[sinks.dead]
type = "file"
path = "DIR/no/such/dir/out"
format = "json"
qos = "lossless"
q_depth = 10
`, nil)
	w.Write(records(10))
	w.Write([]byte("type=SYSCALL msg=audit(1795296167.053:9000): arch=c000003e syscall=59 success=yes\n"))
	c := p.consumers()[0]
	wait(t, "the event waits for room", func() bool { return !c.Queue().Counts().StallSince.IsZero() })
	p.signals.hup <- syscall.SIGHUP
	wait(t, "the reload", func() bool { return p.Report().Reloads == 1 })
	end()
	if n := c.Queue().Counts(); n.Received != 11 || n.LostRecords() != 11 {
		t.Errorf("%d received, %d lost, want 11 each", n.Received, n.LostRecords())
	}
}
