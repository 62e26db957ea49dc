package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"unsafe"
)

// Eight bytes of a text are looked at at once: a record has some hundred short values, and a loop
// over the bytes of each costs more in branches guessed wrong than in work. ones has a one in each
// byte of a word, and the top bit of each says what was found. The lowest bit that is set is right;
// those above it may come from a borrow.
const ones, tops = 0x0101010101010101, 0x8080808080808080

// equals has the top bit of the bytes of word that are c, and other bits.
func equals(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return (word - ones) &^ word
}

// find returns where c is in text from there on, or the length of text.
func find(text []byte, from int, c byte) int {
	i := from
	for ; i+8 <= len(text); i += 8 {
		if found := equals(binary.LittleEndian.Uint64(text[i:]), c) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
		if i-from >= 64 { // a long one: that is quicker
			if k := bytes.IndexByte(text[i:], c); k >= 0 {
				return i + k
			}
			return len(text)
		}
	}
	for ; i < len(text) && text[i] != c; i++ {
	}
	return i
}

// WordEnd returns where the next blank is in text from there on, or the length of text.
func WordEnd(text []byte, from int) int { return find(text, from, ' ') }

// keyEnd returns where the '=' after the key at text[from] is, and from when there is no
// key. A key has no byte below '-', which are the blanks, the quotes and the brackets that
// are no keys' in any record, and is ASCII.
func keyEnd(text []byte, from int) int {
	i := from
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i : i+8])
		equal := w ^ '='*ones
		equal = ^((equal&^tops + 0x7F*ones) | equal)
		below := ^((w | tops) - '-'*ones)
		if stop := (equal | below | w) & tops; stop != 0 {
			i += bits.TrailingZeros64(stop) / 8
			if text[i] != '=' {
				return from
			}
			return i
		}
	}

	for ; i < len(text); i++ {
		if c := text[i]; c == '=' {
			return i
		} else if c < '-' || c > 0x7F {
			return from
		}
	}
	return from
}

// StartsField reports whether text begins with a field, key=.
func StartsField(text []byte) bool { return keyEnd(text, 0) > 0 }

// plain are the bytes that the kernel leaves in quotes and JSON as they are.
var plain = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// IsPlain reports whether the kernel leaves a byte in quotes, and JSON as it is.
func IsPlain(c byte) bool { return plain[c] }

// PlainEnd returns where the run of such bytes that begins at text[from] ends.
func PlainEnd(text []byte, from int) int {
	i := from
	for ; i+8 <= len(text); i += 8 {
		if stop := notPlain(binary.LittleEndian.Uint64(text[i:])); stop != 0 {
			return i + bits.TrailingZeros64(stop)/8
		}
	}

	// What is left is read in two parts that may overlap, with plain bytes after it.
	rest := text[i:]
	n := len(rest)
	word := uint64('x'*ones) << (8 * n)
	switch {
	case n >= 4:
		word |= uint64(binary.LittleEndian.Uint32(rest)) | uint64(binary.LittleEndian.Uint32(rest[n-4:]))<<(8*(n-4))
	case n >= 2:
		word |= uint64(binary.LittleEndian.Uint16(rest)) | uint64(binary.LittleEndian.Uint16(rest[n-2:]))<<(8*(n-2))
	case n == 1:
		word |= uint64(rest[0])
	default:
		return i
	}
	if stop := notPlain(word); stop != 0 {
		return i + bits.TrailingZeros64(stop)/8
	}
	return len(text)
}

// notPlain has the top bit of the first byte of word that is not plain, and maybe of others after it.
func notPlain(word uint64) uint64 {
	return ((word-ones*'!')&^word | equals(word, '"') | equals(word, '\\') | equals(word, 0x7F) | word) & tops
}

// Alias returns b as a string without a copy, which lasts as long as nothing changes b.
func Alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// HasPrefix reports whether b begins with prefix.
func HasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// IsDigit reports whether a byte is a decimal digit.
func IsDigit(c byte) bool { return c-'0' < 10 }

// CountDigits returns how many decimal digits b begins with.
func CountDigits(b []byte) (n int) {
	for n < len(b) && IsDigit(b[n]) {
		n++
	}
	return n
}

