package json

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// findRecord returns the first record of a type, nil without one.
func (e *Encoder) findRecord(typ uint32) *parsedRecord {
	for i := range e.recs {
		if e.recs[i].typ == typ {
			return &e.recs[i]
		}
	}
	return nil
}

// onlyValue returns the value of the field if that is all of the record. Then, if it is regular
// too, it is shown in its place among the event's members and nowhere else.
func (r *parsedRecord) onlyValue(field string) (v []byte, ok bool) {
	b := r.body
	if len(b) <= len(field) || string(b[:len(field)]) != field || r.odd || r.twinned || len(r.tail) > 0 {
		return nil, false
	}
	return b[len(field):], true
}

// readCWD says whether a CWD record has to be shown among the other records.
func (e *Encoder) readCWD(r *parsedRecord) {
	v, ok := r.onlyValue("cwd=")
	r.elsewhere = ok && (quotedEnd(v, 0) == len(v) || string(v) == "(null)" || record.IsText(v))
}

// title is what the first PROCTITLE record of the event says. It is kept for the next event,
// which often has the same.
type title struct {
	value   []byte // of the field
	regular bool   // value is all of the record, and shown in its place
	null    bool   // the kernel had none
	text    []byte
	json    []byte // text as it was written, if there is nothing to encode
}

// readTitle decodes a PROCTITLE record, and says whether it has to be shown among the other records.
func (e *Encoder) readTitle(r *parsedRecord) {
	t := &e.title
	v, ok := r.onlyValue("proctitle=")
	if ok && t.regular && string(v) == string(t.value) {
		r.elsewhere = true
		return
	}
	text, regular := e.unquote(v)
	r.elsewhere = ok && (regular || string(v) == "(null)")
	if !r.elsewhere {
		v, _ = r.findValue("proctitle=")
		text, _ = e.unquote(v)
	}
	t.value, t.regular = append(t.value[:0], v...), r.elsewhere
	t.text, t.null = append(t.text[:0], text...), string(v) == "(null)"
	t.json = t.json[:0]
}

// readArgs puts the arguments together, and says of the records that have a place of their
// own, of some types only the first one, whether that is enough.
func (e *Encoder) readArgs() {
	if r := e.findRecord(record.TypeCWD); r != nil {
		e.readCWD(r)
	}
	if r := e.findRecord(record.TypeProctitle); r != nil {
		e.readTitle(r)
	}
	if r := e.findRecord(record.TypeEOE); r != nil {
		r.elsewhere = e.isBareEOE(r)
	}

	e.args.Reset()
	var execve *parsedRecord
	for i := range e.recs {
		if r := &e.recs[i]; r.typ == record.TypeExecve {
			e.args.Add(r.body)
			execve = r
		}
	}
	if execve != nil && e.args.Regular() && !execve.odd && !execve.twinned && len(execve.tail) == 0 {
		execve.elsewhere = true
	}
}

// isBareEOE reports whether a record is the EOE that the event's members let one expect, which
// is not shown: without fields, and with the blank that auditd leaves at its end in
// RAW streams only (in ENRICHED ones, and in frames of version 1, it trims the record).
func (e *Encoder) isBareEOE(r *parsedRecord) bool {
	tail := " "
	if e.auditd || e.head.kind == record.Ver1 {
		tail = ""
	}
	return !r.odd && !r.twinned && len(r.body) == 0 && string(r.tail) == tail
}

// findValue returns the value of the field "key=", which in a record that is shown in its
// place is all after it, and may stand anywhere in others.
func (r *parsedRecord) findValue(field string) (v []byte, ok bool) {
	if r.elsewhere {
		return r.body[len(field):], true
	}
	s := record.Scan(r.body)
	for s.Next() {
		if string(s.Key) == field[:len(field)-1] {
			return s.Value, true
		}
	}
	return nil, false
}

func (e *Encoder) appendCWD(dst []byte) []byte {
	r := e.findRecord(record.TypeCWD)
	if r == nil {
		return dst
	}
	v, ok := r.findValue("cwd=")
	if !ok {
		return dst
	}
	dst = append(dst, `,"cwd":`...)
	if !e.percent && quotedEnd(v, 0) == len(v) {
		return append(dst, v...)
	}
	if string(v) == "(null)" {
		return append(dst, "null"...)
	}
	text, _ := e.unquote(v)
	return e.appendString(dst, text)
}

