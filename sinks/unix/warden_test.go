package unix

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	sys "golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/test/lab"
)

// wardened returns the monitor of a worker that has this sink, as the worker sees it.
func wardened(t testing.TB, cfg *Config) *broker.Client {
	t.Helper()
	w := newWarden()
	w.Configure(config.Sink{Name: "s", Type: "unix", Settings: cfg})
	t.Cleanup(w.Close)
	return lab.Worker(t, w.Serve)
}

const wardedItem = "unix/s"

// TestWardenListens: what a sink asks of its socket is answered, while it is there as after it was replaced.
func TestWardenListens(t *testing.T) {
	cfg := settings(filepath.Join(shortDir(t), "sock"))
	m := wardened(t, &cfg)
	l, err := askListen(m, wardedItem, &cfg)
	if err != nil || l.flaw != nil {
		t.Fatalf("%v, %v", err, l)
	}
	defer l.close()
	conn, err := net.Dial("unix", cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := os.Chmod(cfg.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{opCheck, opGrant, opCheck} {
		if err := l.ask(m, op); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	if info, err := os.Stat(cfg.Path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the mode is not that of the sink again: %v, %v", info, err)
	}
	if err := os.Rename(cfg.Path, cfg.Path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := l.ask(m, opCheck); !errors.Is(err, errReplaced) {
		t.Errorf("it is away: %v", err)
	}
	if err := os.Rename(cfg.Path+".away", cfg.Path); err != nil {
		t.Fatal(err)
	}
	if err := l.ask(m, opRemove); err != nil || exists(cfg.Path) {
		t.Errorf("it is still there: %v", err)
	}
	if err := l.ask(m, opCheck); err == nil {
		t.Error("one that the sink has let go of is known")
	}
}

// TestWardenRefuses what the sink does not do, and arguments that are none.
func TestWardenRefuses(t *testing.T) {
	cfg := settings(filepath.Join(shortDir(t), "sock"))
	m := wardened(t, &cfg)
	for _, op := range []string{opConnect, opCheck, opGrant, opRemove, "other", ""} {
		for _, args := range []any{nil, 0, 1, -1, "x", []int{1}} {
			if err := m.Do(wardedItem, op, args, nil); err == nil {
				t.Errorf("%q of %v is done", op, args)
			}
		}
	}
	cfg.Connect = true
	m = wardened(t, &cfg)
	for _, op := range []string{opListen, opConnect} { // nobody listens
		if _, err := m.Open(wardedItem, op, nil, nil); err == nil {
			t.Errorf("%s is done", op)
		}
	}
}

// TestWardenFollowsOnlyRootsLinks: who owns the collector's directory cannot have the monitor connect a worker to another socket.
func TestWardenFollowsOnlyRootsLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	dir := shortDir(t)
	other, link := filepath.Join(dir, "roots"), filepath.Join(dir, "its", "collector")
	ln, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, err := range []error{os.Mkdir(filepath.Dir(link), 0o755), os.Chown(filepath.Dir(link), 12345, 12345), os.Symlink("../roots", link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := settings(link)
	cfg.Connect = true
	m := wardened(t, &cfg)
	for uid, may := range map[int]bool{0: true, 12345: false} {
		if err := os.Lchown(link, uid, uid); err != nil {
			t.Fatal(err)
		}
		fd, err := m.Open(wardedItem, opConnect, nil, nil)
		if err == nil {
			sys.Close(fd)
		}
		if (err == nil) != may {
			t.Errorf("a link of uid %d: %v", uid, err)
		}
	}
}

// TestOnlyASocketIsGranted: a file that has got the number of a socket that is closed keeps its owner and mode.
func TestOnlyASocketIsGranted(t *testing.T) {
	cfg := settings(filepath.Join(shortDir(t), "file"))
	if err := os.WriteFile(cfg.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st sys.Stat_t
	if err := sys.Stat(cfg.Path, &st); err != nil {
		t.Fatal(err)
	}
	l := &listener{path: cfg.Path, dev: st.Dev, ino: st.Ino}
	if err := l.grant(&cfg); !errors.Is(err, errReplaced) {
		t.Errorf("grant: %v", err)
	}
	if err := l.remove(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(cfg.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestWardenIsConfiguredWhileADiskHangs: a reload does not wait for what is being done for the sink, as the desk is locked meanwhile.
func TestWardenIsConfiguredWhileADiskHangs(t *testing.T) {
	w := newWarden().(*warden)
	w.mu.Lock()
	defer w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		w.Configure(config.Sink{Name: "s", Type: "unix", Settings: &Config{Path: "/sock"}})
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it waits")
	}
}
