package record

import "bytes"

// Unset is an id that is not set: (uid_t)-1.
const Unset = 4294967295

// IsUnset reports whether v is the value of an id that is not set. Kernels before 2.6.38
// and some programs write it with a sign.
func IsUnset(v []byte) bool { return string(v) == "4294967295" || string(v) == "-1" }

// Unquote returns the text of a Text value: the inside of quotes, or the bytes of
// hex appended to dst[:0]. ok is false when v is neither; then it is v itself.
func Unquote(dst, v []byte) (text []byte, ok bool) {
	if n := len(v); n >= 2 && ((v[0] == '"' && v[n-1] == '"') || (v[0] == '\'' && v[n-1] == '\'')) {
		return v[1 : n-1], true
	}
	if text, ok = AppendUnhex(dst[:0], v); ok && len(v) > 0 {
		return text, true
	}
	return v, false
}

// NeedsHex reports whether the kernel writes text in hex rather than in quotes
// (kernel/audit.c, audit_string_contains_control).
func NeedsHex(text []byte) bool {
	for i := PlainEnd(text, 0); i < len(text); i = PlainEnd(text, i+1) {
		if text[i] != '\\' { // that is for JSON alone
			return true
		}
	}
	return false
}

// IsText reports whether v is a text as the kernel writes it, in quotes or in
// upper-case hex (kernel/audit.c, audit_log_n_untrustedstring), so that it can be restored from that.
func IsText(v []byte) bool {
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		return !NeedsHex(v[1 : n-1])
	}
	if len(v) == 0 || len(v)%2 != 0 {
		return false
	}
	needs := false
	for i := 0; i < len(v); i += 2 {
		hi, lo := nibble[v[i]], nibble[v[i+1]]
		if hi|lo > 15 || v[i] >= 'a' || v[i+1] >= 'a' {
			return false
		}
		c := hi<<4 | lo
		needs = needs || c == '"' || c < 0x21 || c > 0x7E
	}
	return needs
}

// KeySeparator stands between several keys in the value of key= (linux/audit.h,
// AUDIT_KEY_SEPARATOR).
const KeySeparator = 0x01

// AppendTitle appends the arguments that an unquoted proctitle= holds: the kernel takes
// them from the process's memory with the NUL after each, at most 128 bytes, and leaves out
// what is not printable at the end (kernel/auditsc.c, audit_log_proctitle). So the last may
// be cut, and empty ones at the end are missing. Put together with a NUL between they
// are text again.
func AppendTitle(dst [][]byte, text []byte) [][]byte {
	for more := true; more; {
		var arg []byte
		arg, text, more = bytes.Cut(text, []byte{0})
		dst = append(dst, arg)
	}
	return dst
}
