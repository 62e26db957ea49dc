package main

import (
	"cmp"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"audisp-relay/format/human"
	"audisp-relay/plugin/overview"
)

// isTerminal asks the kernel for terminal settings, which only terminals have.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminalWidth returns how many columns the terminal on stdout has, overview.Width where it does not say.
func terminalWidth() int {
	columns, _ := terminalSize()
	return cmp.Or(columns, overview.Width)
}

// terminalHeight returns how many lines it has, those of the first ones where it does not say.
func terminalHeight() int {
	const usual = 24
	_, lines := terminalSize()
	return cmp.Or(lines, usual)
}

func terminalSize() (columns, lines int) {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// safe returns f as it is, or, where it is a terminal, a writer that lets nothing reach
// it but printable characters: file names, arguments and what servers answer are
// chosen by attackers.
func safe(f *os.File) io.Writer {
	if isTerminal(f) {
		return &terminal{w: encoded(f)}
	}
	return f
}

// hasColours reports whether a terminal is to have colours.
func hasColours() bool { return os.Getenv("NO_COLOR") == "" && hasCursor() }

// hasCursor reports whether a terminal obeys escape sequences.
func hasCursor() bool { return os.Getenv("TERM") != "" && os.Getenv("TERM") != "dumb" }

// isUTF8 reports whether terminals are taken for ones that show UTF-8: all, but where the locale
// has another encoding (locale(7)). Without any locale, as after sudo, they mostly do.
func isUTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := os.Getenv(name); locale != "" {
			_, encoding, _ := strings.Cut(locale, ".")
			encoding, _, _ = strings.Cut(encoding, "@")
			return strings.EqualFold(strings.ReplaceAll(encoding, "-", ""), "utf8")
		}
	}
	return true
}

// encoded returns f for a terminal that shows UTF-8, else a writer of ASCII: to a terminal with an
// encoding of one byte the second byte of a letter can be a control.
func encoded(f *os.File) io.Writer {
	if isUTF8() {
		return f
	}
	return asciiWriter{f}
}

// asciiWriter writes ASCII as it is and other bytes as \xNN, but for the signs of the relay's own.
type asciiWriter struct{ w io.Writer }

// ownSigns are the signs of the relay's own texts that are not ASCII, and what is written instead.
var ownSigns = map[rune]string{'→': "->", '…': "...", '│': "|"}

func (a asciiWriter) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for text := p; len(text) > 0; {
		r, n := utf8.DecodeRune(text)
		switch sign, own := ownSigns[r]; {
		case own:
			out = append(out, sign...)
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		default:
			out = human.AppendBytes(out, text[:n])
		}
		text = text[n:]
	}
	if _, err := a.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// terminal shows bytes that could do something to a terminal as \xNN. Newlines and
// tabs stay; so does \, which a format such as json has its own meaning for.
type terminal struct {
	w    io.Writer
	part []byte // of a character that has not come as a whole
	buf  []byte
}

// Write writes whole characters, and keeps the first bytes of one for the next Write.
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
