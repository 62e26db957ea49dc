package record

import (
	"bytes"
	"math"
)

// ArgState says how much of an argument there is.
type ArgState uint8

const (
	// ArgMissing: no record has it.
	ArgMissing ArgState = iota
	// ArgCut: only its beginning is there or, of the first argument of an event that came in parts, its end.
	ArgCut
	// ArgWhole: all of it is there.
	ArgWhole
)

// Bounds of Args.
const (
	// maxGap is how many arguments that no record has may be among those Arg can be
	// asked for. Hostile records may have a99999999= or argc=4294967295.
	maxGap = 1024
	// keptArgs and keptBytes are what Reset keeps of the memory that one event took.
	keptArgs, keptBytes = 16 << 10, 256 << 10
)

// Args puts the arguments of an execve together from the EXECVE records of one
// event. The zero Args is ready; one that is used again allocates nothing. What it holds is
// in proportion to what it was given.
//
// The kernel (kernel/auditsc.c, audit_log_execve_info) writes "argc=N a0="x" a1=6120", each in
// quotes or in upper-case hex, and begins another record, " a2=..", after 7500 bytes. An
// argument that does not fit in a record is cut in pieces, " a1_len=20 a1[0]=4141", which may
// continue in the next record: a1_len is the number of bytes, or of hex digits, in all of them.
type Args struct {
	list    []arg
	text    []byte // of all arguments, one after the other
	argc    uint32
	counted bool // argc is known
	odd     bool // not what the kernel writes, or not in one record
	left    bool // a field was not taken
	records int
	gaps    int   // places in list that were made for arguments between
	missing int   // of the arguments in list, those that no record has
	cut     int   // arguments in list of which only the beginning is there
	open    int64 // the argument whose pieces are being put together, -1 without
	// skipped is how many arguments came before the first in list, where that is a later part of the event's.
	skipped uint32
	pieces  uint32
	awaited int64 // of open: bytes or digits still to come
}

type arg struct {
	from, to int // in text
	state    ArgState
}

// Reset forgets everything but the memory.
func (a *Args) Reset() {
	list, text := a.list[:0], a.text[:0]
	if cap(list) > keptArgs {
		list = nil
	}
	if cap(text) > keptBytes {
		text = nil
	}
	*a = Args{list: list, text: text}
}

// Add adds the body of the event's next EXECVE record, in the order they came. words reports whether there
// are any that belong to no field.
func (a *Args) Add(body []byte) (words bool) {
	if a.records++; a.records == 1 {
		a.open = -1
	} else {
		a.odd = true
	}
	s := Scan(body)
	for first := true; s.Next(); first = false {
		if (first && len(s.Gap) > 0) || (!first && len(s.Gap) != 1) {
			a.odd = true
			words = words || hasWords(s.Gap)
		}
		a.field(&s)
	}

	if len(s.Gap) > 0 {
		a.odd = true
		words = words || hasWords(s.Gap)
	}
	return words
}

func hasWords(gap []byte) bool { return len(bytes.Trim(gap, " ")) > 0 }

func (a *Args) field(s *Scanner) {
	if string(s.Key) == "argc" {
		n, ok := decimal(s.Value)
		if !ok || a.counted {
			a.odd, a.left = true, true
		}
		if ok && !a.counted {
			a.argc, a.counted = n, true
		}
		return
	}
	i, rest, ok := cutIndex(s.Key)
	if ok && len(rest) == 0 {
		a.whole(i, s.Value)
		return
	}

	a.odd = true
	switch {
	case ok && string(rest) == "_len":
		a.announce(i, s.Value)
		return
	case ok && len(rest) > 2 && rest[0] == '[' && rest[len(rest)-1] == ']':
		if n, ok := decimal(rest[1 : len(rest)-1]); ok {
			a.piece(i, n, s.Value)
			return
		}
	}
	a.left = true
}

// whole adds argument i from a value that is all of it.
func (a *Args) whole(i uint32, v []byte) {
	if int64(i) != int64(len(a.list)) || !a.counted {
		a.odd = true
	}
	arg := a.place(i)
	if arg == nil {
		a.left = true
		return
	}
	a.open = -1
	from := len(a.text)
	state := a.decode(v)
	if state != ArgWhole || !IsText(v) {
		a.odd = true
	}
	a.set(arg, from, state)
}

// announce begins argument i, whose pieces follow.
func (a *Args) announce(i uint32, v []byte) {
	arg := a.place(i)
	if arg == nil {
		a.left = true
		return
	}
	a.open, a.pieces, a.awaited = int64(i), 0, math.MaxInt64
	if n, ok := decimal(v); ok {
		a.awaited = int64(n)
	} else {
		a.left = true
	}
	a.set(arg, len(a.text), ArgCut)
}

// piece adds piece n to argument i. A piece that is not the next is not taken, nor any
// after it: what is there of the argument is then its beginning. But a part of an event may begin with any piece.
func (a *Args) piece(i, n uint32, v []byte) {
	if a.open < 0 && a.records == 1 && len(a.list) == 0 && !a.counted {
		if arg := a.place(i); arg != nil {
			a.open, a.pieces, a.awaited = int64(i), n, math.MaxInt64
			a.set(arg, len(a.text), ArgCut)
		}
	}
	if a.open < 0 || uint32(a.open) != i || n != a.pieces {
		a.left = true
		if a.open >= 0 && uint32(a.open) == i {
			a.open = -1
		}
		return
	}

	a.pieces++
	from := len(a.text)
	state := a.decode(v)
	arg := &a.list[a.placeOf(i)]
	arg.to = len(a.text)
	// A length counts digits for hex, and bytes for a text in quotes.
	if got := int64(len(a.text) - from); len(v) > 0 && v[0] == '"' {
		a.awaited -= got
	} else {
		a.awaited -= 2 * got
	}

	switch {
	case state != ArgWhole:
		a.open = -1
	case a.awaited <= 0:
		// The length was read before the text, and the program may have changed it since:
		// what comes beyond it is the argument's too.
		if arg.state == ArgCut {
			arg.state = ArgWhole
			a.cut--
		}
	}
}

