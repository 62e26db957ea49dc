package human

import (
	"encoding/hex"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// addObject adds what the event is about, if that is what record k says.
func (p *Printer) addObject(k int) bool {
	rec := &p.b.Recs[k]
	if !rec.HasID() {
		return false
	}

	r := record.Parse(p.b, k)
	switch rec.Type {
	case record.TypePath:
		if string(find(&r, "nametype")) == "PARENT" {
			return false
		}
		p.addPath(&r)
	case record.TypeSockaddr:
		p.addSockaddr(&r)
	case record.TypeObjPID:
		p.addTarget(&r, k)
	default:
		return false
	}
	return true
}

// addDirectories adds where it happened: the directories of what was made or deleted, the one that relative names
// start from, and descriptors that they start from instead.
func (p *Printer) addDirectories() {
	for k := p.i; k < p.j; k++ {
		rec := &p.b.Recs[k]
		if !rec.HasID() || k == p.head {
			continue
		}
		r := record.Parse(p.b, k)
		switch {
		case rec.Type == record.TypeCWD:
			p.addValue("cwd=", p.textOf(record.Text, find(&r, "cwd")))
		case rec.Type == record.TypePath && string(find(&r, "nametype")) == "PARENT":
			p.addPath(&r)
		}
	}
	if p.call >= 0 && p.hasRelativeName() {
		p.addDirFDs()
	}
}

// hasRelativeName reports whether a name of a file depends on a directory.
func (p *Printer) hasRelativeName() bool {
	for k := p.i; k < p.j; k++ {
		if rec := &p.b.Recs[k]; rec.Type != record.TypePath || !rec.HasID() {
			continue
		}
		r := record.Parse(p.b, k)
		name := find(&r, "name")
		if name == nil || string(name) == "(null)" {
			continue
		}
		if text := p.textOf(record.Text, name); len(text) == 0 || text[0] != '/' {
			return true
		}
	}
	return false
}

// addDirFDs adds the descriptors of directories that names count from, rather than from cwd=. The kernel
// takes a descriptor as an int, and -100 for AT_FDCWD.
func (p *Printer) addDirFDs() {
	r := record.Parse(p.b, p.call)
	for _, arg := range record.DirFDs(p.callName(&r)) {
		if arg >= record.NotRecorded {
			p.add("dirfd=", "?", "")
			continue
		}
		n, ok := record.ParseHex(find(&r, [...]string{"a0", "a1", "a2", "a3"}[arg]))
		if ok && int32(n) != -100 {
			p.begin("dirfd=")
			p.text = strconv.AppendInt(p.text, int64(int32(n)), 10)
			p.end("")
		}
	}
}

// addPath adds a file and what became of it.
func (p *Printer) addPath(r *record.Parsed) {
	label := "path="
	switch string(find(r, "nametype")) {
	case "CREATE":
		label = "create="
	case "DELETE":
		label = "delete="
	case "PARENT":
		label = "parent="
	}

	p.begin(label)
	if name := find(r, "name"); name != nil && string(name) != "(null)" {
		p.text = appendWord(p.text, p.textOf(record.Text, name))
	} else if inode := find(r, "inode"); inode == nil {
		p.text = append(p.text, '?') // a name that is one has quotes
	} else {
		p.text = append(p.text, "inode "...)
		p.text = appendWord(p.text, inode)
		p.text = append(p.text, " on "...)
		p.text = appendWord(p.text, find(r, "dev"))
	}
	p.end(fileColour)
}

// addSockaddr adds an address, as it stands to the call.
func (p *Printer) addSockaddr(r *record.Parsed) {
	label := "addr="
	if p.call >= 0 {
		if place := p.callVerb().place; place != "" {
			label = place
		}
	}
	p.begin(label)
	value := find(r, "saddr")
	if !p.appendAddress(value) {
		p.text = appendWord(p.text, value)
	}
	p.end(netColour)
}

// appendAddress appends a socket address as people write it; false, and nothing, where it
// cannot be read.
func (p *Printer) appendAddress(value []byte) bool {
	a, raw, ok := record.Sockaddr(p.word, value)
	p.word = raw
	if !ok {
		return false
	}

	switch ip, isIP := netip.AddrFromSlice(a.Addr); {
	case isIP && a.Family != unix.AF_UNSPEC:
		p.text = netip.AddrPortFrom(ip, uint16(a.Port)).AppendTo(p.text)
	case len(a.Path) > 0 && a.Path[0] == 0: // abstract: written as ss(8) does
		p.text = append(p.text, "unix "...)
		p.text = appendWord(append(p.text, '@'), a.Path[1:])
	case a.Path != nil:
		p.text = appendWord(append(p.text, "unix "...), a.Path)
	default:
		p.appendParts(&a)
	}
	return true
}

// appendParts appends an address of another family: its name and what it consists of.
func (p *Printer) appendParts(a *record.Addr) {
	if name := record.FamilyName(a.Family); name != "" {
		p.text = append(p.text, name...)
	} else {
		p.appendNumber("family ", int64(a.Family))
	}

	for _, part := range a.Parts() {
		p.text = append(append(append(p.text, ' '), part.Name...), '=')
		switch part.Kind {
		case record.PartNumber:
			p.text = strconv.AppendInt(p.text, part.Number, 10)
		case record.PartText:
			p.text = appendWord(p.text, part.Bytes)
		default:
			p.text = hex.AppendEncode(p.text, part.Bytes)
		}
	}
}

// addTarget adds the process that a signal or the like is for.
func (p *Printer) addTarget(r *record.Parsed, k int) {
	p.begin("target=")
	p.text = appendWord(p.text, p.textOf(record.Text, find(r, "ocomm")))
	p.text = append(p.text, " pid="...)
	p.text = appendWord(p.text, find(r, "opid"))
	if ouid := find(r, "ouid"); ouid != nil {
		p.text = p.appendID(append(p.text, " uid="...), r, k, []byte("ouid"), ouid)
	}
	if oauid := find(r, "oauid"); oauid != nil && !record.IsUnset(oauid) {
		p.text = p.appendID(append(p.text, " auid="...), r, k, []byte("oauid"), oauid)
	}
	p.end("")
}

// addCall adds the name of a call that the verb does not say, and its arguments where
// nothing else says what the call was for.
func (p *Printer) addCall(objects int) {
	r := record.Parse(p.b, p.call)
	v := p.callVerb()
	if p.head >= 0 {
		p.addValue("call=", []byte(v.word))
	}

	switch name := p.callName(&r); {
	case name == "kill" || name == "tkill" || name == "tgkill":
		p.addSignal(&r, name)
	case objects == 0 && p.args.Len() == 0 && p.head < 0:
		p.begin("args=")
		for i, key := range [4]string{"a0", "a1", "a2", "a3"} {
			if i > 0 {
				p.text = append(p.text, ',')
			}
			p.text = appendWord(p.text, find(&r, key))
		}
		p.end("")
	}
}

func (p *Printer) addSignal(r *record.Parsed, call string) {
	key := "a1"
	if call == "tgkill" {
		key = "a2"
	}
	value := find(r, key)
	n, ok := record.ParseHex(value)
	if !ok {
		p.addValue("signal=", value)
		return
	}
	number := uint32(n) // the kernel takes an int, whatever is in the upper half of the register
	name := unix.SignalName(unix.Signal(min(number, 1<<10)))
	if name == "" { // a real-time signal: a number as kill(1) takes it
		name = strconv.FormatInt(int64(int32(number)), 10)
	}
	p.addValue("signal=", []byte(name))
}
