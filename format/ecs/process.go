package ecs

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// isLocal reports whether the event is of this host.
func (e *Encoder) isLocal() bool { return users.Local(e.recs[0].Node, e.opts.Local) }

func (e *Encoder) writeProcess() {
	w, self := &e.w, e.process.Self
	m := w.Open("process", '{')
	w.number("pid", e.dataOf(keyPID))
	e.writeEntityID(self)
	e.writeParent(e.dataOf(keyPPID))
	e.writeEntry()
	comm, exe := e.dataOf(keyComm), e.dataOf(keyExe)
	if exe == "" && self != nil { // the record of an operation of io_uring has neither
		comm, exe = cmp.Or(comm, self.Comm()), self.Exe()
	}
	w.Some("name", processName(comm, exe))
	w.Some("executable", exe)
	e.writeHash()
	w.Some("working_directory", e.dataOf(keyCWD))
	if e.execve {
		e.writeArgs()
	} else if self != nil {
		e.writeArgsOf(self)
	}
	w.Some("title", e.dataOf(keyProctitle))
	e.writeCapabilities()
	w.Close(m, '}')
}

// processName returns the name of a process: comm, or where that is the beginning of the program's name, which the kernel has cut, the whole.
func processName(comm, exe string) string {
	const most = 15 // bytes of comm (linux/sched.h, TASK_COMM_LEN)
	if len(comm) != most {
		return comm
	}
	name := strings.TrimSuffix(exe[strings.LastIndexByte(exe, '/')+1:], " (deleted)")
	if strings.HasPrefix(name, comm) {
		return name
	}
	return comm
}

// writeParent writes the parent: its number is in the event, the rest in the table.
func (e *Encoder) writeParent(ppid string) {
	w, p := &e.w, e.process.Parent
	m := w.Open("parent", '{')
	w.number("pid", ppid)
	if p != nil {
		e.writeOther(p)
	}
	w.Close(m, '}')
}

// writeEntry writes the process with which the session or the service has come onto the host, where that is certain.
func (e *Encoder) writeEntry() {
	w, p := &e.w, e.process.Entry
	if p == nil {
		return
	}
	m := w.Open("entry_leader", '{')
	w.Key("pid")
	w.Buf = strconv.AppendInt(w.Buf, int64(p.PID()), 10)
	e.writeOther(p)
	o := w.Open("entry_meta", '{')
	w.Some("type", e.process.EntryType)
	w.Close(o, '}')
	w.Close(m, '}')
}

// writeOther writes what is known of a process that is not the event's own.
func (e *Encoder) writeOther(p *process.Process) {
	e.writeEntityID(p)
	e.w.Some("name", processName(p.Comm(), p.Exe()))
	e.w.Some("executable", p.Exe())
	e.writeArgsOf(p)
}

// writeArgs writes the arguments of the event's EXECVE records.
func (e *Encoder) writeArgs() {
	w := &e.w
	line := e.line[:0]
	m := w.Open("args", '[')
	for i := range e.args.Len() {
		if text, state := e.args.Arg(i); state != record.ArgMissing {
			w.Item(record.Alias(text))
			line = process.AppendArg(line, 0, text)
		}
	}
	w.Close(m, ']')
	if n, ok := e.args.Count(); ok {
		w.Key("args_count")
		w.Buf = strconv.AppendUint(w.Buf, uint64(n), 10)
	}
	e.line = line
	w.Some("command_line", record.Alias(line))
}

// writeArgsOf writes the arguments that are known of a process. Their count is left out where there were more.
func (e *Encoder) writeArgsOf(p *process.Process) {
	w, n := &e.w, 0
	m := w.Open("args", '[')
	for arg := range p.Args {
		w.Item(arg)
		n++
	}
	w.Close(m, ']')
	if n > 0 && !p.ArgsCut() {
		w.Key("args_count")
		w.Buf = strconv.AppendInt(w.Buf, int64(n), 10)
	}
	e.line = p.AppendCommandLine(e.line[:0])
	w.Some("command_line", record.Alias(e.line))
}

// writeHash writes the hash of the program.
func (e *Encoder) writeHash() {
	sum := e.process.Hash()
	if sum == nil {
		return
	}
	m := e.w.Open("hash", '{')
	e.w.Str("sha256", hex.EncodeToString(sum[:]))
	e.w.Close(m, '}')
}

// writePlace writes where the process is.
func (e *Encoder) writePlace() {
	w, c := &e.w, &e.process
	m := w.Open("container", '{')
	w.Some("id", c.Container())
	w.Close(m, '}')
	m = w.Open("systemd", '{')
	w.Some("unit", c.Unit())
	w.Close(m, '}')
}

// writeTags writes the keys of the rules and the labels of the process, each once.
func (e *Encoder) writeTags() {
	w := &e.w
	m := w.Open("tags", '[')
	for _, key := range e.tags {
		w.Item(key)
	}
	for label := range e.process.Labels {
		if !slices.Contains(e.tags, label) {
			w.Item(label)
		}
	}
	w.Close(m, ']')
}

// writeEntityID writes what identifies a process among those of all hosts and times: the host and the event of its
// exec. Where one of them is not known there is none.
func (e *Encoder) writeEntityID(p *process.Process) {
	if p == nil || e.opts.HostID == "" {
		return
	}
	at, ok := p.Exec()
	if !ok {
		return
	}
	e.line = append(append(e.line[:0], e.opts.HostID...), '/')
	e.line = record.AppendEventID(e.line, at.Millis, at.Serial)
	e.w.Str("entity_id", record.Alias(e.line))
}
