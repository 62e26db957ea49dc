package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestScan: this process and its parent are found in /proc, with what they run.
func TestScan(t *testing.T) {
	list := scan("/proc", time.Now().Add(time.Minute))
	me, _ := os.Executable()
	for _, p := range list {
		if p.PID() != os.Getpid() {
			continue
		}
		if p.Exe() != me || p.PPID() != os.Getppid() || argsOf(p)[0] != os.Args[0] {
			t.Errorf("%q %q, parent %d", p.Exe(), argsOf(p), p.PPID())
		}
		return
	}
	t.Errorf("this process is not among %d", len(list))
}

// TestFollowWhileAsked: the race detector watches.
func TestFollowWhileAsked(t *testing.T) {
	x := NewTable(Options{Live: true})
	if x.read == nil {
		t.Skip("not in the host's pid namespace")
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { x.Follow(done); close(ended) }()
	for fresh := false; !fresh; time.Sleep(time.Millisecond) {
		x.mu.Lock()
		fresh = x.refresh()
		x.mu.Unlock()
	}
	close(done)
	<-ended
}

// TestScanOne reads what /proc may show of a process.
func TestScanOne(t *testing.T) {
	const stat = "42 (a b) c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1\n"
	long := make([]byte, 3000)
	for i := range long {
		if long[i] = 'x'; i%10 == 9 {
			long[i] = 0
		}
	}
	for _, tt := range []struct {
		name, stat, exe string
		cmdline         string
		args            int
		known           bool
	}{
		{"usual", stat, "/bin/a", "a\x00b\x00\x00", 3, true},
		{"a title", stat, "/bin/a", "a: idle", 1, true},
		{"nothing", stat, "/bin/a", "", 0, true},
		{"long", stat, "/bin/a", string(long), 102, true},
		{"a kernel thread", stat, "", "", 0, false},
		{"short", "42 (a) S 7", "/bin/a", "a\x00", 0, false},
		{"no parent", "42 (a) S x 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1", "/bin/a", "a\x00", 0, false},
		{"no name", "42", "/bin/a", "a\x00", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			os.WriteFile(filepath.Join(dir, "stat"), []byte(tt.stat), 0o600)
			os.WriteFile(filepath.Join(dir, "cmdline"), []byte(tt.cmdline), 0o600)
			if tt.exe != "" {
				os.Symlink(tt.exe, filepath.Join(dir, "exe"))
			}
			p := scanOne(dir, 42)
			if (p != nil) != tt.known {
				t.Fatalf("%+v", p)
			}
			if p == nil {
				return
			}
			if p.Comm() != "a b) c" || p.PPID() != 7 || p.Exe() != tt.exe || len(argsOf(p)) != tt.args || p.ArgsCut() != (len(tt.cmdline) > maxArgs) {
				t.Errorf("%q %q %d %q, cut %v", p.Exe(), p.Comm(), p.PPID(), argsOf(p), p.ArgsCut())
			}
		})
	}
}

// TestScanSession: of the children of process 1 it is known which are in no login session.
func TestScanSession(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) { os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	write("cmdline", "a\x00")
	os.Symlink("/bin/a", filepath.Join(dir, "exe"))
	for _, tt := range []struct {
		ppid, session, user string
		want                uint16
	}{
		{"1", "4294967295", "0", noSession | asRoot}, {"1", "4294967295\n", "33", noSession}, {"1", "5", "0", asRoot}, {"1", "", "", 0}, {"7", "4294967295", "0", 0},
	} {
		write("stat", "42 (a) S "+tt.ppid+" 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1\n")
		write("sessionid", tt.session)
		write("status", "Name:\ta\nUid:\t"+tt.user+"\t0\t0\t0\n")
		if p := scanOne(dir, 42); p == nil || p.state != used|known|tt.want {
			t.Errorf("%+v: %+v", tt, p)
		}
	}
}

// TestProcIsOfTheStart: what /proc says counts from then on, and what the stream says later counts more.
func TestProcIsOfTheStart(t *testing.T) {
	x := NewTable(Options{})
	text := appendProgram(nil, []byte("/sbin/init"), []byte("init"))
	x.started = []*Process{{text: string(append(text, "init\x00"...)), exeLen: 10, millis: start + 100, pid: 1, from: fromProc}}
	give(x, at(50, 500), syscall(sysOpen, 3, 0, 1, 100, "/bin/x")) // was in the pipe
	if p := ask(x, at(50, 500), 1, 100).Parent; p != nil {
		t.Errorf("before: %+v", p)
	}
	if p := ask(x, at(100, 501), 1, 100).Parent; !isArgs(p, "init") {
		t.Errorf("from then on: %+v", p)
	}
	exec(x, at(200, 510), 0, 1, "/lib/systemd/systemd", "systemd")
	if p := ask(x, at(201, 511), 1, 100).Parent; !isArgs(p, "systemd") {
		t.Errorf("later: %+v", p)
	}
	checkTable(t, x)
}

func TestReadSample(t *testing.T) {
	s, err := readSample("/proc")
	if err != nil || s.Max < 301 || s.Last < 1 || s.Millis < start {
		t.Errorf("%+v, %v", s, err)
	}
	if n, err := readForks("/proc"); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if !hasHostPIDs("/proc", int32(os.Getpid())) {
		t.Error("this process has no number of its own in this /proc")
	}

	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "sys/kernel"), 0o700)
	write := func(name, text string) { os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	for _, tt := range []struct{ max, load, stat string }{
		{"x", "0.1 0.1 0.1 1/80 11206\n", "cpu 1\nprocesses 5\n"},
		{"32768", "0.1 0.1", "cpu 1\nprocesses 5\n"},
		{"32768", "0.1 0.1 0.1 1/80 x\n", "cpu 1\nprocesses 5\n"},
		{"32768", "0.1 0.1 0.1 1/80 11206\n", "cpu 1\n"},
	} {
		write("sys/kernel/pid_max", tt.max)
		write("loadavg", tt.load)
		write("stat", tt.stat)
		if s, err := readSample(dir); err == nil {
			t.Errorf("%+v: %+v", tt, s)
		}
	}
	os.MkdirAll(filepath.Join(dir, "7"), 0o700)
	write("7/status", "Name:\tx\nNSpid:\t7\t1\nThreads:\t1\n")
	if hasHostPIDs(dir, 7) || hasHostPIDs(dir, 8) {
		t.Error("a process of a container is not of the host")
	}
}

// TestFollow: it ends when it is to, and at once where it has nothing to do.
func TestFollow(t *testing.T) {
	NewTable(Options{}).Follow(nil)
	x := NewTable(Options{Live: true})
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { x.Follow(done); close(ended) }()
	close(done)
	<-ended
}
