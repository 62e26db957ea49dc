package syslog

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/format"
)

// Bounds of what is built at a time.
const (
	// minText is what every receiver takes whole (RFC 5426 section 3.2: 480
	// octets with the header). No network makes the text of a message shorter than that.
	minText = 256
	// chunkBytes is when a chunk is large enough to be sent.
	chunkBytes = 64 << 10
)

// framing is how the receiver separates messages.
type framing uint8

const (
	perDatagram     framing = iota
	octetCount              // "LEN MSG" (RFC 6587 section 3.4.1)
	newlineEnd              // a newline after each (RFC 6587 section 3.4.2), none within
	countAndNewline         // octetCount, where a message has a newline at its end
)

// renderer builds messages out of records. It belongs to one goroutine.
type renderer struct {
	enc     format.Encoder
	pri     int
	tag     string
	rfc5424 bool
	host    string // this machine's HOSTNAME, "" leaves it out (RFC 3164 only)
	newline bool   // keep the newline that ends a record, as audisp-syslog does
	framing framing
	events  bool // the text of an event's first record is the whole event's
	limit   int  // bytes of one message, header and text

	clock  []byte // of the second below, up to HOSTNAME or TAG
	second int64
	micros int    // where the microseconds stand in clock, 0: nowhere
	head   []byte // of the record at hand, up to MSGID or text
	name   []byte // that stands as HOSTNAME there; empty: host does
	node   []byte // scratch
	text   []byte // scratch
	plain  []byte // scratch: the text without control characters
	msgID  []byte // the name of its type, by which receivers like to sort; empty without
	part   []byte // PROCID of the message at hand, "2/3": see split.go
	prefix []byte // what its text begins with
	total  []byte // scratch: how many parts there are
}

// mark is the end of a message in a chunk: when all up to here is sent, recs
// records of the batch and a piece of the next one's text are.
type mark struct {
	end, recs int
	piece     piece
}

// chunk is a run of messages, one after another in buf.
type chunk struct {
	buf   []byte
	marks []mark
	recs  int // records of the batch that are dealt with when all is sent
}

// after returns how many records, and what of the next one, are delivered when n
// messages of c are and there was (recs, p) before.
func (c *chunk) after(n, recs int, p piece) (int, piece) {
	switch {
	case n == 0 && len(c.marks) == 0:
		return c.recs, piece{}
	case n == 0:
		return recs, p
	}
	return c.marks[n-1].recs, c.marks[n-1].piece
}

// begin returns where message n begins.
func (c *chunk) begin(n int) int {
	if n == 0 {
		return 0
	}
	return c.marks[n-1].end
}

// whole returns how many messages the first n bytes hold whole.
func (c *chunk) whole(n int) (messages, end int) {
	for messages < len(c.marks) && c.marks[messages].end <= n {
		end = c.marks[messages].end
		messages++
	}
	return messages, end
}

// fill makes c the messages of b's records from recs on, without the piece p of
// that record, up to about chunkBytes. An event's records are dealt with together.
func (r *renderer) fill(c *chunk, b record.Batch, recs int, p piece) {
	r.stamp(time.Now())
	c.buf, c.marks, c.recs = c.buf[:0], c.marks[:0], recs
	for c.recs < len(b.Recs) && len(c.buf) < chunkBytes {
		end := c.recs + 1
		if r.events {
			end = format.EventEnd(&b, c.recs)
		}
		for ; c.recs < end; c.recs++ {
			p = r.add(c, b, p)
		}
	}
}

// add appends the messages of record c.recs: several when its text is long, none
// when this consumer does not get it or its event was the text of a record before.
// p was sent of it before; what it returns was of the next.
func (r *renderer) add(c *chunk, b record.Batch, p piece) piece {
	text := r.enc.Append(r.text[:0], b, c.recs)
	r.text = text[:0]
	if len(text) == 0 {
		if k := len(c.marks); k > 0 { // dealt with when the message before is
			c.marks[k-1].recs = c.recs + 1
		}
		return piece{}
	}

	text = r.clean(text)
	r.nameRecord(&b, c.recs, p)
	id := r.msgID[:0]
	if b.Recs[c.recs].Type != 0 {
		id = b.AppendType(id, c.recs)
		id = id[:min(len(id), maxMsgID)]
	}
	r.msgID = id

	const pieces = record.Open | record.Cont
	if p == (piece{}) && b.Recs[c.recs].Flags&pieces == 0 && r.fits(text) {
		r.part, r.prefix = r.part[:0], r.prefix[:0]
		r.message(c, text)
		c.marks = append(c.marks, mark{len(c.buf), c.recs + 1, piece{}})
		return piece{}
	}
	return r.addParts(c, b, text, p)
}

// clean makes a record's text what stands in messages. The enriched part of a line
// begins with a byte that syslog daemons would escape; only the first is auditd's,
// others are the record's own.
func (r *renderer) clean(text []byte) []byte {
	if !r.events {
		if i := bytes.IndexByte(text, record.Separator); i >= 0 {
			text[i] = ' '
		}
	}
	if !r.newline || r.framing != perDatagram {
		text = bytes.TrimSuffix(text, []byte{'\n'})
	}
	if r.framing == newlineEnd && hasControl(text) {
		text = appendEscaped(r.plain[:0], text)
		r.plain = text[:0]
	}
	return text
}

