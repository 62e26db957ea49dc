package process

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// day is a stream of a host that a test makes up event by event.
type day struct {
	x      *Table
	serial uint32
}

func (d *day) next() Moment {
	d.serial++
	return at(int64(d.serial), d.serial)
}

// inSession puts a SYSCALL record into a login session; 0 is none.
func inSession(body string, session int) string {
	if session == 0 {
		return strings.Replace(body, "ses=1 ", "ses=4294967295 ", 1)
	}
	return strings.Replace(body, "ses=1 ", fmt.Sprintf("ses=%d ", session), 1)
}

// run has a process begin a program.
func (d *day) run(session, ppid, pid int, exe string, args ...string) {
	var e event
	m := d.next()
	e.add(record.TypeSyscall, m, "", inSession(syscall(sysExec, 0, 1, ppid, pid, exe), session))
	e.add(record.TypeExecve, m, "", execve(append([]string{comm(exe)}, args...)...))
	d.x.Note(&e.Batch)
}

// call has a process do something else.
func (d *day) call(session, ppid, pid int, exe string) {
	give(d.x, d.next(), inSession(syscall(sysOpen, 3, 0, ppid, pid, exe), session))
}

// fork has a process make a child, which does something then.
func (d *day) fork(session, ppid, pid, child int, exe string) {
	give(d.x, d.next(), inSession(syscall(sysClone, child, 0x11, ppid, pid, exe), session))
	d.call(session, pid, child, exe)
}

// entry says how a process was entered: "PID WAY PROGRAM", "" where that is not certain.
func (d *day) entry(pid int) string {
	c := Context{WantsEntry: true}
	askInto(&c, d.x, at(int64(d.serial+1), d.serial+1), 1, pid)
	if c.Entry == nil {
		return c.EntryType
	}
	return fmt.Sprintf("%d %s %s", c.Entry.PID(), c.EntryType, c.Entry.Exe())
}

// sshLogin is a login with a command under sudo, of which sshd's own process for the user, 601, has done something that was audited.
func sshLogin(d *day) {
	d.run(0, 1, 500, "/usr/sbin/sshd", "-D")
	d.run(0, 500, 600, "/usr/sbin/sshd", "-D", "-R")
	d.run(0, 600, 610, "/usr/sbin/unix_chkpwd", "alice", "nullok")
	d.call(5, 600, 601, "/usr/sbin/sshd")
	d.run(5, 601, 602, "/bin/bash", "-l")
	d.run(5, 602, 603, "/usr/bin/sudo", "id")
	d.run(5, 603, 604, "/usr/bin/id")
}

// containers are what containerd's shim, runc and conmon do.
func containers(d *day) {
	const shim, runc = "/usr/bin/containerd-shim-runc-v2", "/usr/bin/runc"
	d.run(0, 1, 800, shim, "-namespace", "moby")
	d.run(0, 800, 810, runc, "create", "web")
	d.run(0, 810, 811, "/usr/bin/hook")
	d.run(0, 800, 820, "/usr/sbin/nginx", "-g", "daemon off;") // runc has ended
	d.run(0, 820, 821, "/bin/sh", "-c", "reload")
	d.run(0, 800, 830, runc, "--root", "/run/runc", "exec", "web")
	d.run(0, 830, 831, "/bin/ls")
	give(d.x, d.next(), strings.Replace(inSession(syscall(sysOpen, 3, 0, 810, 812, "/memfd:runc"), 0), `comm="memfd:runc"`, `comm="runc:[2:INIT]"`, 1))
	d.run(0, 810, 812, "/bin/cat") // runc has not ended yet
	d.run(0, 1, 850, "/usr/bin/conmon", "-c", "id")
	d.run(0, 850, 851, "/usr/bin/crun", "create", "id")
	d.fork(0, 850, 851, 852, "/usr/bin/crun")
	d.run(0, 850, 852, "/app/server")
	d.run(0, 850, 853, "/usr/bin/podman", "container", "cleanup")
}

