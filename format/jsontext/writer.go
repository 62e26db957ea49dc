package jsontext

import (
	"unsafe"

	"audisp-relay/audit/record"
)

// Writer writes JSON whose members are there only when they have something to say: an object or array
// that stays empty is not written at all. Keys are the caller's own, or of bytes that JSON has as they are.
type Writer struct {
	Buf []byte
	// Percent: bytes that are no UTF-8 are written as %xx, and % as %25.
	Percent bool
	// Bad: there was such a byte, and Percent was not set. What was written says something else
	// than it should then: it is to be written again with Percent.
	Bad bool
}

// Open begins an object or, with '[', an array, under a key, and returns what Close wants.
func (w *Writer) Open(key string, bracket byte) (mark int) {
	mark = len(w.Buf)
	w.Key(key)
	w.Buf = append(w.Buf, bracket)
	return mark
}

// OpenItem begins an object inside of an array.
func (w *Writer) OpenItem() (mark int) {
	mark = len(w.Buf)
	w.Comma()
	w.Buf = append(w.Buf, '{')
	return mark
}

// Close ends what began at mark with that bracket.
func (w *Writer) Close(mark int, bracket byte) {
	if last := w.Buf[len(w.Buf)-1]; last == '{' || last == '[' {
		w.Buf = w.Buf[:mark]
		return
	}
	w.Buf = append(w.Buf, bracket)
}

// Comma ends the member or item before, if there is one.
func (w *Writer) Comma() {
	if n := len(w.Buf); n > 0 && w.Buf[n-1] != '{' && w.Buf[n-1] != '[' {
		w.Buf = append(w.Buf, ',')
	}
}

// Key begins a member.
func (w *Writer) Key(key string) {
	w.Comma()
	buf := append(w.Buf, '"')
	buf = append(buf, key...)
	w.Buf = append(buf, '"', ':')
}

// Literal writes a member whose value is JSON already.
func (w *Writer) Literal(key, value string) {
	w.Key(key)
	w.Buf = append(w.Buf, value...)
}

// Some writes a string, if there is one.
func (w *Writer) Some(key, s string) {
	if s != "" {
		w.Str(key, s)
	}
}

// Str writes a member that is a string.
func (w *Writer) Str(key, s string) {
	w.Key(key)
	w.text(s)
}

// Member writes a member that is a string. key is its name in quotes and the colon.
func (w *Writer) Member(key, s string) {
	w.Comma()
	w.Buf = append(w.Buf, key...)
	w.text(s)
}

// Item writes a string of an array.
func (w *Writer) Item(s string) {
	w.Comma()
	w.text(s)
}

func (w *Writer) text(s string) {
	text := unsafe.Slice(unsafe.StringData(s), len(s))
	if !w.Percent && record.PlainEnd(text, 0) == len(text) { // as nearly all are
		buf := append(w.Buf, '"')
		buf = append(buf, text...)
		w.Buf = append(buf, '"')
		return
	}
	escaped := 0
	w.Buf, escaped = AppendString(w.Buf, text, w.Percent)
	w.Bad = w.Bad || (escaped > 0 && !w.Percent)
}
