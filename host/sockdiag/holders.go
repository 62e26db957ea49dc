package sockdiag

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Process is one that has a socket open.
type Process struct {
	PID  int
	UID  int    // the user that it runs as, -1 where that is not known
	Comm string // its name, which it may have chosen itself
}

// String names the process in one line of printable characters.
func (p Process) String() string { return fmt.Sprintf("%.40q (pid %d, uid %d)", p.Comm, p.PID, p.UID) }

// maxHolders bounds how many processes are named.
const maxHolders = 16

// Holders returns the processes that have one of these sockets open, in the order of their
// pids, 16 at most. It reads /proc/PID/fd of each, for which it takes root: what may not be read is
// left out.
func Holders(sockets []uint32) (list []Process) {
	var names []string
	for _, inode := range sockets {
		names = append(names, "socket:["+strconv.FormatUint(uint64(inode), 10)+"]")
	}
	entries, err := os.ReadDir("/proc")
	if err != nil || len(names) == 0 {
		return nil
	}

	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && holds(pid, names) && len(list) < maxHolders {
			list = append(list, about(pid))
		}
	}
	slices.SortFunc(list, func(a, b Process) int { return a.PID - b.PID })
	return list
}

// holds reports whether a process has one of the files open.
func holds(pid int, names []string) bool {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	fds, _ := dir.Readdirnames(-1) // what was read before an error
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, err := os.Readlink(path + "/" + fd)
		return err == nil && slices.Contains(names, to)
	})
}

// about reads who a process is.
func about(pid int) Process {
	p := Process{PID: pid, UID: -1}
	dir := "/proc/" + strconv.Itoa(pid)
	comm, _ := os.ReadFile(dir + "/comm")
	p.Comm = strings.TrimSuffix(string(comm), "\n")
	status, _ := os.ReadFile(dir + "/status")
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(ids); len(fields) > 1 {
				p.UID, _ = strconv.Atoi(fields[1]) // the effective one
			}
		}
	}
	return p
}
