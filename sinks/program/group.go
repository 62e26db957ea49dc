package program

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// hasMembers reports whether a process of the group is alive besides its leader, which
// has ended and is not reaped: so no other process has the number yet.
func hasMembers(group int) bool {
	found := false
	members(group, func(pid int, state byte) bool {
		found = pid != group && state != 'Z' && state != 'X'
		return !found
	})
	return found
}

// members calls f for each process of a group until it returns false.
func members(group int, f func(pid int, state byte) bool) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()

	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if state, pgrp, ok := parseStat(stat); ok && pgrp == group && !f(pid, state) {
			return
		}
	}
}

// parseStat reads state and process group from /proc/PID/stat. The name in front of them
// may have blanks and parentheses (proc_pid_stat(5)).
func parseStat(stat []byte) (state byte, pgrp int, ok bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, 0, false
	}
	f := bytes.Fields(stat[i+1:])
	if len(f) < 3 || len(f[0]) != 1 {
		return 0, 0, false
	}
	pgrp, err := strconv.Atoi(string(f[2]))
	return f[0][0], pgrp, err == nil
}

// holdsSocket reports whether a process of the child's group has the socket open; known is
// false where that cannot be looked at, as by the relay that has given up
// CAP_SYS_PTRACE.
func holdsSocket(group int, inode uint32) (held, known bool) {
	want := "socket:[" + strconv.FormatUint(uint64(inode), 10) + "]"
	known = true
	members(group, func(pid int, state byte) bool {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd"
		d, err := os.Open(dir)
		if err != nil {
			known = known && (state == 'Z' || os.IsNotExist(err))
			return true
		}
		defer d.Close()
		names, err := d.Readdirnames(-1)
		known = known && (err == nil || os.IsNotExist(err))
		for _, name := range names {
			if to, err := os.Readlink(dir + "/" + name); err == nil && to == want {
				held = true
			}
		}
		return !held
	})
	return held, known || held
}

// signalGroup sends a signal to every process of a group, or to its leader where there is
// no such group.
func signalGroup(leader *os.Process, sig unix.Signal) {
	// Never 0 or 1, which would be our own group or every process, and never our own.
	if pid := leader.Pid; pid > 1 && pid != unix.Getpgrp() && unix.Kill(-pid, sig) == nil {
		return
	}
	_ = leader.Signal(sig) // fails when it has ended: then there is nothing to end
}
