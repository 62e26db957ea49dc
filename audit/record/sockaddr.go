package record

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// PartKind says how a part of an address is to be shown.
type PartKind uint8

const (
	// PartNumber: Number.
	PartNumber PartKind = iota
	// PartIP: Bytes are an address of 4 or 16 bytes.
	PartIP
	// PartText: Bytes are text: a path, a name.
	PartText
	// PartBytes: Bytes are a hardware address or the like, to be shown in hex.
	PartBytes
)

// Part is a piece of an address under a name.
type Part struct {
	Name   string
	Kind   PartKind
	Number int64
	Bytes  []byte
}

// maxParts is how many parts an address has at most.
const maxParts = 6

// Addr is a socket address. Its slices are of the bytes that Sockaddr returns.
//
// What is not there, because the address is another family's or is cut, is zero or
// nil here and is not among Parts.
type Addr struct {
	Family uint16
	Addr   []byte // inet: 4 bytes, inet6: 16; of no family: 4, where it may be one of IPv4
	Path   []byte // unix: the path; an abstract one begins with its NUL. nil for a socket without a name
	Port   uint32 // inet, inet6, vsock; of no family as Addr
	Scope  uint32 // inet6
	PID    uint32 // netlink: the port id, mostly a process's

	parts [maxParts]Part
	n     int
}

// Parts returns all that the address says, in the order of its structure; it is empty for
// a family that is not known.
func (a *Addr) Parts() []Part { return a.parts[:a.n] }

// field is where a part lies in an address, after linux/*.h.
type field struct {
	name     string
	at, size int // size 0: all that follows
	kind     fieldKind
}

type fieldKind uint8

const (
	number  fieldKind = iota // in the host's byte order
	signed                   // in the host's byte order, with a sign
	network                  // in network byte order
	ip
	path     // of a unix socket
	cstring  // up to a NUL
	callsign // AX.25: six shifted letters and a number
	raw
)

// layouts are the structures of the families: un.h, in.h, in6.h, ax25.h, ipx.h, atalk.h,
// netrom.h, atm.h, x25.h, rose.h, netlink.h, if_packet.h, llc.h, can.h, tipc.h, if_alg.h, nfc.h,
// vm_sockets.h, qrtr.h, if_xdp.h, mctp.h. The family stands in the first two bytes of all.
var layouts = [...][]field{
	unix.AF_UNIX:      {{"path", 2, 0, path}},
	unix.AF_INET:      {{"addr", 4, 4, ip}, {"port", 2, 2, network}},
	unix.AF_AX25:      {{"call", 2, 7, callsign}, {"digipeaters", 12, 4, signed}},
	unix.AF_IPX:       {{"port", 2, 2, network}, {"network", 4, 4, network}, {"node", 8, 6, raw}, {"protocol", 14, 1, number}},
	unix.AF_APPLETALK: {{"port", 2, 1, number}, {"network", 4, 2, network}, {"node", 6, 1, number}},
	unix.AF_NETROM:    {{"call", 2, 7, callsign}, {"digipeaters", 12, 4, signed}},
	unix.AF_ATMPVC:    {{"itf", 4, 2, signed}, {"vpi", 6, 2, signed}, {"vci", 8, 4, signed}},
	unix.AF_X25:       {{"addr", 2, 16, cstring}},
	unix.AF_INET6:     {{"addr", 8, 16, ip}, {"port", 2, 2, network}, {"flowinfo", 4, 4, network}, {"scope", 24, 4, number}},
	unix.AF_ROSE:      {{"addr", 2, 5, raw}, {"call", 7, 7, callsign}, {"digipeaters", 16, 4, signed}},
	unix.AF_NETLINK:   {{"pid", 4, 4, number}, {"groups", 8, 4, number}},
	unix.AF_PACKET: {{"protocol", 2, 2, network}, {"ifindex", 4, 4, signed}, {"hatype", 8, 2, number},
		{"pkttype", 10, 1, number}, {"halen", 11, 1, number}, {"hwaddr", 12, 8, raw}},
	unix.AF_LLC:     {{"hatype", 2, 2, number}, {"sap", 7, 1, number}, {"hwaddr", 8, 6, raw}},
	unix.AF_CAN:     {{"ifindex", 4, 4, signed}, {"addr", 8, 0, raw}},
	unix.AF_TIPC:    {{"addrtype", 2, 1, number}, {"scope", 3, 1, signed}, {"addr", 4, 12, raw}},
	unix.AF_ALG:     {{"alg_type", 2, 14, cstring}, {"alg_name", 24, 0, cstring}},
	unix.AF_NFC:     {{"device", 4, 4, number}, {"target", 8, 4, number}, {"protocol", 12, 4, number}},
	unix.AF_VSOCK:   {{"cid", 8, 4, number}, {"port", 4, 4, number}, {"flags", 12, 1, number}},
	unix.AF_QIPCRTR: {{"node", 4, 4, number}, {"port", 8, 4, number}},
	unix.AF_XDP:     {{"flags", 2, 2, number}, {"ifindex", 4, 4, number}, {"queue", 8, 4, number}, {"umem_fd", 12, 4, number}},
	unix.AF_MCTP:    {{"network", 4, 4, number}, {"addr", 8, 1, number}, {"message_type", 9, 1, number}, {"tag", 10, 1, number}},
}