func TestEntryLeader(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(d *day)
		want map[int]string
	}{
		{"a login by sshd", sshLogin, map[int]string{
			604: "602 sshd /bin/bash", 603: "602 sshd /bin/bash", 602: "602 sshd /bin/bash",
			500: "500 init /usr/sbin/sshd", 601: "500 init /usr/sbin/sshd", 610: "500 init /usr/sbin/sshd",
		}},
		{"a login by sshd 9.8, upgraded since", func(d *day) {
			d.run(0, 1, 500, "/usr/sbin/sshd (deleted)", "-D")
			d.run(0, 500, 600, "/usr/libexec/openssh/sshd-session", "-R")
			d.run(5, 600, 602, "/bin/bash", "-l")
		}, map[int]string{602: "602 sshd /bin/bash"}},
		{"what sshd does for a user is not known", func(d *day) {
			d.run(0, 1, 500, "/usr/sbin/sshd", "-D")
			d.run(5, 601, 602, "/bin/bash", "-l")
		}, map[int]string{602: "", 500: "500 init /usr/sbin/sshd"}},
		{"a shell that has executed another", func(d *day) {
			sshLogin(d)
			d.run(5, 602, 605, "/usr/bin/vi")
			d.run(5, 601, 602, "/bin/zsh")
			d.run(5, 602, 606, "/usr/bin/vi")
		}, map[int]string{602: "602 sshd /bin/zsh", 605: "602 sshd /bin/bash", 606: "602 sshd /bin/zsh"}},
		{"a job of cron", func(d *day) {
			d.run(0, 1, 700, "/usr/sbin/cron", "-f")
			d.call(7, 700, 701, "/usr/sbin/cron") // it writes its loginuid
			d.run(7, 701, 702, "/bin/sh", "-c", "backup")
			d.run(7, 702, 703, "/usr/bin/backup")
		}, map[int]string{703: "700 init /usr/sbin/cron", 701: "700 init /usr/sbin/cron"}},
		{"a service by way of systemd-executor and a shell", func(d *day) {
			d.run(0, 1, 750, "/usr/lib/systemd/systemd-executor")
			d.run(0, 1, 750, "/bin/sh", "-c", "exec java")
			d.run(0, 1, 750, "/usr/bin/java")
			d.run(0, 750, 751, "/bin/ls")
		}, map[int]string{750: "750 init /usr/bin/java", 751: "750 init /usr/bin/java"}},
		{"a login at a terminal", func(d *day) {
			d.run(0, 1, 300, "/sbin/agetty", "tty1")
			d.run(0, 1, 300, "/bin/login", "-p")
			d.run(2, 300, 301, "/bin/bash")
			d.run(2, 301, 302, "/usr/bin/top")
		}, map[int]string{302: "301 terminal /bin/bash", 300: "300 init /bin/login"}},
		{"a session of SSM", func(d *day) {
			d.run(0, 1, 320, "/usr/bin/amazon-ssm-agent")
			d.run(0, 320, 321, "/usr/bin/ssm-agent-worker")
			d.run(0, 321, 322, "/usr/bin/ssm-session-worker")
			d.run(0, 322, 323, "/bin/sh")
			d.run(0, 323, 324, "/bin/ls")
			d.run(0, 321, 330, "/usr/bin/ssm-document-worker")
			d.run(0, 330, 331, "/bin/sh")
		}, map[int]string{324: "323 ssm /bin/sh", 331: "320 init /usr/bin/amazon-ssm-agent"}},
		{"containers", containers, map[int]string{
			820: "820 container /usr/sbin/nginx", 821: "820 container /usr/sbin/nginx", 831: "831 container /bin/ls", 812: "812 container /bin/cat",
			811: "800 init /usr/bin/containerd-shim-runc-v2", 810: "800 init /usr/bin/containerd-shim-runc-v2",
			852: "852 container /app/server", 853: "850 init /usr/bin/conmon",
		}},
		{"containers of which all is known", func(d *day) {
			d.run(0, 1, 790, "/usr/bin/containerd")
			d.run(0, 790, 799, "/usr/bin/containerd-shim-runc-v2", "start")
			d.run(0, 799, 800, "/usr/bin/containerd-shim-runc-v2")
			d.run(0, 800, 820, "/bin/sh")
			d.run(0, 790, 791, "/usr/sbin/iptables")
		}, map[int]string{820: "820 container /bin/sh", 791: "790 init /usr/bin/containerd"}},
		{"who lost his parent before he executed something", func(d *day) {
			d.run(0, 1, 400, "/opt/salt/bin/python", "salt-minion")
			d.fork(0, 1, 400, 401, "/opt/salt/bin/python")
			d.run(0, 1, 401, "/usr/sbin/usermod")
		}, map[int]string{401: "400 init /opt/salt/bin/python"}},
		{"what a user has left behind", func(d *day) {
			sshLogin(d)
			d.run(5, 1, 620, "/home/alice/sshd")
			d.run(5, 620, 621, "/bin/sh")
		}, map[int]string{620: "", 621: ""}},
		{"programs of others under the names of ways in", func(d *day) {
			sshLogin(d)
			d.run(5, 602, 630, "/home/alice/containerd-shim")
			d.run(5, 630, 631, "/bin/sh")
			d.run(0, 1, 900, "/usr/sbin/nginx")
			d.run(0, 900, 901, "/tmp/sshd")
			d.run(0, 901, 902, "/bin/sh")
			for pid, user := range []string{"uid=33 ", "uid=00 "} { // what a service of nobody's has left behind
				give(d.x, d.next(), strings.Replace(inSession(syscall(sysExec, 0, 1, 1, 910+pid, "/tmp/sshd"), 0), " uid=0 ", " "+user, 1))
				d.run(5, 910+pid, 920+pid, "/bin/sh")
			}
		}, map[int]string{631: "602 sshd /bin/bash", 902: "900 init /usr/sbin/nginx", 920: "910 init /tmp/sshd", 921: "911 init /tmp/sshd"}},
		{"a process that ends and whose number comes again", func(d *day) {
			sshLogin(d)
			d.run(5, 602, 605, "/usr/bin/sleep")
			give(d.x, d.next(), syscall(sysExit, 0, 0, 601, 602, "/bin/bash"))
			d.run(0, 1, 700, "/usr/sbin/cron")
			d.run(0, 700, 602, "/bin/sh")
			d.run(0, 602, 640, "/bin/ls")
			d.run(5, 602, 650, "/bin/ls")
		}, map[int]string{605: "602 sshd /bin/bash", 602: "700 init /usr/sbin/cron", 640: "700 init /usr/sbin/cron"}},
		{"a process 1 that was seen", func(d *day) {
			d.run(0, 0, 1, "/sbin/init")
			d.run(0, 1, 750, "/bin/a")
			d.run(0, 2, 760, "/sbin/modprobe")
		}, map[int]string{1: "", 750: "750 init /bin/a", 760: ""}},
		{"its own ancestors", func(d *day) {
			d.run(0, 20, 10, "/bin/a")
			d.run(0, 10, 20, "/bin/b")
			d.run(0, 20, 10, "/bin/c")
			d.run(0, 30, 30, "/bin/d")
		}, map[int]string{10: "", 20: "", 30: ""}},
		{"a session that is not said", func(d *day) {
			give(d.x, d.next(), strings.Replace(syscall(sysExec, 0, 1, 1, 40, "/bin/a"), "ses=1 ", "", 1))
			give(d.x, d.next(), strings.Replace(syscall(sysExec, 0, 1, 1, 41, "/bin/a"), "ses=1 ", "ses=04294967295 ", 1))
			give(d.x, d.next(), strings.Replace(syscall(sysExec, 0, 1, 1, 42, "/bin/a"), "ses=1 comm=", "ses=1 comm= ses=4294967295 comm=", 1))
			give(d.x, d.next(), syscall(sysExec, 0, 1, 1, 43, "/tmp/x ses=4294967295 comm=y"))
		}, map[int]string{40: "", 41: "", 42: "", 43: ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &day{x: NewTable(Options{}), serial: 10}
			tt.do(d)
			for range 2 { // the second time from what is kept
				for pid, want := range tt.want {
					if got := d.entry(pid); got != want {
						t.Errorf("%d: %q, want %q", pid, got, want)
					}
				}
			}
			checkTable(t, d.x)
		})
	}
}

