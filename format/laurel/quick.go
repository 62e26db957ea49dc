package laurel

import (
	"audisp-relay/audit/record"
)

// quick is what appendQuick makes of a value without quotes.
const (
	slow   uint8 = iota // it is left to appendField
	asWord              // a text without anything to be escaped
	asNumber
	asHex
	asNull
)

// appendQuick appends fields that laurel treats like most, as long as text begins
// with one, and returns where it has left off. That is most of them, and appendField would
// write the same for each, in a multiple of the time.
func (e *Encoder) appendQuick(dst []byte, t uint32, text []byte) (out []byte, at int) {
	for at < len(text) && is[text[at]]&letter != 0 {
		end := at + 1
		for end < len(text) && is[text[end]]&inKey != 0 {
			end++
		}
		from := end + 1
		if from >= len(text) || text[end] != '=' {
			break
		}
		key, to, way := text[at:end], from, asNumber
		if text[from] == '"' {
			for to++; to < len(text) && ways[text[to]] == asIs; to++ {
			}
			if to == len(text) || text[to] != '"' {
				break
			}
			if to++; to < len(text) && is[text[to]]&endsWord == 0 {
				break
			}
		} else {
			word, all := readWord(text[from:])
			to += len(word)
			way = quickWay(key, word, all)
		}

		if way == slow || isSpecial(t, key) || isOwn(t, key) {
			break
		}
		dst = e.keys.appendKey(dst, key)
		switch way {
		case asWord:
			dst = append(append(append(dst, '"'), text[from:to]...), '"')
		case asNumber:
			dst = append(dst, text[from:to]...)
		case asHex:
			dst = append(append(append(dst, '"', '0', 'x'), text[from:to]...), '"')
		case asNull:
			dst = append(dst, "null"...)
		}
		for at = to; at < len(text) && is[text[at]]&endsWord != 0; {
			at++
		}
	}
	return dst, at
}

// quickWay says how a value without quotes is written. all is what each byte may be part of.
func quickWay(key, word []byte, all uint32) uint8 {
	n := len(word)
	if n == 0 {
		return asNull
	}

	switch classOf(key) {
	case decimal:
		if all&inDec != 0 && n <= 18 && (word[0] != '0' || n == 1) {
			return asNumber
		}
	case hexadecimal:
		if all&inLowHex != 0 && n <= 16 && (word[0] != '0' || n == 1) {
			return asHex
		}
	case encoded:
		switch {
		case all&inWord == 0 || (all&inHex != 0 && n%2 == 0):
			return slow
		case string(word) == "(null)" || string(word) == "?":
			return asNull
		}
		return asWord
	}
	return slow
}

// isSpecial reports whether a field is read in a way of its own.
func isSpecial(t uint32, key []byte) bool {
	switch t {
	case record.TypeSyscall:
		return (key[0] == 'a' && is[key[len(key)-1]]&inDec != 0) || string(key) == "subj"
	case record.TypeExecve:
		return key[0] == 'a'
	case record.TypeUserAuth:
		return string(key) == "subj"
	case record.TypeProctitle:
		return true
	}
	return false
}
