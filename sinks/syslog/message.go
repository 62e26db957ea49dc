package syslog

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"audisp-relay/format"
	"audisp-relay/stream"
)

// Bounds of what is built at a time.
const (
	// maxText is the most text one message carries: audisp-syslog reads lines
	// in pieces of this size (MAX_AUDIT_MESSAGE_LENGTH - 1 in libaudit.h) and
	// sends each as a message of its own.
	maxText = 8969
	// maxEvent is the same for an event in one line, of which pieces would be of
	// no use: more than the longest event becomes. Receivers have bounds of their
	// own. maxPacket is what fits into a UDP packet with every header, maxLocal what
	// into the socket buffer of a local daemon (net.core.wmem_default).
	maxEvent  = 4 << 20
	maxPacket = 65_000
	maxLocal  = 128 << 10
	// minText is what every receiver takes whole (RFC 5426 section 3.2: 480
	// octets with the header). No network makes a message smaller than that.
	minText = 256
	// chunkBytes is when a chunk is large enough to be sent.
	chunkBytes = 64 << 10
)

// textLimit returns the most text a message carries: of records, or of events.
func textLimit(transport string, events bool) int {
	switch {
	case !events:
		return maxText
	case transport == "udp":
		return maxPacket
	case transport == "local":
		return maxLocal
	}
	return maxEvent
}

// framing is how messages are told apart at the receiver.
type framing uint8

const (
	perDatagram framing = iota
	octetCount          // "LEN MSG" (RFC 6587 section 3.4.1)
	nulEnd              // NUL behind each, as syslog(3) does on a stream socket
)

// renderer builds messages out of records. It belongs to one goroutine.
type renderer struct {
	enc     format.Encoder
	pri     int
	tag     string
	rfc5424 bool
	host    string // what stands as HOSTNAME, "" leaves it out (RFC 3164 only)
	newline bool   // keep the newline that ends a record, as audisp-syslog does
	framing framing
	events  bool // the text of an event's first record is the whole event's
	limit   int  // bytes of text in one message

	head   []byte // of the second below, up to MSGID or text
	second int64
	micros int    // where the microseconds stand in head, 0: nowhere
	text   []byte // scratch
	msgID  []byte // of the record at hand, empty without
}

// mark is the end of a message in a chunk: when all up to here is sent, recs
// records of the batch and the first part bytes of the next one's text are.
type mark struct {
	end        int
	recs, part int
}

// chunk is a run of messages, one behind the other in buf.
type chunk struct {
	buf   []byte
	marks []mark
	recs  int // records of the batch that are dealt with when all is sent
}

// after returns how many records, and how many bytes of the next one's text,
// are delivered when n messages of c are and there was (recs, part) before.
func (c *chunk) after(n, recs, part int) (int, int) {
	switch {
	case n == len(c.marks):
		return c.recs, 0
	case n == 0:
		return recs, part
	}
	return c.marks[n-1].recs, c.marks[n-1].part
}

// whole returns how many messages the first n bytes hold whole.
func (c *chunk) whole(n int) (messages, end int) {
	for messages < len(c.marks) && c.marks[messages].end <= n {
		end = c.marks[messages].end
		messages++
	}
	return messages, end
}

// fill makes c the messages of b's records from recs on, without the first
// part bytes of that record's text, up to about chunkBytes. An event's records are
// dealt with together.
func (r *renderer) fill(c *chunk, b stream.Batch, recs, part int) {
	r.stamp(time.Now())
	c.buf, c.marks, c.recs = c.buf[:0], c.marks[:0], recs
	for c.recs < len(b.Recs) && len(c.buf) < chunkBytes {
		end := c.recs + 1
		if r.events {
			end = format.EventEnd(&b, c.recs)
		}
		for ; c.recs < end; c.recs++ {
			r.add(c, b, part)
			part = 0
		}
	}
}

