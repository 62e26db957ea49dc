package ecs

import (
	"unsafe"

	"audisp-relay/format/jsontext"
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

// some writes a string, if there is one.
func (w *writer) some(key, s string) {
	if s != "" {
		w.str(key, s)
	}
}

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
	escaped := 0
	w.buf, escaped = jsontext.AppendString(w.buf, unsafe.Slice(unsafe.StringData(s), len(s)), w.percent)
	w.bad = w.bad || (escaped > 0 && !w.percent)
}
