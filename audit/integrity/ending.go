package integrity

import (
	"bytes"

	"audisp-relay/audit/record"
)

// fromUser reports whether records of this type are messages that a program
// sent: "pid=1 uid=0 ... msg='TEXT'" (kernel/audit.c, audit_receive_msg). Those
// of terminal input end with data=.
func fromUser(typ uint32) bool {
	return record.Alone(typ) && typ != record.TypeKernel && typ != record.TypeUserTTY
}

// endQuoted returns what stands before the value in quotes that b ends with,
// nothing where it does not. No quote stands within: such a text is in hex.
func endQuoted(b []byte) []byte {
	k := len(b) - 1
	if k < 0 || b[k] != '"' {
		return nil
	}
	for k--; k >= 0; k-- {
		if b[k] == '"' {
			return b[:k]
		}
	}
	return nil
}

// endsWhole judges a record by the end of its body.
func endsWhole(typ uint32, body []byte) verdict {
	// Comparing with a constant that is written out takes two instructions.
	switch typ {
	case record.TypeProctitle: // one field, and no interpreted ones
		const head = len("proctitle=")
		if len(body) < head || string(body[:head]) != "proctitle=" {
			return truncated
		}
		return lookOnly(body[head:])
	case record.TypeCWD:
		const head = len("cwd=")
		if len(body) < head || string(body[:head]) != "cwd=" {
			return truncated
		}
		return lookOnly(body[head:])
	case record.TypePath:
		if n := len(body); n > 14 && string(body[n-14:]) == " cap_frootid=0" {
			return whole
		}
		name := endQuoted(body)
		if n := len(name); n > 6 && string(name[n-6:]) == " OGID=" {
			return whole
		}
	case record.TypeSockaddr:
		if n := len(body); body[n-1] == '}' && n > 2 && body[n-2] == ' ' {
			return whole
		}
	case record.TypeBprmFcaps: // no interpreted fields
		return lookRaw(typ, body)
	}

	if fromUser(typ) && body[len(body)-1] == '\'' {
		return whole
	}
	k := bytes.IndexByte(body, record.Separator)
	if fromUser(typ) { // a program may write a separator too; interpreted names have none
		k = bytes.LastIndexByte(body, record.Separator)
	}
	if k < 0 {
		return lookRaw(typ, body)
	}
	if lookRaw(typ, body[:k]) == truncated {
		return truncated
	}
	return lookFields(body[:k], body[k+1:])
}

// lookRaw judges a record without its interpreted fields.
func lookRaw(typ uint32, raw []byte) verdict {
	if fromUser(typ) {
		return is(len(raw) > 0 && raw[len(raw)-1] == '\'')
	}
	if typ == record.TypeSockaddr {
		return lookSockaddr(raw)
	}
	key, value := lastField(raw)
	if !endsWith(typ, key, value, raw) {
		return is(extended(typ, raw))
	}
	if typ == record.TypeKernel {
		return whole
	}
	return lookValue(typ, value)
}

// endsWith reports whether a record of this type can end with this field. The
// forms are those of kernel/audit.c and kernel/auditsc.c from Linux 3.10 on.
func endsWith(typ uint32, key, value, raw []byte) bool {
	last := lastOf(typ)
	switch typ {
	case record.TypePath:
		switch string(key) {
		case "cap_frootid", "cap_fver":
			return true
		case "cap_fi":
			return string(value) == "?"
		case "nametype", "objtype": // before Linux 4
			switch string(value) {
			case "NORMAL", "PARENT", "CREATE", "DELETE", "UNKNOWN":
				return true
			}
		}
		return false
	case record.TypeBprmFcaps:
		return string(key) == last || string(key) == "pa" || string(key) == "new_pe" || string(key) == "new_pa"
	case record.TypeCapset:
		return string(key) == last || string(key) == "cap_pe"
	case record.TypeLogin: // "login pid=... new ses=1" of old kernels
		return string(key) == last || bytes.HasPrefix(raw, []byte("login "))
	case record.TypeAnomAbend:
		return string(key) == last || string(key) == "sig"
	case record.TypeAVC:
		if bytes.HasPrefix(raw, []byte("avc:")) {
			return string(key) == "permissive" || string(key) == last || string(key) == "trawcon" || string(key) == "srawcon"
		}
		return len(key) > 0
	case record.TypeKernel:
		return true
	}

	if record.OfDaemon(typ) {
		return (string(key) == last && isResult(value)) ||
			(typ == record.TypeDaemonErr && string(key) == "mac" && len(value) == 32) // a loss marker of another relay
	}
	if last != "" {
		return string(key) == last
	}
	return len(key) > 0
}