// add appends the messages of record c.recs: several when its text is long, none
// when this consumer does not get it or its event was the text of a record before.
func (r *renderer) add(c *chunk, b stream.Batch, part int) {
	text := r.enc.Append(r.text[:0], b, c.recs)
	r.text = text[:0]
	if len(text) == 0 {
		if k := len(c.marks); k > 0 { // dealt with when the message before is
			c.marks[k-1].recs = c.recs + 1
		}
		return
	}
	if !r.newline {
		text = bytes.TrimSuffix(text, []byte{'\n'})
	}
	if r.framing == nulEnd && bytes.IndexByte(text, 0) >= 0 {
		text = bytes.ReplaceAll(text, []byte{0}, []byte("#000"))
	}
	if part >= len(text) { // not the record that was begun
		part = 0
	}
	text = text[part:]
	id := r.msgID[:0]
	if b.Recs[c.recs].Type != 0 {
		id = b.AppendType(id, c.recs)
		id = id[:min(len(id), maxMsgID)]
	}
	r.msgID = id
	for len(text) > r.limit {
		r.message(c, text[:r.limit])
		text = text[r.limit:]
		part += r.limit
		c.marks = append(c.marks, mark{len(c.buf), c.recs, part})
	}
	r.message(c, text)
	c.marks = append(c.marks, mark{len(c.buf), c.recs + 1, 0})
}

// message appends one framed message.
func (r *renderer) message(c *chunk, text []byte) {
	start := len(c.buf)
	buf := append(c.buf, r.head...)
	if r.rfc5424 {
		buf = appendMsgID(buf, r.msgID)
	}
	if r.framing == octetCount {
		n := len(buf) - start + len(text)
		buf = strconv.AppendInt(buf[:start], int64(n), 10)
		buf = append(buf, ' ')
		buf = append(buf, r.head...)
		if r.rfc5424 {
			buf = appendMsgID(buf, r.msgID)
		}
	}
	body := len(buf)
	buf = append(buf, text...)
	// The enriched part of a line begins with a byte that syslog daemons
	// would escape; only the first is auditd's, others are the record's own.
	if !r.events {
		if i := bytes.IndexByte(buf[body:], format.Separator); i >= 0 {
			buf[body+i] = ' '
		}
	}
	if r.framing == nulEnd {
		buf = append(buf, 0)
	}
	c.buf = buf
}

// maxMsgID is the most bytes a MSGID has (RFC 5424, 6).
const maxMsgID = 32

// appendMsgID appends MSGID, STRUCTURED-DATA and the space before MSG. The id is
// the name of the record's type, by which receivers like to sort.
func appendMsgID(dst, id []byte) []byte {
	if len(id) == 0 {
		return append(dst, "- - "...)
	}
	return append(append(dst, id...), " - "...)
}

// stamp brings the header up to now. It is laid out anew once a second.
func (r *renderer) stamp(now time.Time) {
	if sec := now.Unix(); sec != r.second || len(r.head) == 0 {
		r.second = sec
		r.layOut(now)
	}
	if r.micros > 0 {
		us := now.Nanosecond() / 1000
		for i := r.micros + 5; i >= r.micros; i-- {
			r.head[i] = byte('0' + us%10)
			us /= 10
		}
	}
}

func (r *renderer) layOut(now time.Time) {
	h := append(r.head[:0], '<')
	h = strconv.AppendInt(h, int64(r.pri), 10)
	h = append(h, '>')
	if r.rfc5424 {
		h = append(h, "1 "...)
		r.micros = len(h) + len("2006-01-02T15:04:05.")
		h = now.AppendFormat(h, "2006-01-02T15:04:05.000000Z07:00")
		h = append(h, ' ')
		h = append(h, r.host...)
		h = append(h, ' ')
		h = append(h, r.tag...)
		r.head = append(h, " - "...) // PROCID: records are of many processes
		return
	}
	h = now.AppendFormat(h, time.Stamp)
	h = append(h, ' ')
	if r.host != "" {
		h = append(h, r.host...)
		h = append(h, ' ')
	}
	h = append(h, r.tag...)
	r.head = append(h, ": "...)
}

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
		name = name[:min(len(name), 255)]
	case local:
		name = ""
	default:
		name, _, _ = strings.Cut(name, ".")
		if name == "" {
			name = "localhost"
		}
	}
	if name != r.host {
		r.host, r.head = name, r.head[:0]
	}
}