// message appends one framed message.
func (r *renderer) message(c *chunk, text []byte) {
	buf := c.buf
	switch n := int64(r.headLen() + len(text)); r.framing {
	case octetCount:
		buf = append(strconv.AppendInt(buf, n, 10), ' ')
	case countAndNewline:
		// A receiver that knows the other framing only would wait for a newline without
		// end. Most that count drop one at the end of a message.
		buf = append(strconv.AppendInt(buf, n+1, 10), ' ')
	}
	buf = r.appendHead(buf)
	buf = append(buf, text...)
	if r.framing == newlineEnd || r.framing == countAndNewline {
		buf = append(buf, '\n')
	}
	c.buf = buf
}

// appendHead appends all that stands in front of the text.
func (r *renderer) appendHead(dst []byte) []byte {
	switch {
	case len(r.part) == 0:
		dst = append(dst, r.head...)
	case r.rfc5424:
		dst = append(dst, r.head[:len(r.head)-len("- ")]...)
		dst = append(append(dst, r.part...), ' ')
	default:
		dst = append(dst, r.head[:len(r.head)-len(": ")]...)
		dst = append(append(append(dst, '['), r.part...), "]: "...)
	}
	if r.rfc5424 { // MSGID, STRUCTURED-DATA and the space before MSG
		if len(r.msgID) == 0 {
			dst = append(dst, '-')
		}
		dst = append(append(dst, r.msgID...), " - "...)
	}
	return append(dst, r.prefix...)
}

// headLen returns how long that is.
func (r *renderer) headLen() int {
	n := len(r.head) + len(r.prefix)
	switch {
	case len(r.part) == 0:
	case r.rfc5424:
		n += len(r.part) - len("-")
	default:
		n += len(r.part) + len("[]")
	}
	if !r.rfc5424 {
		return n
	}
	return n + max(len(r.msgID), len("-")) + len(" - ")
}

// maxMsgID is the most bytes a MSGID has (RFC 5424, 6).
const maxMsgID = 32

// stamp brings the header up to now, with this machine's name. The time is laid out once a second.
func (r *renderer) stamp(now time.Time) {
	if sec := now.Unix(); sec != r.second || len(r.clock) == 0 {
		r.second = sec
		r.layOut(now)
	}
	if r.micros > 0 {
		us := now.Nanosecond() / 1000
		for i := r.micros + 5; i >= r.micros; i-- {
			r.clock[i] = byte('0' + us%10)
			us /= 10
		}
	}
	r.layHead(nil)
}

func (r *renderer) layOut(now time.Time) {
	h := fmt.Appendf(r.clock[:0], "<%d>", r.pri)
	if r.rfc5424 {
		h = append(h, "1 "...)
		r.micros = len(h) + len("2006-01-02T15:04:05.")
		h = now.AppendFormat(h, "2006-01-02T15:04:05.000000Z07:00")
	} else {
		h = now.AppendFormat(h, time.Stamp)
	}
	r.clock = append(h, ' ')
}

// maxHost is the most bytes a HOSTNAME has (RFC 5424, 6).
const maxHost = 255

// setHost sets the HOSTNAME field from the machine's name. RFC 3164 section
// 4.1.2 has it without a domain, and local messages without it at all, as from
// syslog(3); RFC 5424 section 6.2.4 takes it whole, "-" where there is none.
func (r *renderer) setHost(name string, local bool) {
	name = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return -1
		}
		return c
	}, name)

	switch {
	case r.rfc5424 && name == "":
		name = "-"
	case r.rfc5424:
		name = name[:min(len(name), maxHost)]
	case local:
		name = ""
	default:
		name, _, _ = strings.Cut(name, ".")
		if name == "" {
			name = "localhost"
		}
	}
	r.host = name
}

// nameRecord makes HOSTNAME that of record i: where node= is taken out of the text, the name that stood
// there, or else this machine's. Of a line in pieces only the first has that; p has it for the others.
func (r *renderer) nameRecord(b *record.Batch, i int, p piece) {
	r.node = r.node[:0]
	switch {
	case !r.enc.StripNode || r.host == "":
	case b.Recs[i].Flags&record.Cont != 0:
		r.node = append(r.node, p.host...)
	default:
		r.node = r.enc.AppendNode(r.node, b, i)
	}
	if !bytes.Equal(r.node, r.name) {
		r.layHead(r.node)
	}
}

// layHead lays the header out, with a name as HOSTNAME, or this machine's where that is empty.
func (r *renderer) layHead(name []byte) {
	r.name = append(r.name[:0], name...)
	h := append(r.head[:0], r.clock...)
	if len(name) > 0 {
		h = append(appendHostname(h, name, r.rfc5424), ' ')
	} else if r.host != "" {
		h = append(append(h, r.host...), ' ')
	}
	h = append(h, r.tag...)
	if r.rfc5424 {
		r.head = append(h, " - "...) // PROCID is "-": records are of many processes
	} else {
		r.head = append(h, ": "...)
	}
}

// appendHostname appends a name as HOSTNAME, whole but for what is beyond maxHost. What stands there
// may be chosen on another host: "-" replaces each byte at which a receiver could take the field
// for ended, or for a TAG. RFC 5424 allows printable ASCII.
func appendHostname(dst, name []byte, rfc5424 bool) []byte {
	for _, c := range name[:min(len(name), maxHost)] {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_':
		case rfc5424 && c > ' ' && c <= '~':
		default:
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst
}