// lastField returns the last of the blank separated fields as key and value. Its
// value may have blanks in it: in quotes (flags="rw, nosuid"), or before the mode
// of an AppArmor context (obj=/usr/sbin/cupsd (enforce)).
func lastField(raw []byte) (key, value []byte) {
	at := lastBlank(raw) + 1
	if k := bytes.IndexByte(raw[at:], '='); k >= 0 {
		return raw[at:][:k], raw[at:][k+1:]
	}
	if before := endQuoted(raw); len(before) > 1 && before[len(before)-1] == '=' {
		from := lastBlank(before) + 1
		return before[from : len(before)-1], raw[len(before):]
	}
	if n := len(raw); at > 1 && at < n && raw[at] == '(' && raw[n-1] == ')' {
		from := lastBlank(raw[:at-1]) + 1
		if k := bytes.IndexByte(raw[from:at-1], '='); k > 0 {
			return raw[from:][:k], raw[from+k+1 : at-1]
		}
	}
	return nil, nil
}

// lastBlank returns where the last blank is, -1 if there is none. An argument of
// EXECVE can be long: beyond the last bytes the search goes in steps.
func lastBlank(b []byte) int {
	const near = 48
	end := len(b)
	for stop := max(0, end-near); end > stop; end-- {
		if b[end-1] == ' ' {
			return end - 1
		}
	}
	step := 512
	start := max(0, end-step)
	for end > 0 && bytes.IndexByte(b[start:end], ' ') < 0 {
		step *= 4
		start, end = max(0, start-step), start
	}

	for end-start > near {
		if mid := (start + end) / 2; bytes.IndexByte(b[mid:end], ' ') < 0 {
			end = mid
		} else {
			start = mid
		}
	}
	return bytes.LastIndexByte(b[:end], ' ')
}

// lookValue judges the value of the last field: in quotes or in hex if it is
// text that the kernel does not trust (kernel/audit.c, audit_log_untrustedstring).
func lookValue(typ uint32, value []byte) verdict {
	switch typ {
	case record.TypeSyscall, record.TypeUring, record.TypeObjPID, record.TypeTTY, record.TypeUserTTY, record.TypeKernModule:
		return lookText(value)
	}
	if len(value) == 0 || value[0] == '"' || value[0] == '(' {
		return lookText(value)
	}
	return whole
}

// lookText judges a value that is text in quotes, "(null)", or text in hex, which shows a loss by
// its last digits and by whether they are even.
func lookText(value []byte) verdict {
	if len(value) == 0 {
		return truncated
	}
	end := value[len(value)-1]
	switch value[0] {
	case '"':
		return is(len(value) > 1 && end == '"')
	case '(':
		return is(end == ')')
	}

	bad := uint8(len(value) % 2)
	for _, c := range value[max(0, len(value)-8):] {
		bad |= noHex[c]
	}
	if bad != 0 {
		return truncated
	}
	return unsure
}

// noHex is 0 for the digits the kernel writes and 1 for all else.
var noHex = func() (no [256]uint8) {
	for c := range no {
		if no[c] = 1; (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') {
			no[c] = 0
		}
	}
	return no
}()