// placeOf returns where argument i is in list, or would be; less than 0 when it is one of those skipped.
func (a *Args) placeOf(i uint32) int64 { return int64(i) - int64(a.skipped) }

// place returns the place of argument i if it is free, nil when it is taken or too far
// after the last one.
func (a *Args) place(i uint32) *arg {
	at := a.placeOf(i)
	if at < int64(len(a.list)) {
		if at < 0 || a.list[at].state != ArgMissing {
			return nil
		}
		a.missing--
		return &a.list[at]
	}

	gap := at - int64(len(a.list))
	if gap > int64(maxGap-a.gaps) {
		if a.skipped > 0 || a.counted || len(a.list) > 0 {
			return nil
		}
		a.skipped, gap = i, 0
	}

	a.gaps += int(gap)
	a.missing += int(gap)
	for range gap + 1 {
		a.list = append(a.list, arg{})
	}
	return &a.list[len(a.list)-1]
}

// set says that arg is what has been added to the text from there on.
func (a *Args) set(arg *arg, from int, state ArgState) {
	arg.from, arg.to, arg.state = from, len(a.text), state
	switch state {
	case ArgMissing:
		a.missing++
	case ArgCut:
		a.cut++
	}
}

// decode appends an argument's value, without quotes and out of hex, to the text.
func (a *Args) decode(v []byte) ArgState {
	n := len(v)
	switch {
	case n > 0 && v[0] == '"':
		if n > 1 && v[n-1] == '"' {
			a.text = append(a.text, v[1:n-1]...)
			return ArgWhole
		}
		a.text = append(a.text, v[1:]...) // the record ends in the middle of it
		return ArgCut
	case string(v) == "(null)":
		return ArgMissing
	}

	if text, isHex := AppendUnhex(a.text, v); isHex {
		a.text = text
		return ArgWhole
	}
	if n%2 != 0 {
		if text, isHex := AppendUnhex(a.text, v[:n-1]); isHex && nibble[v[n-1]] < 16 {
			a.text = text // the record ends between two digits
			return ArgCut
		}
	}
	a.text = append(a.text, v...)
	return ArgWhole
}

// Count returns what argc= says; ok is false when no record had a readable one.
func (a *Args) Count() (n uint32, ok bool) { return a.argc, a.counted }

// Len returns how many arguments Arg can be asked for: as many as argc says, or up to
// the last one there is, and of missing ones not more than are sensible: see Missing. Of those that come before the ones of a later
// part of an event none is there, so that these have higher numbers than places: see Numbered.
func (a *Args) Len() int {
	n := len(a.list)
	return n + int(min(a.missingAtEnd(), int64(maxGap-a.gaps)))
}

// missingAtEnd returns how many arguments argc says there are after those in list.
func (a *Args) missingAtEnd() int64 {
	return max(0, int64(a.argc)-int64(len(a.list))-int64(a.skipped))
}

// Arg returns argument i as the program got it, nil when it is missing. The bytes are
// valid until Reset.
func (a *Args) Arg(i int) (text []byte, state ArgState) {
	if i < 0 || i >= len(a.list) || a.list[i].state == ArgMissing {
		return nil, ArgMissing
	}
	arg := &a.list[i]
	return a.text[arg.from:arg.to:arg.to], arg.state
}

// Numbered is Arg for the argument of that number.
func (a *Args) Numbered(i uint32) (text []byte, state ArgState) { return a.Arg(int(a.placeOf(i))) }

// Missing returns how many arguments no record has. Without argc it knows only of those
// before the last one.
func (a *Args) Missing() int64 {
	return int64(a.missing) + int64(a.skipped) + a.missingAtEnd()
}

// Cut returns of how many arguments only the beginning is there.
func (a *Args) Cut() int { return a.cut }

// Left reports whether there was a field that the arguments say nothing of: of one that
// there is already, a piece that does not follow the one before it, a count that is no number.
func (a *Args) Left() bool { return a.left }

// Regular reports whether the record was one, and exactly what the kernel writes for
// these arguments: "argc=N a0=.. a1=.." with each as the kernel writes a text (IsText), and nothing else.
// So it can be restored from them.
func (a *Args) Regular() bool {
	return a.records == 1 && !a.odd && a.counted && int64(a.argc) == int64(len(a.list)) &&
		a.missing == 0 && a.cut == 0
}

// cutIndex returns the number in the key of an argument and what follows it.
func cutIndex(key []byte) (i uint32, rest []byte, ok bool) {
	if len(key) < 2 || key[0] != 'a' {
		return 0, nil, false
	}
	n, rest, ok := ReadDigits(key[1:], len("4294967295"))
	if !ok || n > math.MaxUint32 || (len(rest) > 0 && IsDigit(rest[0])) || (key[1] == '0' && len(key)-len(rest) > 2) {
		return 0, nil, false
	}
	return uint32(n), rest, true
}

// decimal reads a number as %u prints it.
func decimal(v []byte) (n uint32, ok bool) {
	signed, ok := ParseInt(v)
	return uint32(signed), ok && signed >= 0 && signed <= math.MaxUint32
}
