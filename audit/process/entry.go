package process

import "strings"

// The entry leader of a process is the one with which its session, or its service, has come onto the host. It is found from the top:
// a child of process 1 is a service and leads all that it has started, unless it is one of the programs through which others come in,
// such as sshd, which are root's. Of those it is the first process that runs something else. So nobody who came in becomes a leader
// by giving a program of his own such a name.
//
// Who has lost his parent is a child of process 1, too. What a user has left behind so is in his login session, and what process 1
// has started in none; the kernel lets nobody out of one without CAP_AUDIT_CONTROL (kernel/audit.c, audit_set_loginuid).

// entry is how a process was entered; leader is nil where that is not certain.
type entry struct {
	of, leader *Process
	way        string // a word of ECS
	shared     bool   // what that process has started has the same
}

// entries are the entries that were found last, by pid. An entry stays what it is, and most events are of the same
// processes. Only few are kept, since a process that the table forgets stays in memory with them.
type entries [128]entry

// maxChain is how many processes there may be on the way up to the child of process 1.
const maxChain = 24

// byInit is the way of a service.
const byInit = "init"

// entryOf finds out how the process that runs p was entered. That is certain if the whole way up to process 1 is.
func (t *Table) entryOf(p *Process) entry {
	if t.entries == nil {
		t.entries = new(entries)
	}
	var chain [maxChain]*Process // from p upwards, each as it was when the one before it began
	for n := range chain {
		chain[n] = p
		if e := *t.entries.at(p); e.of == p && (n == 0 || e.shared) {
			return t.keepEntry(chain[0], e)
		}
		first, parent, sure := t.beginOf(p)
		switch {
		case parent != nil:
			p = parent
		case sure && first.ppid == 1 && first.state&noSession != 0:
			return t.keepEntry(chain[0], t.lead(chain[:n+1], first.state&asRoot != 0))
		default:
			return entry{}
		}
	}
	return entry{}
}

// forgetEntries has all of them found again: which process started which may be in doubt now.
func (t *Table) forgetEntries() {
	if t.entries != nil {
		*t.entries = entries{}
	}
}

// at returns where the entry of a process is kept.
func (e *entries) at(p *Process) *entry { return &e[uint32(p.pid)%uint32(len(e))] }

// keepEntry keeps what was found of a process.
func (t *Table) keepEntry(p *Process, e entry) entry {
	e.of = p
	*t.entries.at(p) = e
	e.leader.state |= used
	return e
}

// beginOf returns the first program that is known of the process that runs p, and the parent that had started it. The
// parent is nil, with sure, for process 1, and nil where it is not certain.
func (t *Table) beginOf(p *Process) (first, parent *Process, sure bool) {
	for range maxPrograms {
		parent, sure = t.inheritsFrom(p)
		if parent == nil || parent.pid != p.pid {
			return p, parent, sure
		}
		p = parent
	}
	return p, nil, false
}

// lead returns the leader for the first process of a chain whose last process is a service, root's or not.
func (t *Table) lead(chain []*Process, ofRoot bool) entry {
	k := len(chain) - 1
	service := chain[k]
	way := wayOf(service)
	if way == "" || !ofRoot {
		return entry{leader: service, way: byInit, shared: true}
	}
	for k > 0 && wayOf(chain[k]) == way {
		k--
	}
	switch below := chain[k]; {
	case wayOf(below) == way: // what it starts may be another's leader
		return entry{leader: service, way: byInit}
	case t.opens(way, chain[k+1], below):
		return entry{leader: below, way: way, shared: true}
	}
	return entry{leader: service, way: byInit, shared: true}
}

// wayOf returns the kind of entry that a program makes, "" for other programs.
func wayOf(p *Process) string {
	switch name := p.name(); name {
	case "sshd", "sshd-session", "sshd-auth": // the latter from OpenSSH 9.8 and 10 on
		return "sshd"
	case "login":
		return "terminal"
	case "amazon-ssm-agent", "ssm-agent-worker", "ssm-session-worker":
		return "ssm"
	case "containerd", "dockerd", "crio", "conmon", "podman", "k3s", "runc", "crun":
		return "container"
	default:
		if strings.HasPrefix(name, "containerd-shim") || isRuncInit(p) {
			return "container"
		}
	}
	return ""
}

// name returns the last part of the path of the program.
func (p *Process) name() string {
	exe := strings.TrimSuffix(p.Exe(), " (deleted)") // it was upgraded
	return exe[strings.LastIndexByte(exe, '/')+1:]
}

// isRuncInit reports whether p is what runc runs in a container until the container's program begins. runc has copied
// it, so that its path may be any (runc, libcontainer/nsenter).
func isRuncInit(p *Process) bool { return strings.HasPrefix(p.Comm(), "runc:[") }

// opens reports whether by, a program that makes entries, has let p in, and not only started it for its own work: sshd
// has helpers that check passwords, runc has hooks.
func (t *Table) opens(way string, by, p *Process) bool {
	switch way {
	case "sshd", "terminal":
		return p.state&noSession == 0
	case "ssm":
		return by.name() == "ssm-session-worker"
	}
	first, _, _ := t.beginOf(p)
	if startsContainers(by) || isRuncInit(first) {
		return true
	}
	// What runc or crun has started loses it as its parent, mostly before its program begins.
	parent := t.at(p.ppid, p.at())
	return p.from == fromExec && parent != nil && startsContainers(parent)
}

// startsContainers reports whether what a program starts is in a container.
func startsContainers(p *Process) bool {
	switch name := p.name(); name {
	case "conmon":
		return true
	case "runc", "crun":
		return p.hasArgAfterFirst([]byte("exec"))
	default:
		return strings.HasPrefix(name, "containerd-shim")
	}
}
