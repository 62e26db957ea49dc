package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The auditd of another suite: it is the one that runs, its plugin has the records,
// and nothing stays mounted.
func TestLiveAuditdOfAnotherSuite(t *testing.T) {
	Require(t)
	root := Root(t, Sid)
	version := Version(root)
	t.Run("run", func(t *testing.T) {
		a := Start(t, Options{Root: root, Plugins: []Plugin{{Name: "cat", Path: "/bin/cat", Args: "-"}}})
		exe, err := os.Readlink("/proc/" + strconv.Itoa(a.PID()) + "/root")
		if err != nil || exe != root {
			t.Errorf("auditd's root is %q (%v), want %s", exe, err, root)
		}
		a.Drain()
		data, err := os.ReadFile(a.Log())
		if err != nil {
			t.Fatal(err)
		}
		// Debian's version has an epoch and a revision besides: 1:4.2.1-1.
		_, ver, _ := strings.Cut(version, ":")
		ver, _, _ = strings.Cut(ver, "-")
		if !strings.Contains(string(data), "op=start ver="+ver+" ") {
			t.Errorf("no start of auditd %s in its log:\n%s", ver, data)
		}
	})
	// The mounts go with the last process, which the kernel ends when it likes.
	Wait(t, 30*time.Second, "the mounts to be gone", func() (bool, string) {
		mounts, err := os.ReadFile("/proc/self/mounts")
		return err == nil && !strings.Contains(string(mounts), filepath.Dir(root)), string(mounts)
	})
	if _, err := os.Stat(filepath.Join(root, "proc", "self")); err == nil {
		t.Error("proc is still mounted")
	}
}
