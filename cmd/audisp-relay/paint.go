package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"audisp-relay/audit/record"
	"audisp-relay/format/human"
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

// show shows a record, or with first the first piece of one, else a further piece; a newline
// at its end stays one. The result is valid until the next call.
func (p *painter) show(piece []byte, first bool) []byte {
	p.buf = p.buf[:0]
	text, newline := bytes.CutSuffix(piece, []byte{'\n'})
	if first {
		p.record(text)
	} else {
		p.buf = escape(p.buf, text)
	}
	if newline {
		p.buf = append(p.buf, '\n')
	}
	return p.buf
}

func (p *painter) record(text []byte) {
	if b := readHeader(text); b.Recs[0].HasID() {
		kind := b.AppendType(nil, 0)
		p.add(sgrDim, []byte(time.UnixMilli(b.Recs[0].Millis).In(p.zone).Format(time.StampMilli)))
		p.buf = append(p.buf, ' ')
		p.add(typeColour(string(kind)), fmt.Appendf(nil, "%-14s", kind))
		p.buf = append(p.buf, ' ')
		p.add(sgrDim, fmt.Appendf(nil, "#%d", b.Recs[0].Serial))
		if node := b.Node(0); len(node) > 0 {
			p.buf = append(p.buf, ' ')
			p.field(append([]byte("node="), node...))
		}
		text = bytes.TrimRight(bytes.TrimPrefix(text[len(b.Header(0)):], []byte{':'}), " ")
	}

	own, translated, enriched := bytes.Cut(text, []byte{record.Separator})
	p.fields(own)
	if enriched {
		p.buf = append(p.buf, ' ')
		p.add(sgrDim, []byte("│"))
		p.fields(bytes.TrimRight(append([]byte{' '}, translated...), " "))
	}
}

// fields shows words separated by spaces, and all of these: a program's text may have several.
func (p *painter) fields(text []byte) {
	first := true
	for word := range bytes.SplitSeq(text, []byte{' '}) {
		if !first {
			p.buf = append(p.buf, ' ')
		}
		p.field(word)
		first = false
	}
}

func (p *painter) field(word []byte) {
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

// escape appends text with every byte that is not part of a character one sees as \xNN, and
// \ as \\, so that the bytes can be restored.
func escape(dst, text []byte) []byte { return human.AppendText(dst, text) }

// escapeText is escape for lines of any text, in which newlines, tabs and \ stay.
func escapeText(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n' || r == '\t', human.Seen(r) && (r != utf8.RuneError || n > 1):
			dst = append(dst, text[:n]...)
		default:
			dst = human.AppendBytes(dst, text[:n])
		}
		text = text[n:]
	}
	return dst
}

// readHeader returns the one record that line is.
func readHeader(line []byte) record.Batch {
	b := record.Batch{Buf: line, Recs: []record.Record{{Len: uint32(len(line))}}}
	new(record.HeaderReader).Read(&b.Recs[0], line)
	return b
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
