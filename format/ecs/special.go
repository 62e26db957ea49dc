package ecs

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"

	"audisp-relay/decode"
)

// readExecve gives a record to those that put the arguments together. Of its own fields
// there is only argc: what auparse makes of split arguments, or of one that is "", is
// nothing at all.
func (e *Encoder) readExecve(r *record) {
	e.execve = true
	e.args.Add(r.Body)
	r.odd = r.odd || r.Twinned
	s := decode.Scan(r.Body)
	for s.Next() {
		if !isArg(s.Key) || len(bytes.Trim(s.Gap, " ")) > 0 {
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
	rest := bytes.TrimLeft(key[1:], "0123456789")
	if len(rest) == len(key)-1 {
		return false
	}
	return len(rest) == 0 || string(rest) == "_len" || rest[0] == '[' && rest[len(rest)-1] == ']'
}

// Address families that aucoalesce names (linux/socket.h).
const (
	afUnix    = 1
	afInet    = 2
	afInet6   = 10
	afNetlink = 16
)

// readSockaddr reads a socket address as auparse's parseSockaddr does: family, and addr,
// port, flow or path. It adds saddr, all of it in hex, where these do not say all.
func (e *Encoder) readSockaddr(r *record) {
	var hex []byte
	s := decode.Scan(r.Body)
	for s.Next() {
		if string(s.Key) != "saddr" || hex != nil || len(s.Gap) > 0 {
			r.odd = true
			continue
		}
		hex = s.Value
	}
	r.odd = r.odd || len(s.Gap) > 0
	from := len(e.text)
	text, ok := decode.AppendUnhex(e.text, hex)
	e.text = text
	raw := text[from:]
	if hex == nil {
		return
	}
	put := func(key, val string) { e.fields = append(e.fields, field{key: key, val: val}) }
	if !ok || len(raw) < 2 {
		put("saddr", str(hex))
		return
	}
	// The family is in the order of the machine's bytes; auparse takes all for little endian.
	family := binary.LittleEndian.Uint16(raw)
	whole := false
	switch {
	case family == afUnix:
		put("family", "unix")
		whole = e.unixPath(raw, put)
	case family == afInet && len(raw) >= 8:
		put("family", "ipv4")
		put("addr", e.ip(netip.AddrFrom4([4]byte(raw[4:8]))))
		put("port", e.number(uint32(binary.BigEndian.Uint16(raw[2:]))))
		whole = len(raw) == 16 && [8]byte(raw[8:16]) == [8]byte{}
	case family == afInet6 && len(raw) >= 24:
		put("family", "ipv6")
		put("addr", e.ip(netip.AddrFrom16([16]byte(raw[8:24])).Unmap()))
		put("port", e.number(uint32(binary.BigEndian.Uint16(raw[2:]))))
		if flow := binary.BigEndian.Uint32(raw[4:]); flow > 0 {
			put("flow", e.number(flow))
		}
		whole = len(raw) == 28 && [4]byte(raw[24:28]) == [4]byte{}
	case family == afNetlink:
		put("family", "netlink")
	default:
		put("family", e.number(uint32(family)))
	}
	if !whole || bytes.ContainsAny(hex, "abcdef") {
		put("saddr", str(hex))
	}
}

// unixPath adds the path of a unix socket, up to its NUL; the name of an abstract one,
// which begins with a NUL and may have more, behind an @ (unix(7)).
func (e *Encoder) unixPath(raw []byte, put func(key, val string)) (whole bool) {
	path := raw[2:]
	if len(path) > 1 && path[0] == 0 {
		from := len(e.text)
		e.text = append(e.text, '@')
		e.text = append(e.text, path[1:]...)
		put("path", str(e.text[from:]))
		return false
	}
	end := bytes.IndexByte(path, 0)
	if end < 0 {
		end = len(path)
	}
	put("path", str(path[:end]))
	return end == len(path)-1
}

func (e *Encoder) ip(a netip.Addr) string {
	from := len(e.text)
	e.text = a.AppendTo(e.text)
	return str(e.text[from:])
}

func (e *Encoder) number(n uint32) string {
	from := len(e.text)
	e.text = strconv.AppendUint(e.text, uint64(n), 10)
	return str(e.text[from:])
}
