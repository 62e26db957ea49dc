package stream

import "bytes"

// scanHeader reads node, type, time and serial of r's bytes. What has no
// readable header is marked NoID and otherwise left as it is.
//
// A line is "[node=NAME ]type=TYPE msg=audit(SEC.MS:SERIAL): ..."; auditd with
// log_format NOLOG and a name_format leaves "type=TYPE msg=" out. The colon
// behind the parenthesis is not insisted on: DAEMON_CONFIG of auditd 2.8 has none.
func scanHeader(r *Record, text []byte) {
	r.Flags |= NoID
	if has(text, "node=") {
		end := bytes.IndexByte(text, ' ')
		if end < 0 || end-len("node=") > 1<<16-1 {
			return
		}
		r.NodeLen = uint16(end - len("node="))
		text = text[end+1:]
	}
	if has(text, "type=") {
		text = text[len("type="):]
		end := bytes.IndexByte(text, ' ')
		if end < 0 {
			return
		}
		r.Type = TypeNumber(text[:end])
		text = text[end+1:]
		if has(text, "msg=") {
			text = text[len("msg="):]
		}
	}
	if scanID(r, text) && r.Type != 0 {
		r.Flags &^= NoID
	}
}

// scanID reads "audit(SEC.MS:SERIAL)". The kernel writes SEC.MS with %llu.%03lu
// and the serial with %u (kernel/audit.c, audit_log_start).
func scanID(r *Record, text []byte) bool {
	if !has(text, "audit(") {
		return false
	}
	sec, text, ok := digits(text[len("audit("):], 12)
	if !ok || len(text) < 5 || text[0] != '.' || text[4] != ':' {
		return false
	}
	ms, _, ok := digits(text[1:4], 3)
	if !ok || !isDigit(text[2]) || !isDigit(text[3]) {
		return false
	}
	serial, text, ok := digits(text[5:], 10)
	if !ok || serial > 1<<32-1 || len(text) == 0 || text[0] != ')' {
		return false
	}
	r.Millis = int64(sec)*1000 + int64(ms)
	r.Serial = uint32(serial)
	return true
}

// digits reads a decimal number of at most most digits and returns what follows.
func digits(b []byte, most int) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < most && isDigit(b[i]) {
		n = n*10 + uint64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

func isDigit(c byte) bool { return c-'0' < 10 }

func has(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
