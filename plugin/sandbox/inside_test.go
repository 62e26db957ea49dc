//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"audisp-relay/host"
	"audisp-relay/host/runnable"
	"audisp-relay/host/sockdiag"
	"audisp-relay/test/lab"
)

// insideEnv makes this package's test binary the program that enters the sandbox, in the directory it
// names; modeEnv says with which options.
const insideEnv, modeEnv = "SANDBOX_TEST_DIR", "SANDBOX_TEST_MODE"

// modes are the options of each run; control enters nothing.
var modes = map[string]Options{
	"control":  {},
	"confined": {},
	"programs": {Programs: "a test"},
	"off":      {Off: "as the test says"},
}

// found is what a run has found out.
type found struct {
	Report Report
	Tried  map[string]string // what became of each attempt
}

// TestFromInside has a program like the relay's own, built without cgo, enter the sandbox, look at itself and
// try what the sandbox is against. What it refuses gives another result without it.
func TestFromInside(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	const all = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SETPCAP | uint64(needed|forPrograms)
	if os.Geteuid() != 0 || sets(threads(t)[0], "CapEff")&all != all {
		lab.Missing(t, "not root with all capabilities")
	}
	binary := programLikeTheRelay(t, t.TempDir())
	control := runInside(t, binary, "control")
	for mode, refused := range map[string][]map[string]func() error{
		"confined": {attempts(), execAttempts(), codeAttempts()}, "programs": {attempts()}, "off": {},
	} {
		got := runInside(t, binary, mode)
		n := 0
		for _, list := range refused {
			for name := range list {
				n++
				if got.Tried[name] != "operation not permitted" || control.Tried[name] == got.Tried[name] {
					t.Errorf("%s: %s: %q, without a sandbox %q", mode, name, got.Tried[name], control.Tried[name])
				}
			}
		}
		for name, result := range got.Tried {
			if result == control.Tried[name] {
				n++
			}
		}
		if n != len(got.Tried) {
			t.Errorf("%s: of %d attempts only %d are refused or as without a sandbox:\n%v\n%v", mode, len(got.Tried), n, got.Tried, control.Tried)
		}
		if failed := got.Report.Failed(); len(failed) > 0 {
			t.Errorf("%s: %+v", mode, failed)
		}
		t.Logf("%s: %s", mode, got.Report)
	}
	t.Logf("without: %q", control.Tried)
}

// programLikeTheRelay builds this package's test without cgo, as the relay is built, and returns its path.
func programLikeTheRelay(t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "sandbox.test")
	build := exec.Command("go", "test", "-vet=off", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// runInside runs TestInsideProgram and returns what it has found.
func runInside(t *testing.T, binary, mode string) (f found) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(binary, "-test.run=^TestInsideProgram$", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"="+dir, modeEnv+"="+mode)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInsideProgram")) {
		t.Errorf("%s: %v\n%s", mode, err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "found"))
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", mode, err, out)
	}
	return f
}

// TestInsideProgram is the program of TestFromInside.
func TestInsideProgram(t *testing.T) {
	dir, mode := os.Getenv(insideEnv), os.Getenv(modeEnv)
	if dir == "" {
		return // it is none on its own
	}
	raise(t)
	stop := busyThreads(t, 4)
	before := threads(t)
	if len(before) < 5 {
		t.Errorf("only %d threads: nothing to show", len(before))
	}

	var f found
	if mode != "control" {
		f.Report = Enter(modes[mode])
	}
	stopNew := busyThreads(t, 2)
	checkThreads(t, mode, before[0])
	stop()
	stopNew()

	f.Tried = make(map[string]string)
	for _, list := range []map[string]func() error{attempts(), execAttempts(), codeAttempts()} {
		for name, try := range list {
			f.Tried[name] = outcome(onNewThread(try))
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "found"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if mode == "control" {
		return
	}
	stillWorks(t, dir)
	if mode != "confined" {
		checkChild(t, sets(before[0], "CapBnd"))
	} else if err := runnable.MayStart("/bin/true"); err == nil || !strings.Contains(err.Error(), "restart auditd") {
		t.Errorf("a program: %v", err)
	}
}

// onNewThread calls f on a thread that is made for it and ends with it.
func onNewThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		result <- f()
	}()
	return <-result
}

// outcome is the last of what an error says.
func outcome(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return fmt.Sprint(err)
}

