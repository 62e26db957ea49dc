package filter

import (
	"bytes"
	"math"
	"net/netip"
	"strings"

	"audisp-relay/audit/record"
)

// findType returns the value of a key in the first record of a type.
func (m *Matcher) findType(typ uint32, p *pattern) []byte {
	for k := m.i; k < m.j; k++ {
		if m.b.Recs[k].Type == typ {
			var r body
			m.cutRecord(&r, k)
			if v := p.find(r.text); v != nil {
				return v
			}
		}
	}
	return nil
}

// loadAll loads the text of a key from all PATH records.
func (m *Matcher) loadAll(v *value, p *pattern) {
	for k := m.i; k < m.j; k++ {
		if m.b.Recs[k].Type != record.TypePath {
			continue
		}
		var r body
		m.cutRecord(&r, k)
		if s := p.find(r.text); s != nil && string(s) != "(null)" {
			if !m.hasRoom(len(v.texts)) {
				return
			}
			v.texts = append(v.texts, m.text(p.class, s))
		}
	}
}

// loadAllNumbers loads the number of a key from all records of a system call.
func (m *Matcher) loadAllNumbers(v *value, p *pattern) {
	for k := m.i; k < m.j; k++ {
		if !ofSyscall(m.b.Recs[k].Type) {
			continue
		}
		var r body
		m.cutRecord(&r, k)
		s := p.findInRecord(m.b.Recs[k].Type, r.text)
		if s == nil || !m.hasRoom(len(v.nums)) {
			continue
		}
		if p.class == record.UserID {
			v.nums = append(v.nums, parseID(s))
		} else if n, ok := parseInt(s); ok {
			v.nums = append(v.nums, n)
		}
	}
}

func (m *Matcher) cwd() string {
	v := m.findType(record.TypeCWD, &cwdPattern)
	if v == nil {
		v = m.find(&cwdPattern, &m.hints.cwd)
	}
	return m.text(record.Text, v)
}

func loadProctitle(m *Matcher, v *value) {
	v.s = m.text(record.Text, m.findType(record.TypeProctitle, &titlePattern))
	if strings.IndexByte(v.s, 0) < 0 {
		return
	}

	from := len(m.scratch)
	v.s = m.holdText(append(m.scratch, v.s...)) // a copy, because the record is not ours to change
	for i, c := range m.scratch[from:] {
		if c == 0 {
			m.scratch[from+i] = ' '
		}
	}
}

func (m *Matcher) readArgs() {
	if m.argsOf == m.epoch { // many rules ask for one argument each
		return
	}
	m.argsOf = m.epoch
	m.args.Reset()
	for k := m.i; k < m.j; k++ {
		if m.b.Recs[k].Type == record.TypeExecve {
			r := record.Parse(m.b, k)
			m.args.Add(r.Body)
		}
	}
}

// loadArgs loads all arguments. It has no limit, since a program's caller chooses how many there are, and an error
// would be a way around every rule. An event, at most 1 MiB, bounds them; the memory for very many is released when
// the next event is read.
func loadArgs(m *Matcher, v *value) {
	m.readArgs()
	if cap(v.texts) > maxList {
		v.texts = nil
	}
	for i := range m.args.Len() {
		arg, _ := m.args.Arg(i)
		v.texts = append(v.texts, record.Alias(arg))
	}
}

// arg returns argument i of an execve, from the end when i is negative; "" when there is none.
func (m *Matcher) arg(i int) string {
	m.readArgs()
	if i < 0 {
		arg, _ := m.args.Arg(i + m.args.Len())
		return record.Alias(arg)
	}
	arg, _ := m.args.Numbered(uint32(min(int64(i), math.MaxUint32)))
	return record.Alias(arg)
}

func loadArgc(m *Matcher, v *value) {
	m.readArgs()
	n, _ := m.args.Count()
	v.n = int64(n)
}

// sockaddr returns the address of the first SOCKADDR record.
func (m *Matcher) sockaddr() (a record.Addr, ok bool) {
	v := m.findType(record.TypeSockaddr, &saddrPattern)
	if v == nil {
		return a, false
	}
	a, m.addr, ok = record.Sockaddr(m.addr, v)
	return a, ok
}

