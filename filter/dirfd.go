package filter

import (
	"bytes"
	"strings"

	"audisp-relay/audit/record"
)

// What path_under comes to. Not sure is what neither holds nor does not: it lets the event
// through, under "not" as well.
const (
	isNot = iota
	isUnder
	notSure
)

var (
	argPatterns     = [4]pattern{newPattern("a0"), newPattern("a1"), newPattern("a2"), newPattern("a3")}
	nametypePattern = newPattern("nametype")
	resolvePattern  = newPattern("resolve")
)

// call is the system call that was looked at last: most are the same again.
type call struct {
	text  []byte // "c000003e syscall=257 " of the record
	known bool
	args  []int // that are descriptors of directories
}

// fromCwd reports whether a relative name in a PATH record starts from cwd. It does not if the system call was, or may
// have been, given the descriptor of a directory.
func (m *Matcher) fromCwd(path []byte) bool {
	if m.b.Recs[m.main].Type != record.TypeSyscall { // io_uring has no arguments
		return false
	}
	c := m.lookUpCall()
	args := c.args
	if len(args) == 2 { // of the old name and of the new one
		switch string(nametypePattern.find(path)) {
		case "CREATE":
			args = args[1:]
		case "NORMAL":
			args = args[:1]
		}
	}

	for _, n := range args {
		if !m.atCwd(n) {
			return false
		}
	}
	return c.known
}

// lookUpCall returns what is known of the event's system call.
func (m *Matcher) lookUpCall() *call {
	c := &m.call
	text := m.mainBody().text
	v := archPattern.findNear(text, &m.hints.arch)
	if v == nil {
		*c = call{}
		return c
	}
	text = text[m.hints.arch:]
	if n := len(c.text); n > 0 && len(text) >= n && string(text[:n]) == string(c.text) {
		return c
	}

	name := record.SyscallName(m.arch(), m.syscallNumber())
	*c = call{text: c.text[:0], known: name != "" && !strings.HasPrefix(name, "unknown"), args: record.DirFDs(name)}
	const is64 = 0x80000000                            // __AUDIT_ARCH_64BIT
	if name == "fanotify_mark" && m.arch()&is64 == 0 { // its mask takes two
		c.args = []int{record.NotRecorded}
	}

	const key = " syscall="
	if n := len(v) + len(key); len(text) > n && string(text[len(v):n]) == key {
		for n < len(text) && n < 64 && text[n] != ' ' {
			n++
		}
		if n < len(text) && text[n] == ' ' {
			c.text = append(c.text, text[:n+1]...)
		}
	}
	return c
}

// atCwd reports whether argument n is AT_FDCWD, which is an int.
func (m *Matcher) atCwd(n int) bool {
	if n == record.NotRecorded {
		return false
	}
	arg, _ := record.ParseHex(argPatterns[n].findNear(m.mainBody().text, &m.hints.args[n]))
	return int32(arg) == -100
}

// inRoot reports whether even absolute names count from a descriptor: openat2(2) with
// RESOLVE_IN_ROOT.
func (m *Matcher) inRoot() bool {
	v := m.findType(record.TypeOpenat2, &resolvePattern)
	hex, _ := bytes.CutPrefix(v, []byte("0x"))
	how, _ := record.ParseHex(hex)
	return len(hex) < len(v) && how&0x10 != 0
}
