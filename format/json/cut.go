package json

import (
	"bytes"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// parsedRecord is one record of the event, cut in its parts.
type parsedRecord struct {
	kind  *recordType
	typ   uint32
	flags uint8 // as record.Record's
	// odd: the header is not what the event's members say, so the record has "raw".
	odd bool
	// elsewhere: the record is shown in a place of its own (paths, cwd ...), or is the main
	// one, and not in other_records.
	elsewhere bool
	twinned   bool // there is a separator
	text      []byte
	body      []byte
	sep       []byte
	names     []byte
	tail      []byte // blanks and NULs after all of it, without the newline of a line
}

// separator is what nearly always stands between the body and the names.
const separator = string(rune(record.Separator))

// header is what all records of an event share.
type header struct {
	kind   record.Kind
	node   []byte
	id     []byte // empty when the event has none
	millis int64
	serial uint32
	// prefix and middle are the bytes around the type's name: "node=NAME type=" and
	// " msg=audit(SEC.MS:SERIAL)"; without a type, as in version 0, all is middle.
	prefix, middle []byte
}

// cutEvent takes the records of an event apart, and fills the members of e that say what they have in common.
func (e *Encoder) cutEvent(b *record.Batch, i, j int) {
	e.readHead(b, i)
	e.recs = e.recs[:0]
	e.auditd = false
	e.main = record.MainOf(b.Recs[i:j])

	for k := i; k < j; k++ {
		rec := &b.Recs[k]
		if k-i == cap(e.recs) {
			e.recs = append(e.recs, parsedRecord{})
		}
		e.recs = e.recs[:k-i+1]
		r := &e.recs[k-i]
		r.kind, r.typ, r.flags, r.text = e.typeOf(b, k), rec.Type, rec.Flags, b.Bytes(k)
		r.odd, r.twinned, r.body, r.names, r.tail = false, false, nil, nil, nil // less to write than all of it
		r.elsewhere = k-i == e.main || r.typ == record.TypePath || r.typ == record.TypeSockaddr
		e.cutRecord(r, b, k)
		e.auditd = e.auditd || r.twinned
	}
	e.lookup = e.opts.Users != nil && !e.auditd && users.Local(e.head.node, e.opts.Local)
}

// readHead takes the header that all records of the event should have from the first.
// If that is not as it should be, the event's members have what can be read of it, and prefix and middle
// stay empty: then every record is odd.
func (e *Encoder) readHead(b *record.Batch, i int) {
	h, rec := &e.head, &b.Recs[i]
	*h = header{kind: rec.Kind, node: b.Node(i), millis: rec.Millis, serial: rec.Serial}
	const begin = " msg=audit("
	head := b.Header(i)
	if h.kind == record.Ver0 {
		if h.id = b.IDText(i); len(h.id)+len("audit()") == len(head) {
			h.middle = head
		}
		return
	}

	from := len("type=") // to where the type's name begins, which may be another than record_types has
	if len(h.node) > 0 {
		from += len("node= ") + len(h.node)
	}
	to := record.WordEnd(head, min(from, len(head)))
	if !record.HasPrefix(head[to:], begin) || string(head[from-len("type="):from]) != "type=" ||
		(len(h.node) > 0 && (!record.HasPrefix(head, "node=") || head[from-len(" type=")] != ' ')) {
		h.id = b.IDText(i)
		return
	}
	h.prefix, h.middle, h.id = head[:from], head[to:], head[to+len(begin):len(head)-1]
}

// cutRecord cuts record i of b.
func (e *Encoder) cutRecord(r *parsedRecord, b *record.Batch, i int) {
	rec := &b.Recs[i]
	if rest, ok := e.afterHead(r, rec, b.Header(i)); ok {
		body := record.TrimEnd(rest)
		r.tail = rest[len(body):]
		if len(body) == 0 {
			return
		}
		if body[0] == ' ' {
			r.body = body[1:]
			if end, names := record.FindNames(r.typ, r.body); names >= 0 {
				r.body, r.sep, r.names, r.twinned = r.body[:end], r.body[end:names], r.body[names:], true
			}
			return
		}
	}

	r.odd = true
	if rec.Kind == record.Junk || rec.Flags&record.Cont != 0 || (!rec.HasID() && rec.Type == 0) {
		return
	}
	p := record.Parse(b, i)
	r.body, r.sep, r.names, r.twinned = p.Body, p.Sep, p.Names, p.Twinned
	if len(p.ID) == 0 { // all of the line: the event has these two
		r.body = skipWord(skipWord(r.body, "node="), "type=")
	}
}

// afterHead returns what follows the header's colon, without the newline that ends a line. ok is false
// when the header is not exactly the event's.
func (e *Encoder) afterHead(r *parsedRecord, rec *record.Record, head []byte) (rest []byte, ok bool) {
	h, name := &e.head, r.kind.name
	rest = r.text[len(head):]
	if rec.Kind != h.kind || len(head) == 0 || len(h.middle) == 0 || len(rest) == 0 || rest[0] != ':' {
		return nil, false
	}
	if h.kind == record.Line {
		if rest[len(rest)-1] != '\n' {
			return nil, false
		}
		rest = rest[:len(rest)-1]
	}

	if h.kind == record.Ver0 {
		name = ""
	}
	from, to := len(h.prefix), len(head)-len(h.middle)
	if from > to || string(head[:from]) != string(h.prefix) || string(head[from:to]) != name || string(head[to:]) != string(h.middle) {
		return nil, false
	}
	return rest[1:], true
}

// skipWord returns what follows the first word of text if that begins with a key.
func skipWord(text []byte, key string) []byte {
	if !bytes.HasPrefix(text, []byte(key)) {
		return text
	}
	return text[min(record.WordEnd(text, 0)+1, len(text)):]
}
