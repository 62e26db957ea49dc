package main

import (
	"io"
	"os"
	"unicode/utf8"
)

// safe returns f as it is, or, where it is a terminal, a writer that lets nothing reach
// it but printable characters: file names, arguments and what servers answer are
// chosen by attackers.
func safe(f *os.File) io.Writer {
	if isTerminal(f) {
		return &terminal{w: f}
	}
	return f
}

// terminal shows bytes that could do something to a terminal as \xNN. Newlines and
// tabs stay; so does \, which a format such as json has its own meaning for.
type terminal struct {
	w    io.Writer
	part []byte // of a character that has not come as a whole
	buf  []byte
}

// Write writes whole characters, and keeps the begin of one for the next Write.
func (t *terminal) Write(p []byte) (int, error) {
	text := p
	if len(t.part) > 0 {
		text = append(t.part, p...)
	}
	end := len(text)
	for k := max(0, end-utf8.UTFMax+1); k < end; k++ {
		if utf8.RuneStart(text[k]) && !utf8.FullRune(text[k:]) {
			end = k
			break
		}
	}
	t.buf = escapeText(t.buf[:0], text[:end])
	t.part = append([]byte(nil), text[end:]...)
	if _, err := t.w.Write(t.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}
