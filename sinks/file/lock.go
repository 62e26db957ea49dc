package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A relay holds flock(2) on the file that it writes, so that there is one only: two would rotate
// it away from each other. The kernel lets go of it when the process ends, however it does.

// heldTime is how long a new sink waits for the lock without a word: the relay before it, or the
// sink of the configuration before, may still be ending.
const (
	heldTime = 1500 * time.Millisecond
	heldNap  = 50 * time.Millisecond
)

// errHeld: another process writes the file.
var errHeld = errors.New("it is locked")

// lock takes the lock, or says who has it.
func (w *writer) lock(f handle) error {
	err := f.Lock()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w by %s, which writes it: end that, or name another path", errHeld, holder(f))
	}
	if !w.warned["lock"] { // NFS without its lock daemon, for one
		w.warned["lock"] = true
		w.log.Warn("file cannot be locked on its file system: see to it that no other relay writes it",
			zap.String("path", w.cfg.Path), zap.Error(err))
	}
	return nil
}

// readySoon is ready, with patience for a lock that somebody still has who is ending.
func (w *writer) readySoon(ctx context.Context, cont bool) (int64, error) {
	for {
		size, err := w.ready(cont)
		if !errors.Is(err, errHeld) || time.Since(w.made) > heldTime {
			return size, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(heldNap):
		}
	}
}

// holder names the process that has f locked, as far as /proc/locks says it.
func holder(f handle) string {
	const unknown = "another process"
	st, err := f.Stat()
	if err != nil {
		return unknown
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer locks.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	for s := bufio.NewScanner(locks); s.Scan(); { // 1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF
		l := strings.Fields(s.Text())
		if len(l) > 5 && l[1] == "FLOCK" && l[5] == file {
			comm, _ := os.ReadFile("/proc/" + l[4] + "/comm")
			return strings.TrimSpace("pid " + l[4] + " " + strings.TrimSpace(string(comm)))
		}
	}
	return unknown
}
