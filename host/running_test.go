package host

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// stayEnv makes the test program a process that listens on the socket of that path and stays.
const stayEnv = "HOST_TEST_LISTEN"

func init() {
	path := os.Getenv(stayEnv)
	if path == "" {
		return
	}
	if _, err := net.Listen("unix", path); err != nil {
		panic(err)
	}
	time.Sleep(time.Minute)
	os.Exit(0)
}

// TestRunningRelays: a process of this program counts when it has no command, with the socket
// that it listens on and no other.
func TestRunningRelays(t *testing.T) {
	dir, err := os.MkdirTemp("", "rl") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	started := make(map[int]string)
	for name, args := range map[string][]string{
		"plain": nil, "config": {"-c", "x.toml"}, "command": {"tail", "-"},
	} {
		path := filepath.Join(dir, name, "control.sock")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), stayEnv+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		if name != "command" {
			started[cmd.Process.Pid] = path
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if conn, err := net.Dial("unix", path); err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not listen", path)
			}
		}
	}

	relays, err := Machine{}.RunningRelays("control.sock")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range relays {
		path, mine := started[r.PID]
		if !mine && slices.ContainsFunc(r.Sockets, func(s string) bool { return filepath.Dir(filepath.Dir(s)) == dir }) {
			t.Errorf("%+v runs a command", r)
		}
		if !mine {
			continue // of another test
		}
		found++
		if !slices.Equal(r.Sockets, []string{path}) || r.Hidden != nil {
			t.Errorf("%+v, want %s", r, path)
		}
	}
	if found != len(started) {
		t.Errorf("found %+v, want %v", relays, started)
	}
	if relays, err := (Machine{}).RunningRelays("other.sock"); err != nil || slices.ContainsFunc(relays, func(r Running) bool { return started[r.PID] != "" && len(r.Sockets) > 0 }) {
		t.Errorf("of another name: %+v, %v", relays, err)
	}
}

// TestIsOurs: what /proc says of the user of a process may be missing or odd.
func TestIsOurs(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "proc/7")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[string]bool{
		"Name:\taudisp-relay\nUid:\t0\t0\t0\t0\n":         true,
		"Name:\tx\nUid:\t0\t4242\t0\t0\n":                 false, // a set-user-ID program that gave root up
		"Name:\tx\nUid:\t4242\t0\t0\t0\n":                 false, // one that has it
		"Name:\tUid:\\n0\nUid:\t4242\t4242\t4242\t4242\n": false,
		"Name:\tx\n":                            false,
		"Uid:\n":                                false,
		"Uid:\t0\n":                             false,
		"Uid:\t0\tx\t0\t0\n":                    false,
		"Uid:\t0\t-1\t0\t0\n":                   false,
		"Uid:\t0\t99999999999999999999\t0\t0\n": false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := (Machine{Root: root}).isOurs(7); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
	if (Machine{Root: root}).isOurs(8) {
		t.Error("a process that is not there is ours")
	}
}
