package ecs

import (
	"strconv"
	"unicode/utf8"

	"audisp-relay/audit/stream"
)

// writer writes JSON. Objects and arrays that stay empty are not there at all.
type writer struct {
	buf     []byte
	percent bool // bytes that are no UTF-8 are written as %xx, and % as %25
	bad     bool // there was such a byte, and percent was not set
}

// open begins an object or, with '[', an array, under a key, and returns what close wants.
func (w *writer) open(key string, bracket byte) (mark int) {
	mark = len(w.buf)
	w.key(key)
	w.buf = append(w.buf, bracket)
	return mark
}

// openItem begins an object inside of an array.
func (w *writer) openItem() (mark int) {
	mark = len(w.buf)
	w.comma()
	w.buf = append(w.buf, '{')
	return mark
}

// close ends what began at mark with that bracket.
func (w *writer) close(mark int, bracket byte) {
	if last := w.buf[len(w.buf)-1]; last == '{' || last == '[' {
		w.buf = w.buf[:mark]
		return
	}
	w.buf = append(w.buf, bracket)
}

// comma ends the member or item before, if there is one.
func (w *writer) comma() {
	if n := len(w.buf); n > 0 && w.buf[n-1] != '{' && w.buf[n-1] != '[' {
		w.buf = append(w.buf, ',')
	}
}

// key begins a member. Keys are ours, or of letters, digits, _ and -.
func (w *writer) key(key string) {
	w.comma()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, key...)
	w.buf = append(w.buf, '"', ':')
}

func (w *writer) uint(key string, n uint64) {
	w.key(key)
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

// some writes a string, if there is one.
func (w *writer) some(key, s string) {
	if s != "" {
		w.str(key, s)
	}
}

const (
	isPlain = iota
	isEscaped
	isPercent
	isHigh // not ASCII
)

var kinds = func() (t [256]byte) {
	for c := range t {
		switch {
		case c < ' ' || c == '"' || c == '\\' || c == 0x7F:
			t[c] = isEscaped
		case c == '%':
			t[c] = isPercent
		case c >= utf8.RuneSelf:
			t[c] = isHigh
		}
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// str writes a member that is a string, exactly.
func (w *writer) str(key, s string) {
	w.key(key)
	w.text(s)
}

// item writes a string of an array.
func (w *writer) item(s string) {
	w.comma()
	w.text(s)
}

func (w *writer) text(s string) {
	w.buf = append(w.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		kind := kinds[c]
		switch {
		case kind == isPlain || kind == isPercent && !w.percent:
			i++
			continue
		case kind == isHigh:
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				if stream.Unseen(r) {
					w.buf = append(w.buf, s[from:i]...)
					w.buf = stream.AppendUnseen(w.buf, r)
					from = i + n
				}
				i += n
				continue
			}
			w.bad = true
		}
		w.buf = append(w.buf, s[from:i]...)
		i++
		from = i
		switch kind {
		case isEscaped:
			w.escape(c)
		default:
			w.buf = append(w.buf, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	w.buf = append(w.buf, s[from:]...)
	w.buf = append(w.buf, '"')
}

func (w *writer) escape(c byte) {
	switch c {
	case '"', '\\':
		w.buf = append(w.buf, '\\', c)
	case '\n':
		w.buf = append(w.buf, '\\', 'n')
	case '\t':
		w.buf = append(w.buf, '\\', 't')
	case '\r':
		w.buf = append(w.buf, '\\', 'r')
	default:
		w.buf = append(w.buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}