// lookSockaddr judges a record of one field, the hex of a socket address. Its length says little: the
// kernel logs as many bytes as the program gave, 1 to 128, of any family and also
// where the call fails for that (net/socket.c, move_addr_to_kernel). Only an address
// of the length that its family has, or the longest there is, is surely whole.
func lookSockaddr(raw []byte) verdict {
	value, ok := bytes.CutPrefix(raw, []byte("saddr="))
	if !ok {
		return truncated
	}
	v := lookOnly(value)
	if v != unsure || len(value) < 4 {
		return v
	}
	longest := len(value) == 256 || len(value) == 220 // or struct sockaddr_un
	switch string(value[:4]) {                        // the family, in the byte order of the host
	case "0200", "0002": // struct sockaddr_in
		longest = len(value) == 32
	case "0A00", "000A": // struct sockaddr_in6
		longest = len(value) == 56
	case "1000", "0010": // struct sockaddr_nl
		longest = len(value) == 24
	}

	if longest {
		return whole
	}
	return unsure
}

// shortExecve is below where the kernel continues with a further EXECVE record
// (MAX_EXECVE_AUDIT_LEN, 7500).
const shortExecve = 6000

// A SYSCALL record has at least so many bytes from the parenthesis of "audit(" to
// its end, without and with the interpreted fields. One that has run into another
// begins before that, and is looked for there only.
const (
	shortCall    = 200
	shortCallIDs = 290
)

// lookCall judges a SYSCALL record.
func lookCall(kind record.Kind, body []byte) verdict {
	end := 0
	if n := len(body); n > 11 && string(body[n-11:]) == " key=(null)" {
		end = shortCall
	} else {
		name := endQuoted(body)
		if n := len(name); n > 7 && string(name[n-7:]) == " FSGID=" {
			end = shortCallIDs
		} else if n > 5 && string(name[n-5:]) == " key=" {
			end = shortCall
		}
	}

	if kind == record.Line && len(body) > end && ranTogether(body[:len(body)-end]) {
		return truncated
	}
	if end > 0 || len(body) >= longBody {
		return whole
	}
	return endsWhole(record.TypeSyscall, body)
}

// lookExecve judges an EXECVE record. It can be long, so no byte is looked at
// more than once: a header within stands before the last blank.
func (h *endChecker) lookExecve(kind record.Kind, body []byte) verdict {
	blank := lastBlank(body)
	h.tail = len(body) - blank - 1
	if kind == record.Line && ranTogether(body[:blank+1]) {
		return truncated
	}
	if len(body) >= longBody {
		return whole
	}
	if string(body) == "argc=0" { // before Linux 5.18
		return whole
	}
	key, value, ok := bytes.Cut(body[blank+1:], []byte{'='})
	if !ok || len(key) < 2 || key[0] != 'a' || key[1]-'0' >= 10 {
		return truncated
	}

	// One that needs no further record ends with the last argument.
	argc, ok := bytes.CutPrefix(body, []byte("argc="))
	if ok && len(body) <= shortExecve && number(key[1:])+1 < number(argc) {
		return truncated
	}
	return lookText(value)
}

// lookFields judges the interpreted fields of a record: there is one for each
// uid and gid, in the order of the record (auditd-event.c, format_enrich).
func lookFields(raw, fields []byte) verdict {
	if len(fields) > 6 && string(fields[:6]) == "SADDR=" { // { saddr_fam=... } or unknown-family(0)
		end := fields[len(fields)-1]
		return is(end == '}' || end == ')')
	}
	key, value := lastField(fields)

	// A name is in quotes or in hex.
	if len(key) == 0 || (string(key) != "SYSCALL" && string(key) != "ARCH" && (len(value) == 0 || value[0] == '(' || lookText(value) == truncated)) {
		return truncated
	}
	last := lastID(raw)
	for len(last) > 0 && len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte{' '})
		if name, _, ok := bytes.Cut(field, []byte{'='}); ok && bytes.EqualFold(name, last) {
			return whole
		}
	}
	return is(len(last) == 0)
}

// lastID returns the name of the last field of a record that auditd interprets
// as a user or group.
func lastID(raw []byte) []byte {
	for {
		k := bytes.LastIndex(raw, []byte("id="))
		if k < 0 {
			return nil
		}
		from := bytes.LastIndexByte(raw[:k], ' ') + 1
		switch name := raw[from : k+len("id")]; string(name) {
		case "uid", "auid", "euid", "suid", "fsuid", "ouid", "oauid", "old-auid", "gid", "egid", "sgid", "fsgid", "ogid":
			return name
		}
		raw = raw[:k]
	}
}
