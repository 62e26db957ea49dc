package stream

// Unseen reports whether a character does something to what shows it instead of being seen:
// DEL and the controls of C1 drive a terminal, bidirectional controls turn text round, and
// U+2028 and U+2029 end a line for some readers. Formats of JSON write them as \uXXXX, which
// means the same. The controls of C0 may not stand in JSON anyway.
func Unseen(r rune) bool {
	switch {
	case r < 0x7F:
		return false
	case r <= 0x9F:
		return true
	case r < 0x200E:
		return r == 0x061C
	}
	return r <= 0x200F || r >= 0x2028 && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// AppendUnseen appends such a character as JSON writes it.
func AppendUnseen(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
