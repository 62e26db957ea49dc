package unix

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
)

// TestSocketGetsItsMode: whatever the umask is, and again after a Reopen.
func TestSocketGetsItsMode(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, mode := range []uint32{0o600, 0o666, 0o660, 0o4666} {
		cfg := settings(sock(t))
		cfg.Mode = mode
		b := start(t, cfg, lossless())
		b.dial()
		is := func() uint32 {
			var st syscall.Stat_t
			if err := syscall.Lstat(cfg.Path, &st); err != nil {
				t.Fatal(err)
			}
			return st.Mode & 0o7777
		}
		if is() != mode {
			t.Errorf("mode %04o, want %04o", is(), mode)
		}
		os.Chmod(cfg.Path, 0o222)
		b.sink.Reopen()
		eventually(t, "the mode set again", func() bool { return is() == mode })
		b.stop()
	}
}

func TestSocketGetsItsOwner(t *testing.T) {
	needRoot(t)
	owned := func(path string) string {
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
	}
	cfg := settings(sock(t))
	cfg.Owner, cfg.Group = "65534", "12345"
	b := start(t, cfg, lossless())
	b.dial()
	if got := owned(cfg.Path); got != "65534:12345" {
		t.Errorf("owned by %s", got)
	}
	b.healthy()

	cfg = settings(sock(t))
	cfg.Owner, cfg.Group = "root", "no-such-group-9"
	b = start(t, cfg, lossless())
	conn := b.dial()
	readExactly(t, conn, b.put(0, 3))
	b.degraded("groupadd --system no-such-group-9")
	if got := owned(cfg.Path); got != "0:0" {
		t.Errorf("owned by %s, want root's", got)
	}
	if n := b.logs.FilterMessage("sink degraded").Len(); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestGroupThatComesLater: a socket is given to it without a signal.
func TestGroupThatComesLater(t *testing.T) {
	needRoot(t)
	cfg := settings(sock(t))
	cfg.Group = "no-such-group-9"
	lis, err := listen(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.close()
	r := &server{Sink: newSink(config.Sink{Name: "s", Settings: &cfg}, format.Encoder{}, zap.NewNop()), lis: lis}
	r.judge()
	r.check(false)
	if !r.Status().Degraded {
		t.Error("a socket without its group is all right")
	}
	r.cfg.Group = "12345" // it exists
	r.check(false)
	var st syscall.Stat_t
	if err := syscall.Lstat(cfg.Path, &st); err != nil || st.Gid != 12345 || r.Status().Degraded {
		t.Errorf("group %d, %+v, %v", st.Gid, r.Status(), err)
	}
}
