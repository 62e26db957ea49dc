package laurel

import (
	"bytes"

	"audisp-relay/audit/record"
)

// What a byte may be part of.
const (
	inKey uint32 = 1 << iota
	inDec
	inOct
	inHex
	inLowHex
	inBare   // a value without quotes
	inWord   // a value without quotes that need not be escaped
	inLabel  // a security label, which may have braces and '
	endsWord // what separates fields
	letter
)

// is says what each byte may be part of. Separators are the blank, what auditd puts before
// the names it adds, and a newline, which auditd makes a blank in a string stream.
var is = func() (t [256]uint32) {
	for c := '!'; c <= '~'; c++ {
		if c == '"' {
			continue
		}
		t[c] = inLabel
		if c != '\'' && c != '{' && c != '}' {
			t[c] |= inBare
			if ways[c] == asIs {
				t[c] |= inWord
			}
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= inKey | letter
		t[c-'a'+'A'] |= inKey | letter
	}
	for c := '0'; c <= '9'; c++ {
		t[c] |= inKey | inDec | inHex | inLowHex
	}
	for c := '0'; c <= '7'; c++ {
		t[c] |= inOct
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c] |= inHex | inLowHex
		t[c-'a'+'A'] |= inHex
	}
	t['-'] |= inKey
	t['_'] |= inKey
	t[' '], t[0x1D], t['\n'] = endsWord, endsWord, endsWord
	return t
}()

func atEnd(text []byte) bool { return len(text) == 0 || is[text[0]]&endsWord != 0 }

// keyLen returns the length of the key with which text begins, 0 without one. A '=' follows.
func keyLen(text []byte) int {
	if len(text) == 0 || is[text[0]]&letter == 0 {
		return 0
	}
	for i, c := range text {
		if is[c]&inKey == 0 {
			if c == '=' {
				return i
			}
			return 0
		}
	}
	return 0
}

// argKeyLen returns the length of the key of an argument with which text begins: a0 of a
// SYSCALL, and of an EXECVE a0_len and a0[1] too.
func argKeyLen(text []byte, t uint32) int {
	n := 1 + record.CountDigits(text[1:])
	if n == 1 {
		return 0
	}
	if t == record.TypeExecve {
		if rest := text[n:]; bytes.HasPrefix(rest, []byte("_len=")) {
			return n + len("_len")
		} else if len(rest) > 0 && rest[0] == '[' {
			if k := record.CountDigits(rest[1:]); k > 0 && bytes.HasPrefix(rest[1+k:], []byte("]=")) {
				return n + k + 2
			}
		}
	}

	if n == len(text) || text[n] != '=' {
		return 0
	}
	if i, ok := parseNumber(text[1:n], 10); t == record.TypeSyscall && (!ok || i >= 1<<16) { // as far as laurel counts
		return 0
	}
	return n
}

// readPrefix reads what stands in front of the fields that laurel knows, and shows with a key of its own:
// "avc:  denied  { read } for  ", with the permissions, "netlabel: ". In a policy load it skips "policy loaded ".
func readPrefix(t uint32, body []byte) (key, perms, rest []byte) {
	const blanks = " \t"
	rest = body
	if v, ok := record.ReadVerdict(body); ok && body[0] == 'a' && areIdents(v.Perms) {
		if after, ok := bytes.CutPrefix(bytes.TrimLeft(v.Rest, blanks), []byte("for")); ok {
			key, perms, rest = v.Result, v.Perms, bytes.TrimLeft(after, blanks)
		}
	} else if after, ok := bytes.CutPrefix(body, []byte("netlabel:")); ok {
		key, rest = body[:len("netlabel")], bytes.TrimLeft(after, blanks)
	}
	if t == record.TypeMACLoad {
		rest = bytes.TrimPrefix(rest, []byte("policy loaded "))
	}
	return key, perms, rest
}

// areIdents reports whether there are permissions, and all have names: of one that the policy lacks
// SELinux writes the number, and laurel refuses the record.
func areIdents(perms []byte) bool {
	perm, rest := record.NextPerm(perms)
	for next := perm; len(next) > 0; next, rest = record.NextPerm(rest) {
		if identLen(next) < len(next) {
			return false
		}
	}
	return len(perm) > 0
}

func identLen(text []byte) (n int) {
	for n < len(text) && (is[text[n]]&letter != 0 || text[n] == '_' || (n > 0 && is[text[n]]&inDec != 0)) {
		n++
	}
	return n
}
