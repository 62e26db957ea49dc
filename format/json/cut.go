package json

import (
	"bytes"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// parsedRecord is one record of the event, cut in its parts.
type parsedRecord struct {
	kind *recordType
	typ  uint32
	// flags are record.Record's.
	flags uint8
	// odd: the header is not as the event's members tell it, so the record has "raw".
	odd bool
	// elsewhere: the record is shown in a place of its own (paths, cwd ...), or is the main
	// one, and not in other_records.
	elsewhere bool
	twinned   bool
	body      []byte
	names     []byte // behind the separator
	tail      []byte // blanks and NULs behind all of it
	text      []byte // all of the record
}

// header is what the records of an event have in common.
type header struct {
	kind   record.Kind
	node   []byte
	id     []byte // empty when the event has none
	millis int64
	serial uint32
	// prefix and middle are the bytes in front of and behind the type's name:
	// "node=NAME type=" and " msg=audit(SEC.MS:SERIAL)"; without a type, as in version 0,
	// all is middle.
	prefix, middle []byte
}

// cut fills e.head and e.recs.
func (e *Encoder) cut(b *record.Batch, i, j int) {
	e.readHead(b, i)
	e.recs = e.recs[:0]
	e.auditd, e.main = false, -1
	syscall := false
	for ; i < j; i++ {
		n := len(e.recs)
		if n < cap(e.recs) {
			e.recs = e.recs[:n+1]
		} else {
			e.recs = append(e.recs, parsedRecord{})
		}
		r := &e.recs[n]
		e.cutRecord(r, b, i)
		e.auditd = e.auditd || r.twinned
		switch {
		case r.typ == record.TypeSyscall && !syscall:
			e.main, syscall = n, true
		case e.main < 0 && !r.kind.placed:
			e.main = n
		}
		r.elsewhere = r.typ == typePath || r.typ == typeSockaddr
	}
	e.lookup = e.opts.Users != nil && !e.auditd && users.Local(e.head.node, e.opts.Local)
	if e.main >= 0 {
		e.recs[e.main].elsewhere = true
	}
}

// readHead takes the header that all records of the event should have from the first.
// One that is not as it should be leaves the event's members to tell what can be read of
// it, and prefix and middle empty: then every record is odd.
func (e *Encoder) readHead(b *record.Batch, i int) {
	h, rec, text := &e.head, &b.Recs[i], b.Bytes(i)
	*h = header{kind: rec.Kind, node: b.Node(i), millis: rec.Millis, serial: rec.Serial}
	if !rec.HasID() {
		return
	}
	from, to := 0, 0 // the type's name
	if h.kind != record.Ver0 {
		if rec.NodeLen > 0 {
			from = len("node= ") + int(rec.NodeLen)
		}
		from += len("type=")
		to = tokenEnd(text, min(from, len(text))) // it may be another than record_types has
	} else if len(h.node) > 0 {
		to = len(text)
	}
	open := to
	if h.kind != record.Ver0 {
		open += len(" msg=")
	}
	const audit = "audit("
	if open+len(audit) <= len(text) && string(text[open:open+len(audit)]) == audit {
		open += len(audit)
		if n := bytes.IndexByte(text[open:], ')'); n >= 0 {
			h.id = text[open : open+n]
			h.prefix, h.middle = text[:from], text[to:open+n+1]
			if h.isRegular() {
				return
			}
		}
	}
	h.prefix, h.middle, h.id = nil, nil, record.Parse(b, i).ID
}

// isRegular reports whether prefix and middle are what the event's members say.
func (h *header) isRegular() bool {
	if h.kind == record.Ver0 {
		return true
	}
	p := h.prefix[:len(h.prefix)-len("type=")]
	if len(h.node) > 0 {
		if string(p[:len("node=")]) != "node=" || p[len(p)-1] != ' ' {
			return false
		}
	} else if len(p) > 0 {
		return false
	}
	return string(h.prefix[len(p):]) == "type=" && string(h.middle[:len(" msg=")]) == " msg="
}

// cutRecord cuts record i of b.
func (e *Encoder) cutRecord(r *parsedRecord, b *record.Batch, i int) {
	rec := &b.Recs[i]
	r.typ, r.flags, r.text = rec.Type, rec.Flags, b.Bytes(i)
	r.kind = e.typeOf(b, i)
	r.odd, r.twinned, r.body, r.names, r.tail = false, false, nil, nil, nil
	if rest, ok := e.behindHeader(r, rec); ok && r.cutRest(rest) {
		if len(r.body) == 0 {
			return
		}
		if end, names := record.FindNames(r.typ, r.body); names >= 0 {
			r.body, r.names, r.twinned = r.body[:end], r.body[names:], true
		}
		return
	}
	r.odd = true
	if rec.Kind == record.Junk || rec.Flags&record.Cont != 0 || !rec.HasID() && rec.Type == 0 {
		return
	}
	c := record.Parse(b, i)
	r.body, r.names, r.twinned = c.Body, c.Names, c.Twinned
	if len(c.ID) == 0 { // all of the line: the event has these two
		r.body = behind(behind(r.body, "node="), "type=")
	}
}

// behind returns what follows the first word of text if that begins with a key.
func behind(text []byte, key string) []byte {
	if !bytes.HasPrefix(text, []byte(key)) {
		return text
	}
	end := tokenEnd(text, 0)
	return text[min(end+1, len(text)):]
}

// behindHeader returns what follows the parenthesis of the id, without the newline that
// ends a line. ok is false when the header is not exactly the event's.
func (e *Encoder) behindHeader(r *parsedRecord, rec *record.Record) (rest []byte, ok bool) {
	h, text := &e.head, r.text
	if rec.Kind != h.kind || !rec.HasID() || len(h.middle) == 0 {
		return nil, false
	}
	if h.kind == record.Line {
		if len(text) == 0 || text[len(text)-1] != '\n' {
			return nil, false
		}
		text = text[:len(text)-1]
	}
	if h.kind != record.Ver0 {
		name := r.kind.name
		n := len(h.prefix) + len(name)
		if len(text) < n || string(text[:len(h.prefix)]) != string(h.prefix) || string(text[len(h.prefix):n]) != name {
			return nil, false
		}
		text = text[n:]
	}
	n := len(h.middle)
	if len(text) < n || string(text[:n]) != string(h.middle) {
		return nil, false
	}
	return text[n:], true
}

// cutRest cuts ": BODY^]NAMES" and the blanks behind it. It reports false when it does
// not begin so.
func (r *parsedRecord) cutRest(rest []byte) bool {
	if len(rest) == 0 || rest[0] != ':' {
		return false
	}
	end := len(rest)
	for end > 1 && (rest[end-1] == ' ' || rest[end-1] == 0 || rest[end-1] == '\n') {
		end--
	}
	r.tail = rest[end:]
	if end == 1 {
		return true
	}
	if rest[1] != ' ' {
		return false
	}
	r.body = rest[2:end]
	return true
}
