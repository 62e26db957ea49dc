//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// stageEnv says which of the programs that execute each other this is.
const stageEnv, lastStage = "SANDBOX_TEST_STAGE", 3

// TestExecSelf: where no program may be executed the process's own may, more than once, with what it was to get
// and nothing else, and stays in the sandbox.
func TestExecSelf(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	binary := programLikeTheRelay(t, dir)
	cmd := exec.Command(binary, "-test.run=^TestSelfProgram$")
	cmd.Env = []string{stageEnv + "=1", insideEnv + "=" + dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	want := ""
	for stage := 1; stage <= lastStage; stage++ {
		want += fmt.Sprintf("%d: process %d, 1 filters\n", stage, cmd.Process.Pid)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "stages")); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q; it said\n%s", got, err, want, out)
	}
}

// TestSelfProgram is the program of TestExecSelf.
func TestSelfProgram(t *testing.T) {
	stage, err := strconv.Atoi(os.Getenv(stageEnv))
	if err != nil {
		return // it is none on its own
	}
	dir := os.Getenv(insideEnv)
	r := Enter(Options{Self: &Self{
		Path: os.Args[0], Args: os.Args, Env: []string{stageEnv + "=" + strconv.Itoa(stage+1), insideEnv + "=" + dir},
	}})
	if !r.Self {
		t.Fatalf("not sealed: %s", r.WhyNotSelf)
	}
	tryOthers(t)

	status := threads(t)[0]
	_, filters, _ := strings.Cut(status, "\nSeccomp_filters:")
	filters, _, _ = strings.Cut(filters, "\n")
	f, err := os.OpenFile(filepath.Join(dir, "stages"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "%d: process %d, %s filters\n", stage, os.Getpid(), strings.TrimSpace(filters))
	f.Close()
	if stage < lastStage && !t.Failed() {
		t.Fatal(ExecSelf())
	}
}

// tryOthers wants nothing else to be executed, and what is executed to stay what it is.
func tryOthers(t *testing.T) {
	t.Helper()
	if err := unix.Exec("/bin/true", []string{"true"}, nil); err != unix.EPERM {
		t.Errorf("another program: %v", err)
	}
	for n, args := range [][3]uintptr{{selfPath, 0, selfEnv}, {selfPath, selfArgs, 0}, {selfPath + 1, selfArgs, selfEnv}, {selfPath | 1<<40, selfArgs, selfEnv}} {
		if _, _, errno := unix.Syscall(unix.SYS_EXECVE, args[0], args[1], args[2]); errno != unix.EPERM {
			t.Errorf("other arguments, %d: %v", n, errno)
		}
	}
	size := selfEnd - selfEnv
	for _, c := range []struct {
		name string
		call uintptr
		args [6]uintptr
	}{
		{"unmap it", unix.SYS_MUNMAP, [6]uintptr{selfEnv, size}},
		{"make it writable", unix.SYS_MPROTECT, [6]uintptr{selfEnv, size, unix.PROT_READ | unix.PROT_WRITE}},
		{"move it", unix.SYS_MREMAP, [6]uintptr{selfEnv, size, size, unix.MREMAP_MAYMOVE}},
		{"map over it", unix.SYS_MMAP, [6]uintptr{selfEnv, size, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED, ^uintptr(0)}},
	} {
		if _, _, errno := unix.Syscall6(c.call, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5]); errno != unix.EPERM && errno != unix.EACCES {
			t.Errorf("%s: %v", c.name, errno)
		}
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err != nil {
		return // refused altogether
	}
	defer memory.Close()
	if _, err := memory.WriteAt([]byte("/bin/sh\x00"), int64(selfPath)); err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("write to it: %v", err)
	}
}

// TestSelfMustFit: what there is no room for is not executed cut.
func TestSelfMustFit(t *testing.T) {
	for _, s := range []Self{
		{Path: strings.Repeat("p", 5000)}, {Path: "/p", Args: make([]string, 1000)}, {Path: "/p", Env: make([]string, 100)},
		{Path: "/p", Args: []string{strings.Repeat("a", 1<<20)}},
	} {
		if _, err := s.layout(s.Env); err == nil {
			t.Errorf("%.20q, %d arguments, %d of environment are taken", s.Path, len(s.Args), len(s.Env))
		}
	}
}
