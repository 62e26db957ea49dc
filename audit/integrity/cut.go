package integrity

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// verdict is what the bytes of one record say.
type verdict uint8

const (
	whole  verdict = iota
	unsure         // it ends in hex digits: any even number of them may be gone
	truncated
)

// longBody is from where on auditd itself may cut records, for the log as well
// (auditd-event.c, format_raw: 8937 bytes with the header).
const longBody = 8800

// IsTruncated reports whether record i has visibly lost its end, or its newline and so
// has another run into it. It goes by how the kernel and auditd end a record of
// its type. A value of hex digits does not show its loss: there the records
// beside it decide, since auditd 4.2 and 4.2.1 cut all of an event.
//
// In doubt it reports a truncation that is none: that costs a look into the log. Lines of
// the log and pieces of overlong lines never count as truncated.
func IsTruncated(b *record.Batch, i int) bool {
	switch lookAt(b, i) {
	case truncated:
		return true
	case whole:
		return false
	}
	if nextEOETruncated(b, i) {
		return true
	}
	for k := i - 1; k >= 0 && b.SameEvent(k, i); k-- {
		if v := lookAt(b, k); v != unsure {
			return v == truncated
		}
	}
	return false
}

func lookAt(b *record.Batch, i int) verdict {
	r := &b.Recs[i]
	if r.Flags&(record.FromLog|record.Open|record.Cont|record.Marker) != 0 {
		return whole
	}
	var h endChecker
	return h.look(b, i, b.Body(i))
}

// nextEOETruncated reports whether an EOE record that has lost its id follows.
func nextEOETruncated(b *record.Batch, i int) bool {
	if i+1 >= len(b.Recs) {
		return false
	}
	r := &b.Recs[i+1]
	return r.Type == record.TypeEOE && r.Flags&(record.NoID|record.FromLog) == record.NoID
}

// endChecker looks at records one after another. The zero value is ready for use.
type endChecker struct {
	tail int       // length of the last field of this EXECVE record; -1: not known
	ends *endCache // nil: every end is looked at
}

// look judges record i by its body.
func (h *endChecker) look(b *record.Batch, i int, body []byte) verdict {
	r := &b.Recs[i]
	if !r.HasID() {
		return is(!headerTruncated(b, i))
	}
	if r.NodeLen > 0 && bytes.Contains(b.Node(i), []byte("node=")) {
		return truncated // "node=hosnode=host type=..."
	}

	if len(body) > 0 && body[0] == ':' {
		body = body[1:]
	} else if !record.OfDaemon(r.Type) { // DAEMON_CONFIG of auditd 2.8 has no colon
		return truncated
	}
	if r.Type == record.TypeEOE {
		return is(len(body) == 0)
	}
	if len(body) < 2 || body[0] != ' ' {
		return truncated
	}
	body = body[1:]

	switch r.Type {
	case record.TypeSyscall:
		return lookCall(r.Kind, body)
	case record.TypeExecve:
		return h.lookExecve(r.Kind, body)
	}
	if r.Kind == record.Line && len(body) > shortestHeader && ranTogether(body) && !written(r, body) {
		return truncated
	}
	if len(body) >= longBody {
		return whole
	}
	switch r.Type {
	case record.TypePath, record.TypeCWD, record.TypeProctitle: // are quickly judged, and have many ends
		return endsWhole(r.Type, body)
	}

	if h.ends.same(r.Type, body) {
		return whole
	}
	v := endsWhole(r.Type, body)
	if v == whole {
		h.ends.keep(r.Type, body)
	}
	return v
}

// shortestHeader is what a record has at least that runs into another.
const shortestHeader = len("type=CWD msg=audit(1000000000.000:1)")

func is(ok bool) verdict {
	if ok {
		return whole
	}
	return truncated
}

// ranTogether reports whether a header stands within a record: its end and its
// newline are gone. In what the kernel writes it can't: a name with a blank in it
// is written in hex.
func ranTogether(body []byte) bool { return nextHeader(body) >= 0 }

const headerMark = " msg=audit("

// nextHeader returns where the parenthesis of the first header within body is, -1
// if there is none.
func nextHeader(body []byte) int {
	for from := 0; ; {
		k := bytes.IndexByte(body[from:], '(')
		if k < 0 {
			return -1
		}
		k += from
		if n := len(headerMark) - 1; k >= n && string(body[k-n:k+1]) == headerMark {
			return k
		}
		from = k + 1
	}
}

// written reports whether the header within a record is a program's text: in its
// message, or in the path of an address, which auditd prints as it is after the hex
// that says so.
func written(r *record.Record, body []byte) bool {
	switch {
	case fromUser(r.Type):
		for {
			k := nextHeader(body)
			if k < 0 {
				return true
			}
			body = body[k+1:]
			// The record that has run into this one was written at about the same time.
			n := record.CountDigits(body)
			sec, err := strconv.ParseInt(string(body[:min(n, 15)]), 10, 64)
			if d := sec - r.Millis/1000; err != nil || (d > -nearby/1000 && d < nearby/1000) {
				return false
			}
		}
	case r.Type == record.TypeSockaddr:
		k := bytes.IndexByte(body, record.Separator)
		return k >= 0 && !ranTogether(body[:k]) && bytes.Contains(body[:k], hexMark)
	}
	return false
}

// hexMark is the header's mark as the kernel writes it in a path, but for the blank
// in front, which auditd may have made of any other byte.
var hexMark = []byte(strings.ToUpper(hex.EncodeToString([]byte(headerMark[1:]))))

// headerTruncated reports whether a record without a readable header has lost that.
// Whole are those that auditd writes so: "type=X msg=lost" and DAEMON_ERR
// (auditd-event.c), and one whose type has a name that is not known here.
func headerTruncated(b *record.Batch, i int) bool {
	r := &b.Recs[i]
	if r.Kind == record.Junk || r.Kind == record.Ver0 {
		return true
	}
	name, ok := bytes.CutPrefix(b.AfterNode(i), []byte("type="))
	k := bytes.IndexByte(name, ' ')
	if !ok || k <= 0 {
		return true
	}
	name, text := name[:k], record.TrimEnd(name[k:])
	for _, c := range name {
		if c-'A' >= 26 && c-'0' >= 10 && c != '_' && c != '[' && c != ']' {
			return true
		}
	}
	return r.Millis == 0 && string(text) != " msg=lost" && string(name) != "DAEMON_ERR"
}