// ReadDigits reads a decimal number of at most most digits and returns what follows.
func ReadDigits(b []byte, most int) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < most && IsDigit(b[i]) {
		n = n*10 + uint64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

// ParseInt reads a number as %d prints it: all of v, no leading zero, no plus sign.
func ParseInt(v []byte) (n int64, ok bool) {
	digits := v
	if len(v) > 0 && v[0] == '-' {
		digits = v[1:]
	}
	abs, rest, ok := ReadDigits(digits, len("9223372036854775807"))
	if !ok || len(rest) > 0 || abs > math.MaxInt64 || (digits[0] == '0' && len(v) > 1) {
		return 0, false
	}
	if len(digits) < len(v) {
		return -int64(abs), true
	}
	return int64(abs), true
}

// ParseID reads an id as %u prints it; ok is false for other text, and for an id that is not set.
func ParseID(v []byte) (id uint32, ok bool) {
	n, ok := ParseInt(v)
	return uint32(n), ok && n >= 0 && n < Unset
}

// nibble is the value of a hex digit, above 15 for any other byte.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = byte(10 + i)
	}
	return t
}()

// IsHexDigit reports whether a byte is a hex digit.
func IsHexDigit(c byte) bool { return nibble[c] < 16 }

// IsHex reports whether v is hex digits and nothing else.
func IsHex(v []byte) bool {
	for _, c := range v {
		if nibble[c] > 15 {
			return false
		}
	}
	return len(v) > 0
}

// ParseHex reads a number in hex without 0x, of 16 digits at most.
func ParseHex(v []byte) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > 16 {
		return 0, false
	}
	for _, c := range v {
		digit := nibble[c]
		if digit > 15 {
			return 0, false
		}
		n = n<<4 | uint64(digit)
	}
	return n, true
}

// UnhexUpper returns the bytes that upper-case hex digits encode, which is how the kernel and libaudit write a text that may not stand in
// quotes; anything else, lower-case digits too, as it is. It appends the bytes to buf, whose memory they share.
func UnhexUpper(buf *[]byte, v []byte) []byte {
	from := len(*buf)
	text, ok := AppendUnhex(*buf, v)
	if !ok || hasSmall(v) {
		return v
	}
	*buf = text
	return text[from:len(text):len(text)]
}

// AppendUnhex appends the bytes that the hex digits v encode, in either case. ok is
// false, and dst unchanged, when v has an odd length or anything but digits.
func AppendUnhex(dst, v []byte) (out []byte, ok bool) {
	if len(v)%2 != 0 {
		return dst, false
	}
	out = slices.Grow(dst, len(v)/2)[:len(dst)+len(v)/2]
	text := out[len(dst):]
	i := 0
	for ; i+8 <= len(v); i += 8 {
		four, ok := unhexEight(binary.LittleEndian.Uint64(v[i:]))
		if !ok {
			return dst, false
		}
		binary.LittleEndian.PutUint32(text[i/2:], four)
	}

	for ; i < len(v); i += 2 {
		hi, lo := nibble[v[i]], nibble[v[i+1]]
		if hi|lo > 15 {
			return dst, false
		}
		text[i/2] = hi<<4 | lo
	}
	return out, true
}

// unhexEight returns the four bytes that eight hex digits encode.
func unhexEight(digits uint64) (four uint32, ok bool) {
	// Added to a byte below 0x80, 0x80-c sets its top bit if it is c or more.
	small := digits | 0x20*ones
	isDigit := (digits + (0x80-'0')*ones) &^ (digits + (0x80-'9'-1)*ones)
	isLetter := (small + (0x80-'a')*ones) &^ (small + (0x80-'f'-1)*ones)
	if ((isDigit|isLetter)&^digits)&tops != tops {
		return 0, false
	}
	n := digits&(0x0F*ones) + digits>>6&ones*9 // letters have bit 6, and count from 1
	n = (n<<4 | n>>8) & 0x00FF00FF00FF00FF
	n = (n | n>>8) & 0x0000FFFF0000FFFF
	return uint32(n | n>>16), true
}

// hasSmall reports whether hex digits have a small letter among them: of all digits these alone have both
// the bit that letters have and the one of small letters.
func hasSmall(digits []byte) bool {
	const letter, small = 0x40 * ones, 0x20 * ones
	i := 0
	for ; i+8 <= len(digits); i += 8 {
		if w := binary.LittleEndian.Uint64(digits[i:]); w&(w&letter>>1)&small != 0 {
			return true
		}
	}
	for ; i < len(digits); i++ {
		if digits[i] >= 'a' {
			return true
		}
	}
	return false
}
