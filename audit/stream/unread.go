package stream

import (
	"bytes"

	"audisp-relay/audit/record"
)

// WhyUnread says what most likely keeps the header of a record from being read. Its bytes
// are those of a record with NoID.
func WhyUnread(text []byte) string {
	if record.HasPrefix(text, "node=") {
		end := bytes.IndexByte(text, ' ')
		if end < 0 {
			return "nothing after node="
		}
		text = text[end+1:]
		switch {
		case record.HasPrefix(text, "node="):
			return "two node= fields: name_format is set for auditd and for its dispatcher"
		case !record.HasPrefix(text, "type=") && !record.HasPrefix(text, "audit(") && bytes.Contains(text, []byte(" type=")):
			return "a blank in the name of the node"
		}
	}

	if !record.HasPrefix(text, "type=") {
		return "no type="
	}
	text = text[len("type="):]
	end := bytes.IndexByte(text, ' ')
	if end < 0 || record.TypeNumber(text[:end]) == 0 {
		return "what follows type= is no name of a type"
	}

	text = bytes.TrimPrefix(text[end+1:], []byte("msg="))
	id, isID := bytes.CutPrefix(text, []byte("audit("))
	if isID && idOutOfRange(id) {
		return "a time or serial number that is too large"
	}
	return "no audit(SECONDS.MILLISECONDS:SERIAL)"
}

// idOutOfRange reports whether SEC.MS:SERIAL) is right but for the size of its numbers.
func idOutOfRange(id []byte) bool {
	_, rest, ok := record.ReadDigits(id, len(id))
	if !ok || len(rest) < 5 || rest[0] != '.' || !record.IsDigit(rest[1]) || !record.IsDigit(rest[2]) || !record.IsDigit(rest[3]) || rest[4] != ':' {
		return false
	}
	_, rest, ok = record.ReadDigits(rest[5:], len(rest))
	return ok && len(rest) > 0 && rest[0] == ')'
}
