package state

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// holdTime is how long HoldDir waits for others.
const holdTime = time.Second

// HoldDir keeps other relays from binding a socket in dir until the returned file, which may
// be nil, is closed. Without it one that has just found a socket stale could remove that which
// another has bound meanwhile, and the other would then take the new file for its own. Any user
// who may read dir can hold it, so HoldDir waits no longer than a second and then goes without.
// It may be called from any goroutine.
func HoldDir(dir string) *os.File {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		return nil // bind says why
	}
	for end := time.Now().Add(holdTime); time.Now().Before(end); time.Sleep(holdTime / 500) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			break // it holds dir, or this file system has no locks
		}
	}
	return f
}
