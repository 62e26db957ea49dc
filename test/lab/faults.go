package lab

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StartAgain runs auditd once more after Stop, on the configuration, the log
// and the kernel's rules of before, and returns when its plugins run.
func (a *Auditd) StartAgain() {
	a.t.Helper()
	if a.pid != 0 {
		a.t.Fatalf("start auditd again: pid %d still runs", a.pid)
	}
	Check(a.t, a.run(), "start auditd again")
}

// Rotate makes auditd rotate its log (USR1) and returns when it has: audit.log
// is another file then.
func (a *Auditd) Rotate() {
	a.t.Helper()
	var before, now unix.Stat_t
	Check(a.t, unix.Stat(a.Log(), &before), "rotate: %s", a.Log())
	var sent time.Time
	Wait(a.t, 30*time.Second, "auditd to rotate "+a.Log(), func() (bool, string) {
		// As with a reload it may fail to learn who sent the signal.
		if time.Since(sent) > 3*time.Second {
			sent = time.Now()
			Check(a.t, syscall.Kill(a.pid, syscall.SIGUSR1), "rotate: auditd")
		}
		err := unix.Stat(a.Log(), &now)
		return err == nil && now.Ino != before.Ino, fmt.Sprint(err)
	})
}

// Freeze stops a process (SIGSTOP) for a time and continues it.
func Freeze(t TB, pid int, d time.Duration) {
	t.Helper()
	Check(t, syscall.Kill(pid, syscall.SIGSTOP), "stop pid %d", pid)
	time.Sleep(d)
	Check(t, syscall.Kill(pid, syscall.SIGCONT), "continue pid %d", pid)
}

// KillPlugin kills the named plugin (KILL) and returns the pid of the one that
// auditd starts in its place, which it does max_restarts times in its life
// (Options.Conf).
//
// auditd notices with the next record. A load may bring none for a minute: when the
// kernel's backlog was full, it can miss being woken (audit_log_start looks at the
// queue before it puts itself to sleep, and kauditd may have emptied it in between).
// So a record is sent once a second.
func (a *Auditd) KillPlugin(name string) int {
	a.t.Helper()
	pid := a.PluginPID(name)
	Check(a.t, syscall.Kill(pid, syscall.SIGKILL), "kill %s", name)
	var next int
	sent := time.Now()
	Wait(a.t, 20*time.Second, "auditd to start "+name+" again", func() (bool, string) {
		if time.Since(sent) > time.Second {
			sent = time.Now()
			a.Ctl("-m", "lab: a plugin was killed")
		}
		next = a.FindPlugin(name)
		return next != 0 && next != pid, fmt.Sprintf("pid %d, killed was %d", next, pid)
	})
	return next
}
