package filter

import (
	"bytes"
	"slices"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

func loadTypes(m *Matcher, v *value) {
	for k := m.i; k < m.j && m.hasRoom(len(v.texts)); k++ {
		v.texts = append(v.texts, m.typeName(k))
	}
}

// hasRoom reports whether a list may grow.
func (m *Matcher) hasRoom(n int) bool {
	if n < maxList {
		return true
	}
	m.noteError(errLongList)
	return false
}

func loadRecovered(m *Matcher, v *value) {
	v.n = flagNumber(slices.ContainsFunc(m.b.Recs[m.i:m.j], func(r record.Record) bool { return r.Flags&record.FromLog != 0 }))
}

func loadIncomplete(m *Matcher, v *value) {
	v.n = flagNumber(m.b.Recs[m.j-1].Flags&record.Partial != 0)
}

var keyPattern = newPattern("key")

// loadKeys loads the keys of all records.
func loadKeys(m *Matcher, v *value) {
	for k := m.i; k < m.j; k++ {
		if closed(m.b.Recs[k].Type) || !m.hasRoom(len(v.texts)) {
			continue
		}
		p := &m.other
		if k == m.main {
			p = m.mainBody()
		} else {
			m.cutRecord(p, k)
		}
		m.addKeys(v, lastKey(m.b.Recs[k].Type, p.text))
	}
}

// lastKey returns the value of key= in the text of a record of some type. It is nearly always
// the last field.
func lastKey(typ uint32, text []byte) []byte {
	if n := len(text); n > 0 && text[n-1] == '"' {
		from := bytes.LastIndexByte(text[:n-1], '"')
		if prefix := " key="; from >= len(prefix) && string(text[from-len(prefix):from]) == prefix {
			return text[from:]
		}
	} else if null := " key=(null)"; n >= len(null) && string(text[n-len(null):]) == null {
		return nil
	}
	if typ == record.TypeSyscall {
		return keyPattern.find(text)
	}
	return keyPattern.findInRecord(typ, text)
}

// addKeys adds the keys of one key=. Several are separated by 0x01, and so in hex.
func (m *Matcher) addKeys(v *value, value []byte) {
	if value == nil || string(value) == "(null)" {
		return
	}
	all := m.text(record.Text, value)
	if len(value) > 0 && value[0] == '"' {
		v.texts = append(v.texts, all)
		return
	}
	for m.hasRoom(len(v.texts)) {
		one, rest, more := strings.Cut(all, string(rune(record.KeySeparator)))
		v.texts = append(v.texts, one)
		if !more {
			return
		}
		all = rest
	}
}

// outcome is 1 when the event says that it was a success, -1 when a failure, 0 when it
// says nothing.
func (m *Matcher) outcome() int {
	v := m.find(&successPattern, &m.hints.success)
	if v == nil {
		v = m.find(&resPattern, &m.hints.res)
	}
	switch s := m.text(record.Plain, v); s {
	case "yes", "success", "1":
		return 1
	case "no", "failed", "0":
		return -1
	}
	return 0
}

var (
	successPattern = newPattern("success")
	resPattern     = newPattern("res")
	exitPattern    = newPattern("exit")
	archPattern    = newPattern("arch")
	syscallPattern = newPattern("syscall")
	cwdPattern     = newPattern("cwd")
	namePattern    = newPattern("name")
	exePattern     = newPattern("exe")
	addrPattern    = newPattern("addr")
	saddrPattern   = newPattern("saddr")
	titlePattern   = newPattern("proctitle")
)

func loadErrno(m *Matcher, v *value) {
	if n, ok := parseInt(m.find(&exitPattern, &m.hints.exit)); ok && n < 0 && m.outcome() < 0 {
		v.s = record.ErrnoNameOn(m.arch(), -n)
	}
}

// arch returns the AUDIT_ARCH_ value of the event, 0 without.
func (m *Matcher) arch() uint32 {
	code, _ := record.ParseArch(m.find(&archPattern, &m.hints.arch))
	return code
}

func loadArch(m *Matcher, v *value) {
	if value := m.find(&archPattern, &m.hints.arch); value != nil {
		if v.s = record.ArchName(m.arch()); v.s == "" {
			v.s = m.holdText(append(append(m.scratch, "0x"...), value...))
		}
	}
}

// syscallNumber returns the number of the system call, -1 when there is none: 0 is one.
func (m *Matcher) syscallNumber() int64 {
	if n, ok := parseInt(m.find(&syscallPattern, &m.hints.syscall)); ok {
		return n
	}
	return -1
}

func loadSyscall(m *Matcher, v *value) {
	if n := m.syscallNumber(); n >= 0 {
		v.s = record.SyscallName(m.arch(), n)
	}
}

// syscallArg returns an argument of the system call as the signed number it is for a
// program of 64 bits: AT_FDCWD is -100.
func (m *Matcher) syscallArg(p *pattern, hint *int) int64 {
	if m.b.Recs[m.main].Type != record.TypeSyscall {
		return 0
	}
	n, _ := record.ParseHex(p.findNear(m.mainBody().text, hint))
	return int64(n)
}

// idName returns the name of an id: the one that auditd added, else what Users
// knows. An id that is not set has none.
func (m *Matcher) idName(p *pattern, hint *int, group bool) string {
	v, in := m.findIn(p, hint)
	n := parseID(v)
	if n == unset {
		return ""
	}
	if in.twins {
		r := record.Parsed{Names: record.TrimEnd(in.names)}
		name, _ := r.Name(nil, []byte(p.key))
		return record.Alias(name)
	}
	switch {
	case m.Users == nil || !users.Local(m.b.Node(m.main), m.Local):
		return ""
	case group:
		return m.Users.Group(uint32(n))
	}
	return m.Users.User(uint32(n))
}

// findMessage returns the value of a key in the first msg='...' that has it.
func (m *Matcher) findMessage(p *pattern) []byte {
	for k := m.i; k < m.j; k++ {
		if ofSyscall(m.b.Recs[k].Type) {
			continue
		}
		var r body
		m.cutRecord(&r, k)
		if v := p.findInText(r.msg, false); v != nil {
			return v
		}
	}
	return nil
}
