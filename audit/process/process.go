// Package process keeps what a stream says of processes: which program each of them runs, with which
// arguments, and who started it. What it does not know for certain it does not say.
//
// A Table is fed with the records of the stream and asked by event, maybe much later: formats are
// made after the queue. So it knows, for a pid, the programs that it ran one after the other, and each
// from which event on.
package process

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"audisp-relay/audit/record"
)

// Moment is the place of an event in the stream of one host: its time in ms since 1970 and its serial.
type Moment struct {
	Millis int64
	Serial uint32
}

// notBefore reports whether m is at o or after it, by clock and by serial: after a boot, or when
// the clock was set back, these two disagree, and then nothing is certain.
func (m Moment) notBefore(o Moment) bool {
	return m.Millis >= o.Millis && !serialBefore(m.Serial, o.Serial)
}

// serialBefore compares serials, which may run over (kernel/audit.c, audit_serial).
func serialBefore(a, b uint32) bool { return int32(a-b) < 0 }

// source is what a Process was learnt from.
type source uint8

const (
	fromExec    source = iota + 1 // the event of a successful execve or execveat
	fromFork                      // a fork, and an event of the child: it runs what its parent ran
	fromCall                      // another system call, which names the program but no arguments
	fromProc                      // /proc, when the relay started
	ended                         // it has come to its end: nothing is known of the pid from here on
	unsureFork                    // a fork whose number counts only if the parent is in the host's pid namespace
	unsureClone                   // the same by clone3(2), of which no record has the flags: its parent may be another (CLONE_PARENT)
)

// isUnsure reports whether a process is known from a fork that no event of its own has confirmed.
func (s source) isUnsure() bool { return s == unsureFork || s == unsureClone }

// Process is one program in one process: from its exec, or from where it became known, up to the next
// one. What the methods return never changes, and any number of goroutines may share it.
type Process struct {
	// text is the path of the program, its comm, the path of the script that it interprets and its arguments, each with a
	// NUL after it: many strings would take more memory than they hold.
	text string

	// The table's: the program before in the process, and the neighbours in the order of eviction.
	prev, older, newer *Process

	// since is from when on it ran; both parts are the exec's own with fromExec.
	millis int64
	serial uint32
	// base is the serial from which on a loss puts it in doubt: of a fork that with which its parent began.
	base uint32

	// keyed are the labels that the exec's keys give, labels all that it has, once they are certain (state labelled).
	keyed, labels uint64

	// place is where the process is, nil as long as that is not known. Others may have the same.
	place *place
	// hash is that of the program, nil as long as it is not known. Others may have the same.
	hash *Hash

	// given is how far the kernel had come with its pids when this was known to be one of them, see reuse; 0 in a
	// stored stream.
	given int64

	pid, ppid int32
	exeLen    uint16
	// outcome is what the arguments do to labels: one more than its place in Table.outcomes, 0 as long as it is not found out.
	outcome uint16
	from    source
	cut     bool // the arguments are not all there
	state   uint16
}

// What the table notes in Process.state.
const (
	used      uint16 = 1 << iota // was asked for: it is kept longer
	hostPIDs                     // the process is in the host's pid namespace
	wondered                     // that was asked
	known                        // it ran when the relay started
	gone                         // is not in the table any more
	labelled                     // the labels are there
	moves                        // it has a child in another place
	noSession                    // was in no login session when it became this
	asRoot                       // was root's then
	cutOff                       // what the process ran before was there, and was dropped
)

// processSize is what a Process takes beside its text, with its place in a map.
const processSize = 112 + 24

// PID returns the process's number in the host's pid namespace.
func (p *Process) PID() int { return int(p.pid) }

// PPID returns the number that its parent had when it began; 0 where that is not known, or there is none.
func (p *Process) PPID() int {
	if p.from == unsureClone {
		return 0
	}
	return int(p.ppid)
}

// Exe returns the path of the program as the kernel gives it.
func (p *Process) Exe() string { return p.text[:p.exeLen] }

// Comm returns the command name that the process had, cut at 15 bytes by the kernel.
func (p *Process) Comm() string {
	comm, _, _ := strings.Cut(p.text[int(p.exeLen)+1:], "\x00")
	return comm
}

// Exec returns the event of the exec that began the program; ok is false where that was not seen.
func (p *Process) Exec() (at Moment, ok bool) { return p.at(), p.from == fromExec }

func (p *Process) at() Moment { return Moment{p.millis, p.serial} }

// Script returns the path of the script that the program interprets, as it was executed but absolute; "" where there is
// none, or that is not certain.
func (p *Process) Script() string {
	script, _, _ := strings.Cut(p.afterComm(), "\x00")
	return script
}

// afterComm returns the script and the arguments, each with a NUL after it.
func (p *Process) afterComm() string {
	rest := p.text[int(p.exeLen)+1:]
	return rest[strings.IndexByte(rest, 0)+1:]
}

// args returns the arguments, each with a NUL after it; "" where they are not known.
func (p *Process) args() string {
	rest := p.afterComm()
	return rest[strings.IndexByte(rest, 0)+1:]
}

// HasArgs reports whether the arguments are known, at least the first ones.
func (p *Process) HasArgs() bool { return p.args() != "" }

// ArgsCut reports whether arguments are missing at the end: at most 1 KiB of them is kept.
func (p *Process) ArgsCut() bool { return p.cut }

// Args yields the arguments that are known.
func (p *Process) Args(yield func(arg string) bool) {
	for rest := p.args(); rest != ""; {
		var arg string
		arg, rest, _ = strings.Cut(rest, "\x00")
		if !yield(arg) {
			return
		}
	}
}

// AppendArgs appends the arguments with blanks between them, nothing where they are not known.
func (p *Process) AppendArgs(dst []byte) []byte {
	first := true // the first one may be empty
	for arg := range p.Args {
		if !first {
			dst = append(dst, ' ')
		}
		dst, first = append(dst, arg...), false
	}
	return dst
}

// AppendCommandLine appends the arguments as AppendArg writes them, nothing where they are not known.
func (p *Process) AppendCommandLine(dst []byte) []byte {
	from := len(dst)
	for arg := range p.Args {
		dst = AppendArg(dst, from, arg)
	}
	return dst
}

// AppendArg appends one more argument to the command line that begins at dst[from]. Arguments have a blank
// between them. One with a blank, a control character, a quote or a backslash in it, and an empty one,
// stand in single quotes, and a single quote in it is written '\”, so that a POSIX shell's way of
// cutting words (sh(1), quoting) gives the arguments again.
func AppendArg[T string | []byte](dst []byte, from int, arg T) []byte {
	if len(dst) > from {
		dst = append(dst, ' ')
	}
	if !needsQuotes(arg) {
		return append(dst, arg...)
	}
	dst = append(dst, '\'')
	begin := 0
	for i := range len(arg) {
		if arg[i] == '\'' {
			dst = append(append(dst, arg[begin:i]...), `'\''`...)
			begin = i + 1
		}
	}
	return append(append(dst, arg[begin:]...), '\'')
}

func needsQuotes[T string | []byte](arg T) bool {
	text := []byte(arg)
	for i := record.PlainEnd(text, 0); i < len(text); i = record.PlainEnd(text, i+1) {
		if text[i] < utf8.RuneSelf {
			return true
		}
	}
	return len(text) == 0 || bytes.IndexByte(text, '\'') >= 0
}
