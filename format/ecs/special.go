package ecs

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// readExecve gives a record to those that put the arguments together. Of its own fields
// there is only argc: what auparse makes of split arguments, or of one that is "", is
// nothing at all.
func (e *Encoder) readExecve(r *parsedRecord) {
	e.execve = true
	e.args.Add(r.Body)
	r.odd = r.odd || r.Twinned
	s := record.Scan(r.Body)
	for s.Next() {
		if !isArg(s.Key) || string(s.Gap) != " " && len(bytes.Trim(s.Gap, " ")) > 0 {
			r.odd = true
		}
	}
	r.odd = r.odd || len(bytes.Trim(s.Gap, " ")) > 0
}

// isArg reports whether a field of EXECVE is one that the kernel writes: argc, a1, a1_len,
// a1[0] (kernel/auditsc.c, audit_log_execve_info).
func isArg(key []byte) bool {
	if string(key) == "argc" {
		return true
	}
	if len(key) < 2 || key[0] != 'a' {
		return false
	}
	n := 1
	for n < len(key) && key[n]-'0' < 10 {
		n++
	}
	rest := key[n:]
	if n == 1 {
		return false
	}
	return len(rest) == 0 || string(rest) == "_len" || rest[0] == '[' && rest[len(rest)-1] == ']'
}

// readSockaddr reads a socket address: family, and what it is made of under the names that
// auparse has for it (addr, port, flow, path) or package decode. It adds saddr, all of it in
// hex, where these do not say all.
func (e *Encoder) readSockaddr(r *parsedRecord) {
	var saddr []byte
	s := record.Scan(r.Body)
	for s.Next() {
		if string(s.Key) != "saddr" || saddr != nil || len(s.Gap) > 0 {
			r.odd = true
			continue
		}
		saddr = s.Value
	}
	r.odd = r.odd || len(s.Gap) > 0
	if saddr == nil {
		return
	}
	a, raw, ok := record.Sockaddr(e.text[len(e.text):], saddr)
	e.text = append(e.text, raw...) // the same bytes, if there was room for them
	if !ok {
		e.putAddress("saddr", record.Alias(saddr))
		return
	}
	e.putAddress("family", e.family(a.Family))
	whole := false
	switch a.Family {
	case unix.AF_UNIX:
		whole = e.putPath(raw[2:])
	case unix.AF_INET, unix.AF_INET6:
		whole = e.putIP(&a, raw)
	default:
		e.putParts(&a)
	}
	if !whole || raw[0] == 0 || bytes.ContainsAny(saddr, "abcdef") {
		e.putAddress("saddr", record.Alias(saddr))
	}
}

func (e *Encoder) putAddress(key, val string) {
	// A netlink address alone has a pid that is no process's.
	e.fields = append(e.fields, field{key: key, val: val, aside: key == "pid"})
}

// family returns the name of an address family, auparse's for those that it knows.
func (e *Encoder) family(n uint16) string {
	switch n {
	case unix.AF_INET:
		return "ipv4"
	case unix.AF_INET6:
		return "ipv6"
	}
	if name := record.FamilyName(n); name != "" {
		return name
	}
	return e.number(uint32(n))
}

// putIP adds address and port as far as they are there. whole says that there is nothing else.
func (e *Encoder) putIP(a *record.Addr, raw []byte) (whole bool) {
	if ip, ok := netip.AddrFromSlice(a.Addr); ok {
		e.putAddress("addr", e.ip(ip.Unmap()))
	}
	if len(raw) >= 4 {
		e.putAddress("port", e.number(a.Port))
	}
	if a.FlowInfo > 0 {
		e.putAddress("flow", e.number(a.FlowInfo))
	}
	if a.Scope > 0 {
		e.putAddress("scope", e.number(a.Scope))
	}
	if a.Family == unix.AF_INET6 {
		return len(raw) == 28 && a.Scope == 0
	}
	return len(raw) == 16 && [8]byte(raw[8:16]) == [8]byte{}
}

// putPath adds the path of a unix socket, up to its NUL; the name of an abstract one,
// which begins with a NUL and may have more, behind an @ (unix(7)).
func (e *Encoder) putPath(path []byte) (whole bool) {
	if len(path) > 1 && path[0] == 0 {
		from := len(e.text)
		e.text = append(e.text, '@')
		e.text = append(e.text, path[1:]...)
		e.putAddress("path", record.Alias(e.text[from:]))
		return false
	}
	end := bytes.IndexByte(path, 0)
	if end < 0 {
		end = len(path)
	}
	if end > 0 {
		e.putAddress("path", record.Alias(path[:end]))
	}
	return end > 0 && end == len(path)-1
}

// putParts adds what an address of another family is made of.
func (e *Encoder) putParts(a *record.Addr) {
	for _, p := range a.Parts() {
		val := ""
		switch p.Kind {
		case record.PartNumber:
			from := len(e.text)
			e.text = strconv.AppendInt(e.text, p.Number, 10)
			val = record.Alias(e.text[from:])
		case record.PartText:
			val = record.Alias(p.Bytes)
		default:
			from := len(e.text)
			e.text = hex.AppendEncode(e.text, p.Bytes)
			val = record.Alias(e.text[from:])
		}
		if val != "" {
			e.putAddress(p.Name, val)
		}
	}
}

func (e *Encoder) ip(a netip.Addr) string {
	from := len(e.text)
	e.text = a.AppendTo(e.text)
	return record.Alias(e.text[from:])
}

func (e *Encoder) number(n uint32) string {
	from := len(e.text)
	e.text = strconv.AppendUint(e.text, uint64(n), 10)
	return record.Alias(e.text[from:])
}
