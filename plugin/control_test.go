package plugin

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestControlSocketComesBack: run_dir is removed, another socket is put in its place, or
// another relay had it first. Query answers again, and the end removes only what is ours.
func TestControlSocketComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	p, _, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	dir := p.cfg.RunDir
	answers := func() bool { r, err := Query(dir); return err == nil && r.Pid == os.Getpid() }
	wait(t, "it answers", answers)
	removeDir(t, dir)
	wait(t, "it answers in a new run_dir", answers)

	path := filepath.Join(dir, controlName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "it does not answer where another listens", func() bool { return !answers() })
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's socket was removed: %v", err)
	}
	other.(*net.UnixListener).SetUnlinkOnClose(false)
	other.Close()
	wait(t, "it answers when the other has gone", answers)

	// What is not the relay's own at the end stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	end()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the end removed what was not its own: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, stateName)); err != nil {
		t.Errorf("no state report: %v", err)
	}
}

// TestForeignRunDir: where another user could put a socket or a report of his own, there
// is neither, and the plugin runs; it has them as soon as the directory is its own.
func TestForeignRunDir(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: to make directories of others")
	}
	for name, spoil := range map[string]func(dir string) error{
		"owner":                       func(dir string) error { return os.Chown(dir, 1234, -1) },
		"group may write":             func(dir string) error { return os.Chmod(dir, 0o775) },
		"all may write":               func(dir string) error { return os.Chmod(dir, 0o777) },
		"owner of the one above":      func(dir string) error { return os.Chown(filepath.Dir(dir), 1234, -1) },
		"all may write the one above": func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) },
		"file":                        func(dir string) error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)) },
		"FIFO":                        func(dir string) error { return errors.Join(os.Remove(dir), syscall.Mkfifo(dir, 0o600)) },
	} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := errors.Join(os.Mkdir(dir, 0o755), spoil(dir)); err != nil {
			t.Fatal(err)
		}
		if err := makeDir(dir); err == nil || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, _, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	dir := p.cfg.RunDir
	wait(t, "it answers", func() bool { _, err := Query(dir); return err == nil })
	if err := errors.Join(os.Rename(dir, dir+".gone"), os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	wait(t, "it is said", func() bool {
		log, _ := os.ReadFile(filepath.Join(filepath.Dir(p.opt.Config), "log"))
		return strings.Contains(string(log), "others could put a socket")
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	wait(t, "it answers again", func() bool { _, err := Query(dir); return err == nil })
	end()
}

// TestBusyControlSocketIsNotStale: one whose backlog is full is another process's.
func TestBusyControlSocketIsNotStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), controlName)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		defer syscall.Close(fd)
		err = errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	if ln, _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "another audisp-relay") {
		ln.Close()
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}
