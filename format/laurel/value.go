package laurel

import (
	"bytes"
	"strconv"

	"audisp-relay/audit/record"
)

// kind is what a value turned out to be.
type kind uint8

const (
	isNull kind = iota
	isText
	isHexText // pairs of hex digits
	isBraces  // the inside of { }
	isDec
	isHex
	isOct
)

// value is a value that was read; of is its text without quotes or braces, num the number
// it is, without the sign.
type value struct {
	of   []byte
	num  uint64
	kind kind
	neg  bool
}

// look is how many bytes may still be looked at in a part of a record for the ends of values in '...' and { ... }. Each
// value that has none costs a look at all that follows, and a line of 64 KiB may begin 16 000 such. What is left then ends
// at the next blank, and RAW has the record.
type look int

// lookFor returns how far is looked in a text: far more often over all of it than a record of auditd's needs.
func lookFor(text []byte) look { return look(64 * len(text)) }

// index is bytes.IndexByte, -1 where no more is to be looked at.
func (l *look) index(text []byte, c byte) int {
	if *l < 0 {
		return -1
	}
	k := bytes.IndexByte(text, c)
	if k < 0 {
		*l -= look(len(text))
	} else {
		*l -= look(k)
	}
	return k
}

// readValue reads the value that text begins with as laurel does. n is its length, -1 when
// laurel would refuse it.
func readValue(text []byte, c class, l *look) (v value, n int) {
	if len(text) > 0 && text[0] == '"' {
		if k := bytes.IndexByte(text[1:], '"'); k >= 0 && atEnd(text[k+2:]) {
			return value{of: text[1 : 1+k], kind: isText}, k + 2
		}
		return v, -1
	}

	word, all := readWord(text)
	if n = len(word); n == 0 {
		return v, 0
	}
	if v, ok := readBare(word, all, c); ok {
		return v, n
	}

	switch word[0] {
	case '\'':
		return readSingleQuoted(text, l)
	case '{':
		return readBraces(text, l)
	}
	return v, -1
}

// readWord returns the bytes up to the next separator, and what each of them may be part of.
// Inlined its loop would run in memory instead of in registers, at half the speed.
//
//go:noinline
func readWord(text []byte) (word []byte, all uint32) {
	all = ^uint32(0)
	for i, c := range text {
		may := is[c]
		if may&endsWord != 0 {
			return text[:i], all
		}
		all &= may
	}
	return text, all
}

// readBare reads a value without quotes. all is what each of its bytes may be part of.
func readBare(word []byte, all uint32, c class) (v value, ok bool) {
	v.of = word
	switch {
	case c == encoded && all&inHex != 0 && len(word)%2 == 0:
		v.kind = isHexText
		return v, true
	case c == encoded && (string(word) == "?" || string(word) == "(null)"):
		return v, true
	case c == hexadecimal && all&inHex != 0:
		v.kind = isHex
		v.num, ok = parseNumber(word, 16)
	case c == octal && all&inOct != 0:
		v.kind = isOct
		v.num, ok = parseNumber(word, 8)
	case c == decimal: // what fits in 63 bits and a sign
		digits, neg := bytes.CutPrefix(word, []byte("-"))
		v.kind, v.neg = isDec, neg
		v.num, ok = parseNumber(digits, 10)
		ok = ok && v.num < 1<<63
	}
	if !ok {
		v.kind, ok = isText, all&inBare != 0
	}
	return v, ok
}

// parseNumber reads digits of a base; ok is false when there are none, others, or too many.
func parseNumber(digits []byte, base int) (n uint64, ok bool) {
	if base == 10 && record.CountDigits(digits) < len(digits) {
		return 0, false // without the memory that an error takes
	}
	n, err := strconv.ParseUint(record.Alias(digits), base, 64)
	return n, err == nil
}

// readSingleQuoted reads '...': fields with one blank between, where quotes may hold a ', or else
// anything up to the next '.
func readSingleQuoted(text []byte, l *look) (v value, n int) {
	v.kind = isText
	if k := fieldsLen(text[1:], '\'', l); k+1 < len(text) && text[k+1] == '\'' {
		v.of, n = text[1:1+k], k+2
	} else if k := l.index(text[1:], '\''); k >= 0 {
		v.of, n = text[1:1+k], k+2
	} else {
		return v, -1
	}
	if !atEnd(text[n:]) {
		return v, -1
	}
	return v, n
}

