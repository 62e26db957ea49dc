package ecs

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// readExecve gives a record to those that put the arguments together, which say what they have no
// place for.
func (e *Encoder) readExecve(r *parsedRecord) {
	e.execve = true
	words := e.args.Add(r.Body)
	r.odd = r.odd || words || r.Twinned
}

// readSockaddr reads a socket address: family, and what it is made of under the names that
// auditbeat has for it (addr, port, flow, path) or package record. It adds saddr, all of it in
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
	if ok {
		e.putAddress(r, "family", familyName(a.Family))
		for _, p := range a.Parts() {
			e.putPart(r, a.Family, &p)
		}
	}
	if !ok || !isWhole(&a, raw) || bytes.ContainsAny(saddr, "abcdef") {
		e.putAddress(r, "saddr", record.Alias(saddr))
	}
}

// isWhole reports whether the fields of an address say all that its bytes do.
func isWhole(a *record.Addr, raw []byte) bool {
	if raw[0] == 0 {
		return false
	}
	switch a.Family {
	case unix.AF_UNIX:
		return bytes.IndexByte(raw[2:], 0) == len(raw)-3 && len(raw) > 3
	case unix.AF_INET:
		return len(raw) == 16 && [8]byte(raw[8:]) == [8]byte{}
	case unix.AF_INET6:
		return len(raw) == 28 && a.Scope == 0
	}
	return false
}

func (e *Encoder) putAddress(r *parsedRecord, name, val string) {
	k := e.known.keys.find(name)
	f := field{key: k, name: name, val: val, is: e.known.keys.infos[k].is, aside: k == keyPID} // a netlink address alone has a pid, no process's
	r.asides = r.asides || f.aside
	e.fields = append(e.fields, f)
}

// familyName returns the name of an address family, auditbeat's for those that it knows.
func familyName(n uint16) string {
	switch n {
	case unix.AF_INET:
		return "ipv4"
	case unix.AF_INET6:
		return "ipv6"
	case unix.AF_ALG: // which a rule of Elastic's asks for as auditbeat has it
		return "38"
	}
	return cmp.Or(record.FamilyName(n), strconv.Itoa(int(n)))
}

// putPart adds a part of an address. The name of an abstract unix socket, which begins with a NUL and
// may have more, stands after an @ (unix(7)).
func (e *Encoder) putPart(r *parsedRecord, family uint16, p *record.Part) {
	name, from := p.Name, len(e.text)
	switch p.Kind {
	case record.PartNumber:
		if family == unix.AF_INET6 && p.Number == 0 && name != "port" {
			return
		}
		if name == "flowinfo" {
			name = "flow"
		}
		e.text = strconv.AppendInt(e.text, p.Number, 10)
	case record.PartIP:
		ip, _ := netip.AddrFromSlice(p.Bytes)
		e.text = ip.Unmap().AppendTo(e.text)
	case record.PartText:
		if name == "path" && p.Bytes[0] == 0 {
			if len(p.Bytes) == 1 {
				return
			}
			e.text = append(e.text, '@')
			p.Bytes = p.Bytes[1:]
		}
		e.text = append(e.text, p.Bytes...)
	default:
		e.text = hex.AppendEncode(e.text, p.Bytes)
	}

	if len(e.text) > from {
		e.putAddress(r, name, record.Alias(e.text[from:]))
	}
}