// appendProctitle appends the title as the list of the arguments it was.
func (e *Encoder) appendProctitle(dst []byte) []byte {
	r := e.findRecord(record.TypeProctitle)
	if r == nil {
		return dst
	}
	if _, ok := r.findValue("proctitle="); !ok {
		return dst
	}
	t := &e.title
	if len(t.json) > 0 && !e.percent {
		return append(dst, t.json...)
	}

	from := len(dst)
	dst = append(dst, `,"proctitle":`...)
	if t.null {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for text, more := t.text, true; more; {
		var arg []byte
		arg, text, more = bytes.Cut(text, []byte{0})
		dst = append(e.appendString(dst, arg), ',')
	}
	dst[len(dst)-1] = ']'
	if e.bad == 0 {
		t.json = append(t.json[:0], dst[from:]...)
	}
	return dst
}

// appendArgs appends the arguments of an execve.
func (e *Encoder) appendArgs(dst []byte) []byte {
	if e.findRecord(record.TypeExecve) == nil {
		return dst
	}
	dst = append(dst, `,"args":[`...)
	for i := range e.args.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if text, state := e.args.Arg(i); state != record.ArgMissing {
			dst = e.appendString(dst, text)
		} else {
			dst = append(dst, "null"...)
		}
	}
	dst = append(dst, ']')

	if n, ok := e.args.Count(); ok {
		dst = strconv.AppendUint(append(dst, `,"argc":`...), uint64(n), 10)
	}
	if n := e.args.Missing(); n > 0 {
		dst = strconv.AppendInt(append(dst, `,"args_missing":`...), n, 10)
	}
	if n := e.args.Cut(); n > 0 {
		dst = strconv.AppendInt(append(dst, `,"args_cut":`...), int64(n), 10)
	}
	return dst
}

// appendSaddr appends what a socket address says, and then its bytes.
func (e *Encoder) appendSaddr(dst []byte, o *object, v []byte) []byte {
	addr, raw, ok := record.Sockaddr(e.saddr, v)
	if cap(raw) > cap(e.saddr) {
		e.saddr = raw[:0]
	}
	if ok {
		dst = append(dst, `,"family":`...)
		if name := record.FamilyName(addr.Family); name != "" {
			dst = appendWord(dst, name)
		} else {
			dst = strconv.AppendUint(dst, uint64(addr.Family), 10)
		}
		for _, p := range addr.Parts() {
			dst = e.appendPart(dst, &p)
		}
	}

	dst = e.appendString(append(dst, `,"saddr":`...), v)
	if e.auditd && !e.takeAddr(&addr, ok) {
		o.irregular = true
	}
	return dst
}

func (e *Encoder) appendPart(dst []byte, p *record.Part) []byte {
	dst = append(dst, ',', '"')
	if p.Kind == record.PartText && p.Name == "path" && len(p.Bytes) > 0 && p.Bytes[0] == 0 {
		dst = append(dst, `abstract":true,"path":`...)
		return e.appendString(dst, p.Bytes[1:])
	}
	dst = append(dst, p.Name...)
	dst = append(dst, '"', ':')
	switch p.Kind {
	case record.PartNumber:
		return strconv.AppendInt(dst, p.Number, 10)
	case record.PartText:
		return e.appendString(dst, p.Bytes)
	case record.PartIP:
		return append(appendIP(append(dst, '"'), p.Bytes), '"')
	}
	return append(hex.AppendEncode(append(dst, '"'), p.Bytes), '"')
}

func appendIP(dst, b []byte) []byte {
	ip, _ := netip.AddrFromSlice(b)
	return ip.AppendTo(dst)
}

// takeAddr takes the name of a socket address if it is as the rules say: auditd adds one for the families
// below (auparse, print_sockaddr), and none for others.
func (e *Encoder) takeAddr(a *record.Addr, ok bool) bool {
	if !ok {
		return true
	}
	t := append(e.scratch[:0], "{ saddr_fam="...)
	switch {
	case a.Family == unix.AF_UNIX && len(a.Path) > 0:
		path := a.Path
		t = append(t, "local path="...)
		if path[0] == 0 {
			path = path[1:]
		}
		t = append(t, path...)
	case a.Family == unix.AF_INET && len(a.Addr) == 4:
		t = appendIP(append(t, "inet laddr="...), a.Addr)
		t = strconv.AppendUint(append(t, " lport="...), uint64(a.Port), 10)
	case a.Family == unix.AF_INET6 && len(a.Addr) == 16:
		t = appendIP(append(t, "inet6 laddr="...), a.Addr)
		t = strconv.AppendUint(append(t, " lport="...), uint64(a.Port), 10)
	case a.Family == unix.AF_NETLINK && len(a.Parts()) > 0:
		t = strconv.AppendUint(append(t, "netlink nlnk-fam=16 nlnk-pid="...), uint64(a.PID), 10)
	default:
		return true
	}

	t = append(t, " }"...)
	e.scratch = t[:0]
	rest, is := e.names.at([]byte("saddr"))
	if !is || !bytes.HasPrefix(rest, t) {
		return false
	}
	e.names.step(rest[len(t):])
	return true
}
