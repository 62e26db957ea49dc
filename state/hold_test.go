package state

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHoldDirLetsNoOtherIn(t *testing.T) {
	dir := t.TempDir()
	held := HoldDir(dir)
	other, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("while it is held: %v", err)
	}
	held.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// TestHoldDirGoesWithout: where another user holds the directory for ever, or there is none.
func TestHoldDirGoesWithout(t *testing.T) {
	dir := t.TempDir()
	defer HoldDir(dir).Close()
	if f := HoldDir(dir); f == nil {
		t.Error("nothing to close")
	} else {
		f.Close()
	}

	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, none := range []string{fifo, filepath.Join(dir, "none")} {
		if f := HoldDir(none); f != nil {
			t.Errorf("%s is held", none)
		}
	}
}