func loadFamily(m *Matcher, v *value) {
	if a, ok := m.sockaddr(); ok {
		v.s = record.FamilyName(a.Family)
	}
}

func loadPort(m *Matcher, v *value) {
	if a, ok := m.sockaddr(); ok {
		v.n = int64(a.Port)
	}
}

// loadAddr loads the address of the SOCKADDR record, of a unix socket its path; else
// addr= as a program says it, an address of IPv6 in its usual form.
func loadAddr(m *Matcher, v *value) {
	a, ok := m.sockaddr()
	if !ok {
		v.s = m.text(record.Plain, m.find(&addrPattern, &m.hints.addr))
		if ip, ok := readIPv6(v.s); ok {
			v.s = m.holdText(ip.AppendTo(m.scratch))
		}
		return
	}
	switch ip, isIP := netip.AddrFromSlice(a.Addr); {
	case len(a.Path) > 0 && a.Path[0] == 0: // abstract: written as ss(8) does
		v.s = m.holdText(append(append(m.scratch, '@'), a.Path[1:]...))
	case len(a.Path) > 0:
		v.s = record.Alias(a.Path)
	case isIP: // any program may write an address of IPv4 as one of IPv6, and no list of addresses has it so
		v.s = m.holdText(ip.Unmap().AppendTo(m.scratch))
	}
}

// readIPv6 returns the address in an IPv6 text; for a mapped address that is the IPv4 one. ok is false for an address
// written as IPv4, which has one form only.
func readIPv6(s string) (ip netip.Addr, ok bool) {
	if len(s) > maxAddr || strings.IndexByte(s, ':') < 0 {
		return ip, false
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap(), err == nil
}

// usualAddr returns an IPv6 address in the form in which loadAddr gives addresses, and any other text unchanged.
func usualAddr(s string) string {
	if ip, ok := readIPv6(s); ok {
		return ip.String()
	}
	return s
}

// anyField returns the text of the first field of that name in any record, decoded:
// of each record first its own fields, then those in msg='...'.
func (m *Matcher) anyField(key string) string {
	if key == "seresult" || key == "seperms" {
		return m.verdictField(key)
	}
	if !m.mayHave(key) {
		return ""
	}

	for k := m.i; k < m.j; k++ {
		typ := m.b.Recs[k].Type
		r := body{text: record.Parse(m.b, k).Body}
		if !ofSyscall(typ) {
			m.cutRecord(&r, k)
		}
		p := pattern{key: key, class: record.ClassIn(typ, []byte(key))}
		for _, text := range [2][]byte{r.text, r.msg} {
			if v := p.findInText(text, typ == record.TypeLogin); v != nil {
				return m.text(p.class, v)
			}
		}
	}
	return ""
}

// nameEnds are the last two bytes of all that may be names of fields in an event: read once, for all that ask for field(NAME). Most
// events have few of the names that rules ask for, and to cut up the records for each takes a microsecond and more.
type nameEnds struct {
	epoch uint64
	bits  [64]uint64 // by pairOf
}

// pairOf returns a number below 4096 for two bytes. Some others have the same.
func pairOf(a, b byte) uint32 { return uint32(a&63)<<6 | uint32(b&63) }

// mayHave reports whether a field of that name may be in the event.
func (m *Matcher) mayHave(key string) bool {
	n := &m.nameEnds
	if n.epoch != m.epoch {
		n.epoch, n.bits = m.epoch, [64]uint64{}
		for k := m.i; k < m.j; k++ {
			n.add(m.b.Bytes(k))
		}
	}
	return len(key) < 2 || hasBit(n.bits[:], pairOf(key[len(key)-2], key[len(key)-1]))
}

// add adds the names in a record. The other names that record.LoginKey knows for some fields end with the same two bytes.
func (n *nameEnds) add(text []byte) {
	for at := 0; ; at++ {
		k := bytes.IndexByte(text[at:], '=')
		if k < 0 {
			return
		}
		if at += k; at >= 2 {
			setBit(n.bits[:], pairOf(text[at-2], text[at-1]))
		}
	}
}
