package host

import (
	"debug/buildinfo"
	"os"
	"runtime/debug"
)

// RelayAbove returns the pid of the relay that has started this process, itself or by whatever
// stands between the two, and 0 when none has. A relay that a relay starts would
// read the same configuration and start the next.
func RelayAbove() int {
	self, err := os.Executable()
	if err != nil {
		return 0 // no /proc: then nothing can be said
	}
	return Machine{}.relayAbove(os.Getppid(), os.Getpid(), self)
}

// relayAbove looks among pid and its ancestors for one that runs what process own runs,
// which was started from the file self.
func (m Machine) relayAbove(pid, own int, self string) int {
	comm, _ := m.comm(own)
	for n := 0; pid > 1 && n < maxAncestors; n++ {
		p, err := m.identify(pid)
		if err != nil {
			return 0
		}
		if m.executes(pid, self) || m.sameBuild(p, comm) {
			return pid
		}
		pid = p.PPID
	}
	return 0
}

// sameBuild reports whether a process runs another copy or version of this program. Where its
// file cannot be looked at, as by another user, its name has to do.
func (m Machine) sameBuild(p process, comm string) bool {
	exe := m.procPath(p.PID, "exe")
	if f, err := os.Open(exe); err != nil {
		return os.IsPermission(err) && comm != "" && p.Comm == comm
	} else {
		f.Close()
	}
	theirs, err := buildinfo.ReadFile(exe)
	ours, ok := debug.ReadBuildInfo()
	return err == nil && ok && ours.Path != "" && theirs.Path == ours.Path
}
