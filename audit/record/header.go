package record

import "bytes"

// Read reads node, type, time and serial of r's bytes. What has no
// readable header is marked NoID and otherwise left as it is.
//
// A line is "[node=NAME ]type=TYPE msg=audit(SEC.MS:SERIAL): ..."; auditd with
// log_format NOLOG and a name_format leaves "type=TYPE msg=" out. The colon
// after the parenthesis is not insisted on: DAEMON_CONFIG of auditd 2.8 has none.
func (c *HeaderReader) Read(r *Record, text []byte) {
	r.Flags |= NoID
	whole := len(text)
	if HasPrefix(text, "node=") {
		end := bytes.IndexByte(text, ' ')
		if end < 0 || end-len("node=") > 1<<16-1 {
			return
		}
		r.NodeLen = uint16(end - len("node="))
		text = text[end+1:]
	}

	if HasPrefix(text, "type=") {
		text = text[len("type="):]
		end := bytes.IndexByte(text, ' ')
		if end < 0 {
			return
		}
		r.Type = TypeNumber(text[:end])
		text = text[end+1:]
		if HasPrefix(text, "msg=") {
			text = text[len("msg="):]
		}
	}

	if n := c.readID(r, text); n > 0 && r.Type != 0 {
		r.Flags &^= NoID
		if head := whole - len(text) + n; head <= 1<<16-1 {
			r.Head = uint16(head)
		}
	} else if r.Type >= NamedType {
		r.Type = 0 // it may be any word
	}
}

// HeaderReader remembers the id that was read last: the records of an event come one
// after the other, and comparing is quicker than reading it again.
type HeaderReader struct {
	text   [40]byte // "audit(...)", the first n bytes
	n      int
	millis int64
	serial uint32
}

// ReadID reads the id that text begins with, where a record has nothing in front of it.
func (c *HeaderReader) ReadID(r *Record, text []byte) bool {
	n := c.readID(r, text)
	r.Head = uint16(n)
	return n > 0
}

// readID reads the id that text begins with, and returns its length, 0 when there is none.
func (c *HeaderReader) readID(r *Record, text []byte) int {
	if c.n > 0 && len(text) >= c.n && string(text[:c.n]) == string(c.text[:c.n]) {
		r.Millis, r.Serial = c.millis, c.serial
		return c.n
	}
	n := scanID(r, text)
	if n > 0 && n <= len(c.text) {
		c.n, c.millis, c.serial = n, r.Millis, r.Serial
		copy(c.text[:], text[:n])
	}
	return n
}

// scanID reads "audit(SEC.MS:SERIAL)" and returns its length, 0 when the text is not such an id.
// The kernel writes SEC.MS with %llu.%03lu and the serial with %u
// (kernel/audit.c, audit_log_start).
func scanID(r *Record, text []byte) int {
	if !HasPrefix(text, "audit(") {
		return 0
	}
	sec, rest, ok := ReadDigits(text[len("audit("):], 12)
	if !ok || len(rest) < 5 || rest[0] != '.' || rest[4] != ':' {
		return 0
	}
	ms, other, _ := ReadDigits(rest[1:4], 3)
	if len(other) > 0 {
		return 0
	}
	serial, rest, ok := ReadDigits(rest[5:], 10)
	if !ok || serial > 1<<32-1 || len(rest) == 0 || rest[0] != ')' {
		return 0
	}
	r.Millis = int64(sec)*1000 + int64(ms)
	r.Serial = uint32(serial)
	return len(text) - len(rest) + 1
}
