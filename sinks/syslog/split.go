package syslog

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"audisp-relay/audit/record"
)

// A text that is too long for one message is continued in the next. All of its
// messages say which part they are where no record's text gets to: "2/3" is the
// PROCID of RFC 5424, in RFC 3164 it stands in brackets after the tag. From the second on
// the text begins with the record's type and id and relay-part=2/3, so that a
// search for the id finds all parts, and so that what is continued is never the beginning
// of a message: a forger could choose which bytes of a record that is.

// piece is what was sent of a record: so many bytes of its text in so many parts.
// For a piece of an overlong line (record.Cont) number counts from that line's
// beginning, and host is the name that stands as its HOSTNAME, "" for this machine's.
type piece struct {
	bytes, number int
	host          string
}

// partRoom is more than the digits of two part numbers take.
const partRoom = len("[1000000/1000000]")

// fits reports whether text is one message.
func (r *renderer) fits(text []byte) bool {
	r.part, r.prefix = r.part[:0], r.prefix[:0]
	return r.cut(text, r.limit-r.headLen()) == len(text)
}

// addParts appends the messages of a text that needs several, or the rest of them.
func (r *renderer) addParts(c *chunk, b record.Batch, text []byte, p piece) piece {
	flags := b.Recs[c.recs].Flags
	if p.bytes >= len(text) || (p.bytes == 0 && flags&record.Cont == 0) { // not the record that was begun
		p = piece{}
	}
	if flags&record.Cont != 0 {
		p.number = max(p.number, 1) // of what an earlier sink has sent of the line it is not known in how many parts
	}
	if r.enc.StripNode && flags&(record.Open|record.Cont) != 0 {
		p.host = string(r.name)
	}

	rest := text[p.bytes:]
	total := append(r.total[:0], '?') // of a line whose end is still to come
	if flags&record.Open == 0 {
		total = strconv.AppendInt(total[:0], int64(p.number+r.count(b, c.recs, rest, p.number)), 10)
	}
	r.total = total

	for {
		p.number++
		r.begin(b, c.recs, p.number, total)
		k := r.cut(rest, r.room())
		r.message(c, rest[:k])
		rest = rest[k:]
		p.bytes += k
		if len(rest) == 0 {
			break
		}
		c.marks = append(c.marks, mark{len(c.buf), c.recs, p})
	}

	p.bytes = 0
	if flags&record.Open == 0 {
		p = piece{}
	}
	c.marks = append(c.marks, mark{len(c.buf), c.recs + 1, p})
	return p
}

// count returns how many messages rest needs when number are sent before it.
func (r *renderer) count(b record.Batch, i int, rest []byte, number int) (n int) {
	for n == 0 || len(rest) > 0 {
		n++
		r.begin(b, i, number+n, nil)
		rest = rest[r.cut(rest, r.room()):]
	}
	return n
}

// begin sets part and prefix for part n of record i.
func (r *renderer) begin(b record.Batch, i, n int, total []byte) {
	r.part = strconv.AppendInt(r.part[:0], int64(n), 10)
	r.part = append(append(r.part, '/'), total...)
	r.prefix = r.prefix[:0]
	if n == 1 {
		return
	}
	if b.Recs[i].HasID() && b.Recs[i].Flags&record.Cont == 0 {
		r.prefix = r.appendRecordID(r.prefix, &b, i)
	}
	r.prefix = append(r.prefix, "relay-part="...)
	r.prefix = append(append(r.prefix, r.part...), ' ')
}

// appendRecordID appends a record's beginning as auditd writes it.
func (r *renderer) appendRecordID(dst []byte, b *record.Batch, i int) []byte {
	rec := &b.Recs[i]
	if !r.enc.StripNode {
		r.node = r.enc.AppendNode(r.node[:0], b, i)
		if len(r.node) > 0 && len(r.node) <= maxHost {
			dst = append(appendEscaped(append(dst, "node="...), r.node), ' ')
		}
	}
	dst = append(dst, "type="...)
	dst = b.AppendType(dst, i)
	dst = append(dst, " msg=audit("...)
	dst = record.AppendEventID(dst, rec.Millis, rec.Serial)
	return append(dst, "): "...)
}

// room returns how much text there is room for after the present head. It does not
// depend on how many digits the total has.
func (r *renderer) room() int {
	used := r.headLen() - len(r.part) + partRoom
	if len(r.prefix) > 0 {
		used += partRoom - len(r.part)
	}
	return max(r.limit-used, minText)
}

// cut returns how many bytes of text, one at least, fit into room. A control
// character counts four: rsyslogd makes "#035" of it and cuts off what is longer than
// its limit then (parser.escapeControlCharactersOnReceive). No character of UTF-8 is
// cut in two.
func (r *renderer) cut(text []byte, room int) int {
	if len(text) <= room && (4*len(text) <= room || len(text)+3*controls(text) <= room) {
		return len(text)
	}
	n, used := 0, 0
	for n < len(text) {
		used++
		if isControl(text[n]) {
			used += 3
		}
		if used > room {
			break
		}
		n++
	}

	for back := n; n < len(text) && back > max(n-utf8.UTFMax, 0); back-- {
		if utf8.RuneStart(text[back]) {
			n = back
			break
		}
	}
	return max(n, 1)
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

// hasControl reports whether text has a control character. It looks at eight
// bytes at a time: most texts have none.
func hasControl(text []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(text) >= 8; text = text[8:] {
		x := binary.LittleEndian.Uint64(text)
		del := x ^ 0x7f*ones
		if ((x-' '*ones)&^x|(del-ones)&^del)&tops != 0 {
			return true
		}
	}
	return bytes.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func controls(text []byte) (n int) {
	if !hasControl(text) {
		return 0
	}
	for _, c := range text {
		if isControl(c) {
			n++
		}
	}
	return n
}

// appendEscaped appends text with each control character as rsyslogd writes it, "#012":
// where a newline ends a message none may stand within, and some receivers take NUL
// or CR for an end, too.
func appendEscaped(dst, text []byte) []byte {
	for _, c := range text {
		if isControl(c) {
			dst = append(dst, '#', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
