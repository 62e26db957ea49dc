package test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"audisp-relay/plugin"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/test/lab"
)

// asNobody builds the relay for a user that every system has.
const asNobody = "-ldflags=-X audisp-relay/host/broker.User=nobody"

// startSplit is start with a relay of two processes.
func startSplit(t *testing.T, dir, config string) *relay {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	program := build(t, dir, "../cmd/audisp-relay", asNobody)
	return start(t, dir, config, func(cmd *exec.Cmd, _ [2]int) { cmd.Path, cmd.Args[0] = program, program })
}

// workerOf returns the process that parses for the monitor pid, 0 where there is none. A child that the monitor has forked is not one
// before it runs the program by itself: till then it has the monitor's name, rights and variables, and nothing kills it with the monitor.
func workerOf(t *testing.T, pid int) int {
	t.Helper()
	children, err := lab.Children(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range children {
		vars, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", child))
		if strings.HasPrefix(string(vars), workerVar) || strings.Contains(string(vars), "\x00"+workerVar) {
			return child
		}
	}
	return 0
}

// workerVar is the variable by which a process knows that it is the worker.
const workerVar = "AUDISP_RELAY_WORKER=1\x00"

// reader returns the process that reads the stream: the plugin that auditd runs, or its worker.
func (l *live) reader() int {
	l.t.Helper()
	pid := l.PluginPID("relay")
	return cmp.Or(workerOf(l.t, pid), pid)
}

// killWorker kills the worker of the monitor pid, and waits for the next one.
func killWorker(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	worker := 0
	until(t, "a worker", func() bool { worker = workerOf(t, pid); return worker != 0 })
	syscall.Kill(worker, sig)
	until(t, "another worker", func() bool { next := workerOf(t, pid); return next != 0 && next != worker })
}

// TestWorkerDiesWithItsMonitor, also one that does nothing any more.
func TestWorkerDiesWithItsMonitor(t *testing.T) {
	t.Parallel()
	r := startSplit(t, tempDir(t), fileSink)
	monitor, worker := r.cmd.Process.Pid, 0
	until(t, "a worker", func() bool { worker = workerOf(t, monitor); return worker != 0 })
	t.Cleanup(func() {
		if t.Failed() {
			syscall.Kill(worker, syscall.SIGKILL)
		}
	})
	for _, x := range []struct {
		pid int
		sig syscall.Signal
	}{{worker, syscall.SIGSTOP}, {monitor, syscall.SIGKILL}} {
		if err := syscall.Kill(x.pid, x.sig); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the worker's end", func() bool { return syscall.Kill(worker, 0) != nil || isZombie(worker) })
	<-r.exited
}

// part returns a part of the sandbox.
func part(t *testing.T, r *plugin.Report, name string) sandbox.Part {
	t.Helper()
	i := slices.IndexFunc(r.Sandbox.Parts, func(p sandbox.Part) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("%+v", r.Sandbox)
	}
	return r.Sandbox.Parts[i]
}

// collect listens at path, which only root may connect to, and counts the lines that come.
func collect(t *testing.T, network, path string) *atomic.Int64 {
	t.Helper()
	count := new(atomic.Int64)
	took := func(c net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if network == "unixgram" {
				count.Add(1)
			} else {
				count.Add(int64(strings.Count(string(buf[:n]), "\n")))
			}
		}
	}
	if network == "unixgram" {
		c, err := net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go took(c)
	} else {
		ln, err := net.Listen(network, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go took(c)
			}
		}()
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return count
}

// readsFrom connects to a socket, which may not listen yet, and wants something from it.
func readsFrom(t *testing.T, path string) {
	t.Helper()
	var conn net.Conn
	eventually(t, "a connection", func() (err error) {
		conn, err = net.Dial("unix", path)
		return err
	})
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := conn.Read(make([]byte, 100)); n == 0 || err != nil {
		t.Errorf("a client gets %d bytes, %v", n, err)
	}
}

const everySink = `
[metrics]
text_file = "DIR/numbers.prom"
[sinks.file]
type = "file"
path = "DIR/root/out"
max_size = "64KiB"
max_files = 4
compress = true
[sinks.listen]
type = "unix"
path = "DIR/root/sock"
group = "root"
when_idle = "queue"
[sinks.connect]
type = "unix"
path = "DIR/collector"
listen = false
[sinks.local]
type = "syslog"
address = "DIR/daemon"
[sinks.prog]
type = "program"
path = "DIR/script"
`

// TestWorkerServesEverySink: without a right of its own the process that parses delivers to files in a directory that only root may
// pass, rotates them, listens there, connects to what only root may connect to, and feeds a program of root's; after a reload and
// after it was killed, too.
func TestWorkerServesEverySink(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nid -u >" + dir + "/uid\nexec cat >>" + dir + "/got\n"
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	connected, said := collect(t, "unix", dir+"/collector"), collect(t, "unixgram", dir+"/daemon")
	r := startSplit(t, dir, everySink)
	rep := r.report()
	if on := part(t, rep, sandbox.Worker); !on.On || rep.Pid != r.cmd.Process.Pid || rep.Parent != os.Getpid() {
		t.Fatalf("%+v, pid %d, parent %d", rep.Sandbox, rep.Pid, rep.Parent)
	}
	if on := partsOn(rep); !slices.Equal(on, strings.Fields("worker landlock "+allParts)) {
		t.Errorf("%+v", rep.Sandbox)
	}
	processHas(t, workerOf(t, rep.Pid), "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0+", "CapPrm:\t0+", "CapBnd:\t0+", "Uid:\t65534\t65534\t65534\t65534", "Groups:\t *")

	sent := 0
	deliver := func(sinks ...string) {
		t.Helper()
		r.write(lines(sent+1, 500))
		sent += 500
		want := int64(sent * recordsPerEvent)
		for _, name := range sinks {
			until(t, name+" delivers", func() bool { c := r.consumer(name); return c.Queued == 0 && !c.Sink.Degraded })
		}
		until(t, "collector and daemon have all", func() bool { return connected.Load() >= want && said.Load() >= want })
	}
	deliver("file", "connect", "local", "prog")
	var uid []byte
	until(t, "the program says as whom it runs", func() bool { uid, _ = os.ReadFile(dir + "/uid"); return len(uid) > 0 })
	if string(uid) != "0\n" {
		t.Errorf("the program runs as %q", uid)
	}
	until(t, "a rotated file is compressed", func() bool { _, err := os.Stat(dir + "/root/out.1.gz"); return err == nil })
	until(t, "the file of metrics", func() bool { _, err := os.Stat(dir + "/numbers.prom"); return err == nil })

	writeConfig(t, dir, everySink+"[sinks.more]\ntype = \"program\"\npath = \"/bin/cat\"\n[sinks.new]\ntype = \"file\"\npath = \"DIR/root/new\"\n")
	r.signal(syscall.SIGHUP)
	until(t, "the reload", func() bool { return r.report().Reloads == 1 })
	deliver("file", "connect", "local", "prog", "more", "new")

	killWorker(t, rep.Pid, syscall.SIGKILL)
	deliver("file", "connect", "local", "prog", "more", "new")
	readsFrom(t, dir+"/root/sock")
	r.signal(syscall.SIGUSR1)
	until(t, "a state report", func() bool { _, err := os.Stat(dir + "/run/state"); return err == nil })
	until(t, "the program has read all", func() bool { // at the end it has a moment for what is in its pipe, which a busy machine may not give it
		got, _ := os.ReadFile(dir + "/got")
		return strings.Count(string(got), "\n") >= sent*recordsPerEvent
	})
	r.end()
	if _, err := os.Stat(dir + "/run/control.sock"); !os.IsNotExist(err) {
		t.Errorf("the control socket: %v", err)
	}
}

// TestWorkerThatPanicsIsStartedAgain is about what the log says, and that records go on in the order in which they came.
func TestWorkerThatPanicsIsStartedAgain(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := startSplit(t, dir, fileSink)
	pid := r.report().Pid
	text := lines(1, 2)
	r.write(text[:len(text)-20]) // it has read a part of a record when it dies
	until(t, "all but that is delivered", func() bool { return r.consumer("file").Delivered == 2*recordsPerEvent-1 })
	killWorker(t, pid, syscall.SIGABRT)
	r.write(append(text[len(text)-20:], lines(3, 10)...))
	until(t, "the rest is delivered", func() bool { return r.consumer("file").Delivered >= 10*recordsPerEvent })
	r.end()
	sameFile(t, filepath.Join(dir, "out"), append(text[:strings.LastIndex(string(text[:len(text)-1]), "\n")+1], lines(3, 10)...))
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for _, want := range []string{"worker has ended: it is started again", "SIGABRT", "exit status 2"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestRenewedMonitor: a new program takes the place of monitor and worker, and nothing is lost or comes twice.
func TestRenewedMonitor(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := startSplit(t, dir, fileSink)
	pid := r.report().Pid
	program := filepath.Join(dir, "audisp-relay")
	for n := range 3 {
		r.write(lines(1+100*n, 100))
		renewOnce(t, r, program, pid)
	}
	r.write(lines(301, 100))
	until(t, "all is delivered", func() bool {
		info, err := os.Stat(filepath.Join(dir, "out"))
		return err == nil && info.Size() >= int64(len(lines(1, 400)))
	})
	if rep := r.report(); !part(t, rep, sandbox.Worker).On || rep.Pid != pid {
		t.Errorf("%+v, pid %d", rep.Sandbox, rep.Pid)
	}
	processHas(t, pid, "Seccomp_filters:\t1") // not one more with each program
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 400))
}

// TestOneProcessSaysWhy: without the user, and where the user cannot reach state_dir, one process does everything, and status says what
// to do.
func TestOneProcessSaysWhy(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for name, x := range map[string]struct{ user, config, says string }{
		"no user":    {"no-such-user", fileSink, "useradd --system"},
		"no way":     {"nobody", fileSink + "[sinks.o]\ntype = \"otlp\"\nurl = \"http://127.0.0.1:1\"\ndead_letter_dir = \"DIR/shut/dead\"\n", "chmod o+x"},
		"plugin_dir": {"nobody", "plugin_dir = \"DIR\"\n" + fileSink, "plugin_dir"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			if err := os.Mkdir(filepath.Join(dir, "shut"), 0o700); err != nil {
				t.Fatal(err)
			}
			program := build(t, dir, "../cmd/audisp-relay", "-ldflags=-X audisp-relay/host/broker.User="+x.user)
			r := start(t, dir, x.config, func(cmd *exec.Cmd, _ [2]int) { cmd.Path, cmd.Args[0] = program, program })
			rep := r.report()
			if p := part(t, rep, sandbox.Worker); p.On || p.Failed || !strings.Contains(p.Why, x.says) || workerOf(t, rep.Pid) != 0 {
				t.Errorf("%+v", p)
			}
			r.write(lines(1, 10))
			until(t, "it works", func() bool { return r.consumer("file").Delivered == 10*recordsPerEvent })
			r.end()
		})
	}
}