// readBraces reads { ... }: fields, or else anything up to the next }. laurel leaves the
// blanks inside out in the first case.
func readBraces(text []byte, l *look) (v value, n int) {
	v.kind = isBraces
	if bytes.HasPrefix(text, []byte("{ ")) {
		if k := fieldsLen(text[2:], '}', l); bytes.HasPrefix(text[2+k:], []byte(" }")) {
			v.of, n = text[2:2+k], k+4
		}
	}
	if n == 0 {
		k := l.index(text, '}')
		if k < 0 {
			return v, -1
		}
		v.of, n = text[1:k], k+1
	}
	if !atEnd(text[n:]) {
		return v, -1
	}
	return v, n
}

// fieldsLen returns the length of the fields that text begins with, inside of '...' or { ... }; 0 where no more is to be
// looked at.
func fieldsLen(text []byte, closing byte, l *look) (n int) {
	for at := 0; *l >= 0; at++ {
		k := keyLen(text[at:])
		if k == 0 {
			return n
		}
		at += k + 1
		at += innerLen(text[at:], closing, l)
		*l -= look(at - n)
		n = at
		if at >= len(text) || text[at] != ' ' {
			return n
		}
	}
	return 0
}

// innerLen returns the length of a value inside of '...' or { ... }.
func innerLen(text []byte, closing byte, l *look) int {
	if len(text) == 0 {
		return 0
	}
	pair := text[0]
	switch {
	case pair == '"' || (pair == '\'' && closing == '}'):
	case pair == '{' && closing == '\'':
		pair = '}'
	default:
		pair = 0
	}

	if pair != 0 {
		if k := l.index(text[1:], pair); k >= 0 {
			return k + 2
		}
	}

	for i, c := range text {
		if is[c]&inLabel == 0 || (c == '\'' && closing == '\'') {
			return i
		}
	}
	return len(text)
}

// looseValue returns a value that laurel refuses and its length. '...' and {...} go, without
// these, up to the last end of such that a field can end with: what a program or a path
// has inside is not known. Anything else goes up to the next blank, as it stands.
func looseValue(text []byte, l *look) (v value, n int) {
	if len(text) > 0 && (text[0] == '\'' || text[0] == '{') && *l >= 0 {
		*l -= look(len(text))
		closing := text[0]
		if closing == '{' {
			closing = '}'
		}
		for k := len(text); k > 1; {
			k = bytes.LastIndexByte(text[1:k], closing) + 1
			if k > 0 && atEnd(text[k+1:]) {
				return value{of: text[1:k], kind: isText}, k + 1
			}
		}
	}
	for n < len(text) && is[text[n]]&endsWord == 0 {
		n++
	}
	return value{of: text[:n], kind: isText}, n
}

// readField reads the value of a field of class c. AppArmor writes a mode after its labels, with a
// blank between, which laurel looks for in these records.
func readField(t uint32, key, text []byte, c class, l *look) (v value, n int) {
	v, n = readValue(text, c, l)
	if (t == record.TypeSyscall || t == record.TypeUserAuth) && string(key) == "subj" && !isEncoded(text, v, n) {
		return readLabel(text)
	}
	return v, n
}

// isEncoded reports whether v, the first n bytes of text, is one of the values of fields
// that the kernel quotes or writes in hex.
func isEncoded(text []byte, v value, n int) bool {
	return n > 0 && (text[0] == '"' || v.kind == isHexText || v.kind == isNull)
}

// readLabel reads "unconfined", "=/usr/sbin/ntpd (enforce)".
func readLabel(text []byte) (v value, n int) {
	for n < len(text) && is[text[n]]&inLabel != 0 {
		n++
	}
	if mode := text[n:]; bytes.HasPrefix(mode, []byte(" (")) {
		if k := identLen(mode[2:]); k > 0 && 2+k < len(mode) && mode[2+k] == ')' {
			n += k + 3
		}
	}
	if !atEnd(text[n:]) {
		return v, -1
	}
	return value{of: text[:n], kind: isText}, n
}
