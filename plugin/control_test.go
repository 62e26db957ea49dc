package plugin

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestControlSocketComesBack: run_dir is removed, another socket is put in its place, or
// another relay had it first. Query answers again, and the end removes only what is ours.
func TestControlSocketComesBack(t *testing.T) {
	p, _, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	dir := p.cfg.RunDir
	answers := func() bool { r, err := Query(dir); return err == nil && r.Pid == os.Getpid() }
	wait(t, "it answers", answers)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
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