// TestLiveKilledWorkerLeavesNoHole: kill -9 of the worker at random moments under load. auditd notices nothing; every record of
// audit.log is in the file and in the events, and what is there twice is what came since the last save.
func TestLiveKilledWorkerLeavesNoHole(t *testing.T) {
	const rate = 4000
	kills := figure(3, 20)
	l := startLiveBehind(t, `
[spool]
max_size = "1GiB"
`+fileOnly+`
[sinks.events]
type = "file"
path = "DIR/json"
format = "json"
max_size = "0"
`, lab.Options{}, func(p lab.Plugin) lab.Plugin {
		p.Format, p.Path = "string", build(t, filepath.Dir(p.Path), "../cmd/audisp-relay", asNobody)
		return p
	})
	l.Drain(l.path("out"))
	pid := l.PluginPID("relay")
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	run := l.StartLoad(lab.Load{Rate: rate, Duration: time.Duration(kills+1) * time.Second})
	for range kills {
		time.Sleep(time.Duration(rng.IntN(900)) * time.Millisecond)
		killWorker(t, pid, syscall.SIGKILL)
	}
	run.Wait()
	most := kills * int(2*savedEvery.Seconds()*rate) * 4
	rep := l.awaitRecovery("", l.path("out"))
	if rep.Missing+rep.Altered > 0 || rep.Extra+rep.EOECut > kills || rep.Duplicate > most {
		t.Errorf("seed %d: %v", seed, rep)
	}
	t.Logf("%d kills: %d of %d records twice, at most %d are allowed", kills, rep.Duplicate, rep.LogLines, most)
	until(t, "the events are written", func() bool { return l.relay().consumer("events").Queued == 0 })
	events, torn := readEvents(t, l.path("json"))
	want := recordsOf(t, l.Logs(), "", "")
	if missing, broken := want.without(events); torn > kills || len(missing)+len(broken) > 0 {
		t.Errorf("seed %d: of %d events %d are missing (%.3q), %d only in part (%.3q), %d torn lines",
			seed, len(want), len(missing), missing, len(broken), broken, torn)
	}
	if now := l.PluginPID("relay"); now != pid {
		t.Errorf("auditd runs %d, ran %d", now, pid)
	}
	for _, name := range []string{"file", "events"} {
		c := l.relay().consumer(name)
		balanced(t, c)
		if c.LostTotal != 0 {
			t.Errorf("%+v", c)
		}
	}
}