// TestEntryOfLongChains: those above maxChain are not looked for, however they are asked.
func TestEntryOfLongChains(t *testing.T) {
	d := &day{x: NewTable(Options{}), serial: 10}
	d.run(0, 1, 100, "/bin/a")
	for pid := 101; pid < 140; pid++ {
		d.run(0, pid-1, pid, "/bin/a")
	}
	if got := d.entry(139); got != "" {
		t.Errorf("%q", got)
	}
	for pid := 100; pid < 140; pid++ { // each goes on from what is kept of its parent
		if got := d.entry(pid); got != "100 init /bin/a" {
			t.Errorf("%d: %q", pid, got)
		}
	}
}

// TestEntryOnlyWhileCertain: neither a loss nor a hole may lie on the way up, also when the entry was said before.
func TestEntryOnlyWhileCertain(t *testing.T) {
	for name, doubt := range map[string]func(d *day){
		"events were lost":         func(d *day) { d.x.Lost("", 14, 14) },
		"the kernel has lost some": func(d *day) { d.x.LostBetween(start+14, start+14) },
		"the clock was set back": func(d *day) {
			d.x.sample(sample{Millis: start + 9e6, Ran: 1})
			d.x.sample(sample{Millis: start, Ran: 9e6})
		},
		"the host was booted":             func(d *day) { d.serial += 1 << 31; d.call(0, 1, 9, "/bin/x") },
		"a loss of before does not count": func(d *day) { d.x.Lost("", 3, 9) },
	} {
		d := &day{x: NewTable(Options{}), serial: 10}
		sshLogin(d)
		if got := d.entry(604); got != "602 sshd /bin/bash" {
			t.Fatalf("%q", got)
		}
		doubt(d)
		want := ""
		if strings.Contains(name, "does not") {
			want = "602 sshd /bin/bash"
		}
		if got := d.entry(604); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	d := &day{x: NewTable(Options{}), serial: 10}
	d.run(0, 1, 500, "/usr/sbin/sshd")
	d.serial++
	d.run(5, 500, 602, "/bin/bash")
	if got := d.entry(602); got != "" {
		t.Errorf("over a hole: %q", got)
	}
	give(d.x, at(12, 12), syscall(sysOpen, 3, 0, 1, 7, "/bin/x"))
	if got := d.entry(602); got != "602 sshd /bin/bash" {
		t.Errorf("once it is filled: %q", got)
	}
}

// TestEntryOfWhatRuns: of those that ran when the relay started /proc says who is in no session.
func TestEntryOfWhatRuns(t *testing.T) {
	d := &day{x: NewTable(Options{}), serial: 10}
	add := func(ppid, pid int32, exe string, state uint16) {
		text := appendProgram(nil, []byte(exe), []byte(comm(exe)))
		d.x.started = append(d.x.started, &Process{text: string(text), exeLen: uint16(len(exe)), millis: start, pid: pid, ppid: ppid, from: fromProc, state: used | known | state})
	}
	add(602, 603, "/usr/bin/vi", 0)
	add(600, 602, "/bin/bash", 0)
	add(500, 600, "/usr/sbin/sshd", 0)
	add(1, 500, "/usr/sbin/sshd", noSession|asRoot)
	add(1, 620, "/usr/bin/tmux", 0)
	add(0, 1, "/sbin/init", 0)
	d.run(5, 603, 604, "/bin/sh")
	d.run(5, 620, 621, "/bin/sh")
	for pid, want := range map[int]string{604: "602 sshd /bin/bash", 621: ""} {
		if got := d.entry(pid); got != want {
			t.Errorf("%d: %q, want %q", pid, got, want)
		}
	}
}

// TestEntryIsAskedFor: it costs nothing where nobody wants it.
func TestEntryIsAskedFor(t *testing.T) {
	d := &day{x: NewTable(Options{}), serial: 10}
	sshLogin(d)
	if c := ask(d.x, d.next(), 603, 604); c.Entry != nil || c.EntryType != "" || d.x.entries != nil {
		t.Errorf("%+v", c)
	}
	var e event
	e.add(record.TypeSyscall, d.next(), "", syscall(sysOpen, 3, 0, 603, 604, "/usr/bin/id"))
	c := Context{WantsEntry: true}
	d.x.Of(&c, &e.Batch, 0, 1)
	if n := testing.AllocsPerRun(100, func() { d.x.forgetEntries(); d.x.Of(&c, &e.Batch, 0, 1) }); n > 0 || c.Entry == nil {
		t.Errorf("%v allocations, entry %v", n, c.Entry)
	}
}
