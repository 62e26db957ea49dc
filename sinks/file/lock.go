package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
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
		return w.lockOfAnother(f)
	}
	// NFS without its lock daemon, for one
	w.warnOnce("lock", "file cannot be locked on its file system: see to it that no other relay writes it", zap.Error(err))
	return nil
}

// lockOfAnother decides whether a lock that another process holds counts. A process that may only read the file can
// lock it, too, which must not stop the sink's records.
func (w *writer) lockOfAnother(f handle) error {
	pid := holder(f)
	switch {
	case pid == 0 || (mayWrite(pid) && !hasEnded(pid)):
	case !hasEnded(pid):
		w.warnOnce("reader", "file is locked by a process that may only read it: records are written nevertheless", zap.Int("pid", pid))
		return nil
	case f.Lock() == nil: // it has ended just now
		return nil
	case holder(f) == pid:
		// A process that it has started, or given it to, has the open file. A relay leaves none to anybody.
		w.warnOnce("left", "file is locked by a process that has ended, but another still has it open: records are written nevertheless", zap.Int("pid", pid))
		return nil
	}
	return fmt.Errorf("%w by %s, which writes it: end that, or name another path", errHeld, describe(pid))
}

// warnOnce logs something about the file once.
func (w *writer) warnOnce(key, text string, fields ...zap.Field) {
	if !w.warned[key] {
		w.warned[key] = true
		w.log.Warn(text, append(fields, zap.String("path", w.cfg.Path))...)
	}
}

// readySoon is ready, but waits for a lock whose holder is just ending.
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

// holder returns the process that has locked f, according to /proc/locks, or 0.
func holder(f handle) (pid int) {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	return holderIn(locks, uint64(st.Dev), st.Ino)
}

// holderIn is holder for a text as /proc/locks has it. Of a file system without a device of its own, as btrfs, the kernel writes
// another number there than stat(2) gives: there the inode has to do, if one process alone has locked one of that number.
func holderIn(locks io.Reader, dev, ino uint64) int {
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), ino)
	inode := fmt.Sprintf(":%d", ino)
	var others []int
	for s := bufio.NewScanner(locks); s.Scan(); { // 1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF
		l := strings.Fields(s.Text())
		if len(l) <= 5 || l[1] != "FLOCK" {
			continue
		}
		pid, _ := strconv.Atoi(l[4])
		switch {
		case l[5] == file:
			return max(pid, 0)
		case unix.Major(dev) == 0 && strings.HasPrefix(l[5], "00:") && strings.HasSuffix(l[5], inode):
			others = append(others, pid)
		}
	}
	if len(others) != 1 {
		return 0
	}
	return max(others[0], 0)
}

// hasEnded reports whether there is no process of that number, not even a hidden one (hidepid of /proc).
func hasEnded(pid int) bool {
	_, err := unix.Getpgid(pid)
	return err == unix.ESRCH
}

// mayWrite reports whether a process was started by root, our own user or as a worker, as every relay
// was that may write our files. What it has become since does not count: a program that makes itself
// root, as su does, may have the open file, and its lock, from whoever may only read it. One that
// cannot be looked at is taken for one.
func mayWrite(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		ids, found := strings.CutPrefix(line, "Uid:")
		if !found {
			continue
		}
		starter, _, _ := strings.Cut(strings.TrimSpace(ids), "\t") // then the effective one, the saved one, that of the file system
		uid, err := strconv.Atoi(starter)
		return err != nil || uid == 0 || uid == os.Geteuid() || broker.IsWorker(uid)
	}
	return true
}

func describe(pid int) string {
	if pid == 0 {
		return "another process"
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(fmt.Sprintf("pid %d %s", pid, strings.TrimSpace(string(comm))))
}
