package json

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"audisp-relay/format/jsontext"
)

// The functions here find where a run of bytes of some kind ends, eight bytes at once: a
// record has some hundred short values, and a loop over the bytes of each costs more in
// branches guessed wrong than in work. In each step the lowest bit that is set is right;
// those above it may come of a borrow or carry.

const (
	each = 0x0101010101010101 // times c: c in every byte
	tops = 0x8080808080808080
)

// is has the top bit of the bytes of x that are c.
func is(x uint64, c byte) uint64 {
	x ^= each * uint64(c)
	return (x - each) &^ x
}

// tokenEnd returns where the next blank is.
func tokenEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if m := is(binary.LittleEndian.Uint64(b[i:]), ' ') & tops; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && b[i] != ' ' {
		i++
	}
	return i
}

// digitsEnd returns where the decimal digits at b[i:] end.
func digitsEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ each*'0'
		if m := (x + each*(0x7F-9) | x) & tops; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

// numberEnd returns where the decimal number at b[i:] ends if a JSON number of the same
// digits is the same value in every reader and it is a whole field value; 0 otherwise.
func numberEnd(b []byte, i int) int {
	from := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	digits := i
	i = digitsEnd(b, i)
	n := i - digits
	if n == 0 || n > 16 || i < len(b) && b[i] != ' ' || b[digits] == '0' && (n > 1 || digits > from) {
		return 0
	}
	if n == 16 { // up to 2^53
		if v, _ := strconv.ParseUint(string(b[digits:i]), 10, 64); v >= 1<<53 {
			return 0
		}
	}
	return i
}

// isNumber reports whether a value is such a number.
func isNumber(v []byte) bool { return len(v) > 0 && numberEnd(v, 0) == len(v) }

// hexEnd returns where the hex digits at b[i:] end if they are a whole field value; 0 otherwise.
func hexEnd(b []byte, i int) int {
	from := i
	for i < len(b) && isHex[b[i]] {
		i++
	}
	if i == from || i < len(b) && b[i] != ' ' {
		return 0
	}
	return i
}

var isHex = func() (t [256]bool) {
	for _, c := range "0123456789abcdefABCDEF" {
		t[c] = true
	}
	return t
}()

// wordEnd returns where the bare word at b[i:] ends, when a field or nothing follows and it
// can stand in JSON as it is; 0 otherwise.
func wordEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '\'' {
		return 0
	}
	i = jsontext.PlainEnd(b, i)
	if i == len(b) || b[i] == ' ' && isField(b[i+1:]) {
		return i
	}
	return 0
}

// quotedEnd returns where the "..." at b[i:] ends, when it is a whole value and JSON writes it
// just so; 0 otherwise.
func quotedEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return 0
	}
	i = jsontext.PlainEnd(b, i+1)
	if i < len(b) && b[i] == '"' && (i+1 == len(b) || b[i+1] == ' ') {
		return i + 1
	}
	return 0
}