// checkThreads wants every thread, old and new, to have what the mode leaves.
func checkThreads(t *testing.T, mode, before string) {
	t.Helper()
	eff, bnd := sets(before, "CapEff"), sets(before, "CapBnd")
	seccomp, noNewPrivs, dump := uint64(2), uint64(0), 0
	switch mode {
	case "control":
		seccomp, dump = 0, 1
	case "off":
		eff &^= uint64(widening)
		seccomp, dump = 0, 1
	case "programs":
		eff &= uint64(needed | forPrograms)
	case "confined":
		eff &= uint64(needed)
		noNewPrivs = 1
	}
	for _, s := range threads(t) {
		for name, want := range map[string]uint64{"CapEff": eff, "CapPrm": eff, "CapBnd": bnd, "NoNewPrivs": noNewPrivs, "Seccomp": seccomp} {
			if got := sets(s, name); got != want {
				t.Errorf("%s is %x, want %x, in\n%s", name, got, want, s)
			}
		}
		if mode != "control" && (sets(s, "CapInh")|sets(s, "CapAmb"))&uint64(widening) != 0 {
			t.Errorf("inheritable or ambient:\n%s", s)
		}
	}
	if dumpable() != dump || (dump == 0 && coreLimit() != 0) {
		t.Errorf("dumpable is %d, want %d; a core has %d bytes", dumpable(), dump, coreLimit())
	}
}

// checkChild wants a child program to have all capabilities, and that what a
// program sink does to its child can still be done.
func checkChild(t *testing.T, all uint64) {
	t.Helper()
	child := exec.Command("cat", "/proc/self/status", "-")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	buf := make([]byte, 64<<10)
	n, err := out.Read(buf) // it has executed cat, and waits for its input now
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"CapEff", "CapPrm", "CapBnd"} {
		if got := sets(string(buf[:n]), set); got != all {
			t.Errorf("%s of a child is %x, want the whole bounding set %x", set, got, all)
		}
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", child.Process.Pid), []byte("1"), 0); err != nil {
		t.Error(err)
	}
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// stillWorks does what a relay does inside.
func stillWorks(t *testing.T, dir string) {
	t.Helper()
	foreign := filepath.Join(dir, "foreign")
	for what, err := range map[string]error{
		"make a file":              os.WriteFile(foreign, []byte("x"), 0o600),
		"give it away":             os.Chown(foreign, 1234, 1234),
		"write another's file":     os.WriteFile(foreign, []byte("y"), 0o600),
		"change another's mode":    os.Chmod(foreign, 0o400),
		"write it again":           os.WriteFile(foreign, []byte("z"), 0),
		"make a pipe":              unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		"talk over a socket":       talk("unix", filepath.Join(dir, "socket")),
		"talk over TCP":            talk("tcp", "127.0.0.1:0"),
		"see the parent's command": read(fmt.Sprintf("/proc/%d/cmdline", os.Getppid())),
		"see the parent's parent":  read(fmt.Sprintf("/proc/%d/stat", os.Getppid())),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := host.KernelQueue(); err != nil {
		t.Errorf("AUDIT_GET: %v", err)
	}
	if _, err := sockdiag.Listening(); err != nil {
		t.Errorf("sock_diag: %v", err)
	}
	if _, err := net.Interfaces(); err != nil {
		t.Errorf("interfaces: %v", err)
	}
	if ln, err := net.Listen("tcp", "127.0.0.1:911"); err == nil {
		ln.Close()
	} else if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a low port: %v", err)
	}
	if err := unix.SetsockoptInt(socket(t), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20); err != unix.EPERM {
		t.Errorf("SO_SNDBUFFORCE: %v, want EPERM", err)
	}
}

// talk connects to itself.
func talk(network, address string) error {
	ln, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	defer ln.Close()
	conn, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		return err
	}
	return conn.Close()
}

func read(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func socket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// raise makes the two inheritable and ambient as well, in every thread: nothing
// starts the relay so, but then they must go too.
func raise(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Inheritable |= widening
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		t.Fatal(errno)
	}
	for _, c := range []uintptr{unix.CAP_SYS_PTRACE, unix.CAP_NET_ADMIN} {
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c); errno != 0 {
			t.Fatal(errno)
		}
	}
}

// busyThreads makes n threads that wait in a read, as the reader and sinks do,
// until stop.
func busyThreads(t *testing.T, n int) (stop func()) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	var begun, ended sync.WaitGroup
	begun.Add(n)
	for range n {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun.Done()
			for {
				if _, err := unix.Read(p[0], make([]byte, 1)); err != unix.EINTR {
					return
				}
			}
		})
	}
	begun.Wait()
	return func() {
		unix.Close(p[1])
		ended.Wait()
		unix.Close(p[0])
	}
}

// threads returns the status of each thread of this process, proc(5).
func threads(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil { // it may have ended
			all = append(all, string(text))
		}
	}
	return all
}

// sets reads a set of capabilities from a status; one that is not there has all.
func sets(status, name string) uint64 {
	_, rest, _ := strings.Cut(status, "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return 1<<64 - 1
	}
	return n
}