// Sockaddr decodes the value of saddr=, the hex of a struct sockaddr as far as the program
// gave it (kernel/auditsc.c, __audit_sockaddr), into dst[:0]; raw is those bytes. ok is false
// when it is not hex or too short for a family, as it is where saddr is something else:
// saddr=10.0.0.1 of a NETFILTER_PKT. An address that is cut gives what is there. It
// allocates where dst is too small, and for the families of amateur radio.
func Sockaddr(dst, hex []byte) (a Addr, raw []byte, ok bool) {
	raw, ok = AppendUnhex(dst[:0], hex)
	if !ok || len(raw) < 2 {
		return a, raw, false
	}
	// The family is in the byte order of the host the record is from, and below 256.
	order := binary.ByteOrder(binary.LittleEndian)
	if raw[0] == 0 && raw[1] != 0 {
		order = binary.BigEndian
	}
	a.Family = order.Uint16(raw)
	shape := int(a.Family)
	if mayBeInet(raw) {
		shape = unix.AF_INET
	}
	if shape < len(layouts) {
		for i := range layouts[shape] {
			a.add(raw, &layouts[shape][i], order)
		}
	}
	a.fillUsual()
	return a, raw, true
}

// mayBeInet reports whether an address of no family says something as one of IPv4: sendto and sendmsg of UDP and of raw sockets take it for that, if
// it is as long (net/ipv4/udp.c, udp_sendmsg; net/ipv4/raw.c, raw_sendmsg). To connect it says nothing, and is zero mostly.
func mayBeInet(raw []byte) bool {
	return len(raw) >= unix.SizeofSockaddrInet4 && raw[0]|raw[1] == 0 && [6]byte(raw[2:8]) != [6]byte{}
}

// add adds the part f of the address if all of it is there; of a text or of bytes
// as much as there is.
func (a *Addr) add(addr []byte, f *field, order binary.ByteOrder) {
	end := len(addr)
	if f.size > 0 && end >= f.at+f.size {
		end = f.at + f.size
	} else if f.size > 0 && f.kind != cstring && f.kind != raw {
		return
	}
	if end <= f.at {
		return
	}

	v := addr[f.at:end:end]
	p := Part{Name: f.name}
	switch f.kind {
	case number, signed:
		p.Number = readInteger(v, order, f.kind == signed)
	case network:
		p.Number = readInteger(v, binary.BigEndian, false)
	case ip:
		p.Kind, p.Bytes = PartIP, v
	case path:
		p.Kind, p.Bytes = PartText, v
		if v[0] != 0 {
			p.Bytes = beforeNUL(v)
		}
	case cstring:
		p.Kind, p.Bytes = PartText, beforeNUL(v)
	case callsign:
		p.Kind, p.Bytes = PartText, appendCall(nil, v)
	default:
		p.Kind, p.Bytes = PartBytes, v
	}

	a.parts[a.n] = p
	a.n++
}

// fillUsual fills the fields of the usual families from the parts.
func (a *Addr) fillUsual() {
	switch a.Family {
	case unix.AF_UNSPEC, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_VSOCK:
	default:
		return
	}

	for i := range a.parts[:a.n] {
		switch p := &a.parts[i]; p.Name {
		case "addr":
			a.Addr = p.Bytes
		case "path":
			a.Path = p.Bytes
		case "port":
			a.Port = uint32(p.Number)
		case "scope":
			a.Scope = uint32(p.Number)
		case "pid":
			a.PID = uint32(p.Number)
		}
	}
}

// readInteger reads a number of 1, 2 or 4 bytes.
func readInteger(v []byte, order binary.ByteOrder, hasSign bool) (n int64) {
	switch len(v) {
	case 1:
		n = int64(v[0])
	case 2:
		n = int64(order.Uint16(v))
	default:
		n = int64(order.Uint32(v))
	}
	if hasSign {
		unused := 64 - 8*len(v)
		n = n << unused >> unused
	}
	return n
}

// beforeNUL returns v up to its first NUL: what programs leave after it is not part of
// the name.
func beforeNUL(v []byte) []byte {
	name, _, _ := bytes.Cut(v, []byte{0})
	return name
}

// appendCall appends a call sign, "N0CALL-1": six characters, blanks at the end, and the
// number of the station, each a bit to the left (linux/ax25.h).
func appendCall(dst, v []byte) []byte {
	for _, c := range v[:6] {
		dst = append(dst, c>>1)
	}
	dst = bytes.TrimRight(dst, " \x00")
	dst = append(dst, '-')
	return strconv.AppendUint(dst, uint64(v[6]>>1&15), 10)
}
