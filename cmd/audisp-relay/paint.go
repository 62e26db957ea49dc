package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"audisp-relay/audit/record"
)

// Select Graphic Rendition sequences of ECMA-48.
const (
	sgrReset   = "\x1b[0m"
	sgrBold    = "\x1b[1m"
	sgrDim     = "\x1b[2m"
	sgrRed     = "\x1b[31m"
	sgrGreen   = "\x1b[32m"
	sgrYellow  = "\x1b[33m"
	sgrMagenta = "\x1b[35m"
	sgrCyan    = "\x1b[36m"
)

// painter makes records readable on a terminal. Nothing that a record contains
// reaches the terminal but printable characters: file names, arguments and
// messages are chosen by attackers.
type painter struct {
	colour bool
	zone   *time.Location
	buf    []byte
}

// record shows a record, or the first piece of one; a newline at its end stays
// one. The result is valid until the next call.
func (p *painter) record(line []byte) []byte {
	p.buf = p.buf[:0]
	text, newline := bytes.CutSuffix(line, []byte{'\n'})
	if h, rest, ok := parseHeader(text); ok {
		p.add(sgrDim, []byte(h.at.In(p.zone).Format(time.StampMilli)))
		p.buf = append(p.buf, ' ')
		p.add(typeColour(string(h.kind)), fmt.Appendf(nil, "%-14s", h.kind))
		p.buf = append(p.buf, ' ')
		p.add(sgrDim, fmt.Appendf(nil, "#%d", h.serial))
		if len(h.node) > 0 {
			p.field(append([]byte("node="), h.node...))
		}
		text = rest
	}
	own, translated, enriched := bytes.Cut(text, []byte{record.Separator})
	p.fields(own)
	if enriched {
		p.buf = append(p.buf, ' ')
		p.add(sgrDim, []byte("│"))
		p.fields(translated)
	}
	if newline {
		p.buf = append(p.buf, '\n')
	}
	return p.buf
}

// more shows a further piece of a record that was too long for one.
func (p *painter) more(piece []byte) []byte {
	text, newline := bytes.CutSuffix(piece, []byte{'\n'})
	p.buf = escape(p.buf[:0], text)
	if newline {
		p.buf = append(p.buf, '\n')
	}
	return p.buf
}

// fields shows words separated by spaces, each with a space before it.
func (p *painter) fields(text []byte) {
	for word := range bytes.SplitSeq(text, []byte{' '}) {
		if len(word) > 0 {
			p.field(word)
		}
	}
}

func (p *painter) field(word []byte) {
	p.buf = append(p.buf, ' ')
	key, value, ok := bytes.Cut(word, []byte{'='})
	if !ok {
		p.add("", word)
		return
	}
	p.add(sgrDim, append(bytes.Clone(key), '='))
	colour := ""
	switch string(bytes.Trim(word, `'"`)) {
	case "success=no", "res=failed", "res=0":
		colour = sgrRed
	}
	p.add(colour, value)
}

// add appends text, escaped, in a colour.
func (p *painter) add(colour string, text []byte) {
	if !p.colour || colour == "" {
		p.buf = escape(p.buf, text)
		return
	}
	p.buf = append(p.buf, colour...)
	p.buf = escape(p.buf, text)
	p.buf = append(p.buf, sgrReset...)
}

// escape appends text with every byte that is not part of a printable
// character as \xNN, and \ as \\, so that the bytes can be restored. Printable
// excludes controls, bidirectional overrides and everything invisible.
func escape(dst, text []byte) []byte { return escapeText(dst, text, true) }

// escapeText is escape for one word of a record, or else for lines of any text, in
// which newlines, tabs and \ stay.
func escapeText(dst, text []byte, word bool) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\\' && word:
			dst = append(dst, `\\`...)
		case !word && (r == '\n' || r == '\t'):
			dst = append(dst, text[0])
		case unicode.IsPrint(r) && (r != utf8.RuneError || n > 1):
			dst = append(dst, text[:n]...)
		default:
			for _, b := range text[:n] {
				dst = fmt.Appendf(dst, `\x%02x`, b)
			}
		}
		text = text[n:]
	}
	return dst
}

type recordHeader struct {
	node, kind []byte
	at         time.Time
	serial     uint32
}

// parseHeader reads "[node=NODE ]type=TYPE msg=audit(SEC.MS:SERIAL):" and
// returns what follows it. The colon may be missing, as in some records of
// auditd 2.8.5 and where 4.2.1 cut the end off.
func parseHeader(line []byte) (h recordHeader, rest []byte, ok bool) {
	if after, found := bytes.CutPrefix(line, []byte("node=")); found {
		if h.node, line, found = bytes.Cut(after, []byte{' '}); !found {
			return h, nil, false
		}
	}
	line, ok = bytes.CutPrefix(line, []byte("type="))
	if !ok {
		return h, nil, false
	}
	if h.kind, line, ok = bytes.Cut(line, []byte(" msg=")); !ok || bytes.IndexByte(h.kind, ' ') >= 0 {
		return h, nil, false
	}

	var r record.Record
	if !new(record.HeaderReader).ReadID(&r, line) {
		return h, nil, false
	}
	h.at, h.serial = time.UnixMilli(r.Millis), r.Serial
	return h, bytes.TrimPrefix(line[r.Head:], []byte{':'}), true
}

// typeColour returns the colour by which a kind of record is recognised.
func typeColour(kind string) string {
	switch {
	case kind == "EOE", kind == "PROCTITLE", kind == "CWD":
		return sgrDim
	case strings.HasPrefix(kind, "ANOM_"), kind == "AVC", kind == "USER_AVC", kind == "SELINUX_ERR", kind == "SECCOMP":
		return sgrRed
	case strings.HasPrefix(kind, "DAEMON_"), kind == "CONFIG_CHANGE":
		return sgrMagenta
	case strings.HasPrefix(kind, "USER"), strings.HasPrefix(kind, "CRED_"), kind == "LOGIN":
		return sgrYellow
	case kind == "SYSCALL", kind == "EXECVE":
		return sgrGreen
	case kind == "PATH", kind == "SOCKADDR":
		return sgrCyan
	}
	return sgrBold
}
