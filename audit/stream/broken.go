package stream

import (
	"bytes"
	"encoding/hex"
	"strings"

	"audisp-relay/audit/record"
)

// broken returns how long a line of audit.log, have[:n], really is that was broken by
// newlines in a socket's address: 0 when it is as long as it looks, -1 when that is
// not known before more was read. With last there is no more.
//
// auditd with log_format ENRICHED prints the address after the record
// (auditd-event.c, format_enrich; auparse, print_sockaddr), and of three families it
// prints bytes as they are, newlines too: "SADDR={ saddr_fam=local path=... }". So
// any process that may call connect(2) can put lines into the log. The bytes in saddr=,
// which the kernel wrote as hex, say how many: auditd prints them up to a NUL or a limit.
// So many lines belong to the record, whatever stands in them.
func broken(have []byte, n int, last bool) int {
	const (
		separator = "\x1d" // record.Separator
		before    = "SADDR={ "
	)
	line := have[:n-1]
	sep := bytes.IndexByte(line, record.Separator)
	if sep < 0 || !bytes.Contains(line[sep:], []byte(before)) { // few texts of programs have it
		return 0
	}
	start := addressStart(line)
	if start < 0 {
		return 0
	}

	// A program's text may have separators, too: the first with an address counts. Only
	// as many are tried as the address has digits, then one for each text that looks
	// like a printed address: a line may have a separator in every byte.
	printed := -1
	for from := start; ; {
		if sep = indexFrom(line, from, separator); sep < 0 {
			return 0
		}
		if printed < sep {
			if printed = indexFrom(line, sep, before); printed < 0 {
				return 0
			}
		}
		hex := line[start:min(sep, start+2*addressSize)]
		if inBytes(hex) && newlineIn(hex) { // most are not so
			if k, ok := endBy(hex, have, printed+len(before), n, last); ok {
				return k
			}
		}
		from = sep + 1
		if sep-start >= 2*addressSize { // nothing changes up to there
			from = printed
		}
	}
}

// indexFrom returns where what is first found in line at from or after it, or -1.
func indexFrom(line []byte, from int, what string) int {
	k := bytes.Index(line[from:], []byte(what))
	if k < 0 {
		return -1
	}
	return from + k
}

// mayBreak reports whether a line is of a type that can have an address: SOCKADDR,
// or one of a program, in whose text auditd looks for saddr= as well. It is asked of
// every line, so it only leaves out what most of them are.
func mayBreak(line []byte) bool {
	if record.HasPrefix(line, "node=") {
		_, line, _ = bytes.Cut(line, []byte{' '})
	}
	const at = len("type=")
	if len(line) < at+len("SYSC") {
		return false
	}
	switch line[at] {
	case 'P', 'E', 'B', 'O': // PATH, PROCTITLE, EXECVE, EOE, BPRM_FCAPS, OBJ_PID
		return false
	case 'S': // SYSCALL, but SYSTEM_BOOT and the like
		return line[at+1] != 'Y' || line[at+3] != 'C'
	case 'C': // CWD
		return line[at+1] != 'W'
	}
	return true
}

// addressSize is the most a socket's address has (linux/socket.h, sockaddr_storage).
const addressSize = 128

// address is what auditd prints of a socket's address.
type address struct {
	buf   [addressSize + len(" }\n")]byte
	from  int // the text is buf[from:to]; there is room for its end after it
	to    int
	limit int    // how many bytes of it are printed from 3.0 on
	key   string // the name that it is printed after
}

func (a *address) text() []byte { return a.buf[a.from:a.to] }

// addressStart returns where a line has the hex digits of an address, after saddr=, or
// -1. In a program's text other bytes may follow them.
func addressStart(line []byte) int {
	const name = "saddr="
	// The kernel's records begin with it, right after the header.
	if k := bytes.IndexByte(line, ')'); k >= 0 && record.HasPrefix(line[k:], "): "+name) {
		return k + len("): "+name)
	}
	i := bytes.Index(line, []byte(name))
	if i < 1 || (line[i-1] != ' ' && line[i-1] != '\'') {
		return -1
	}
	return i + len(name)
}

// inBytes reports whether auditd prints bytes as they are of an address in hex: by its
// family, in either byte order (see decode).
func inBytes(hex []byte) bool {
	return len(hex) > 4 && hex[0] == '0' && hex[2] == '0' && (hex[1] == '0' || hex[3] == '0') && strings.IndexByte("139", hex[1]|hex[3]) >= 0
}

// newlineIn reports whether the text of an address in hex may have a newline in it:
// up to its first NUL but the one that an abstract name begins with.
func newlineIn(hex []byte) bool {
	const family = 4 // digits
	for i := family; i+1 < len(hex); i += 2 {
		if hex[i] != '0' {
			continue
		}
		switch hex[i+1] {
		case 'A', 'a':
			return true
		case '0':
			if i > family {
				return false
			}
		}
	}
	return false
}

// decode reads the hex of an address, its family in either byte order.
func (a *address) decode(text []byte) {
	n, _ := hex.Decode(a.buf[:], text[:min(len(text), 2*addressSize)]) // up to what is no hex
	if n < 3 || (a.buf[0] != 0 && a.buf[1] != 0) {
		return
	}
	a.from = 2

	switch a.buf[0] | a.buf[1] {
	case 1: // AF_UNIX: sun_path, after its NUL if that is an abstract name
		a.limit, a.key = 108, "path="
		if a.buf[2] == 0 {
			a.from = 3
		}
	case 3: // AF_AX25: ax25_call
		a.limit, a.key = 7, "call="
	case 9: // AF_X25: x25_addr
		a.limit, a.key = 15, "laddr="
	}

	a.to = n
	if nul := bytes.IndexByte(a.text(), 0); nul >= 0 {
		a.to = a.from + nul
	}
}

// endBy returns where the record have[:n] ends by its address in hex, as broken does.
// What is printed of it begins at at. It reports false where the address is not.
func endBy(hex, have []byte, at, n int, last bool) (end int, ok bool) {
	var a address
	a.decode(hex)
	// saddr_fam=local path=, in 2.8 fam=local path=
	line := have[:n-1]
	fam := bytes.IndexByte(line[at:], ' ')
	if a.key == "" || fam < 0 || !record.HasPrefix(line[at+fam+1:], a.key) {
		return 0, false
	}
	return a.end(have, at+fam+1+len(a.key), n, last), true
}

// end returns where the record have[:n] ends whose address is printed from at on;
// as broken does.
func (a *address) end(have []byte, at, n int, last bool) int {
	text := a.text()
	first := bytes.IndexByte(text, '\n')
	if first < 0 {
		return 0
	}

	switch shown := have[at : n-1]; {
	case len(shown) == first+1 && shown[0] == '@': // so some tools print an abstract name
		at++
	case len(shown) != first: // the newline was replaced, or the record is cut
		return 0
	}
	if k := whole(have[at:], append(text, " }\n"...)); k > 0 {
		return at + k
	} else if k < 0 && !last {
		return -1
	}

	// Not printed to its end: so auditd from 3.0 on does with what is too long.
	text = text[:min(len(text), a.limit)]
	if first >= len(text) {
		return 0
	}
	return continued(have, n, text[first+1:], last)
}

// whole reports whether have begins with text, by its length; -1: as far as it goes.
func whole(have, text []byte) int {
	k := min(len(have), len(text))
	switch {
	case !bytes.Equal(have[:k], text[:k]):
		return 0
	case k < len(text):
		return -1
	}
	return k
}

// continued returns where the lines from n on end that text makes, the rest of an
// address after a newline. They are counted, whatever they say; only where one has not
// the length it must have was the record torn off there, and what follows is no part of
// it.
func continued(have []byte, n int, text []byte, last bool) int {
	for more := true; more; {
		var part []byte
		part, text, more = bytes.Cut(text, []byte{'\n'})
		k := bytes.IndexByte(have[n:], '\n')
		switch {
		case k < 0 && !last && len(have)-n < record.MaxRecord:
			return -1
		case k < 0:
			return n
		}

		line := have[n : n+k]
		if (!more && len(line) > len(part) && record.HasPrefix(line[len(part):], " }")) || len(line) == len(part) {
			n += k + 1
			continue
		}
		if !more {
			part = append(part, " }"...)
		}
		if tornOff(line, part) {
			n += k + 1
		}
		return n
	}
	return n
}

// tornOff reports whether a line begins with the beginning of part, which ends within:
// there the log was cut (a full disk, a loss of power), and the next record follows
// at once.
func tornOff(line, part []byte) bool {
	for k := range min(len(line), len(part)) {
		if line[k] != part[k] {
			return false
		}
		rest := line[k+1:]
		if len(rest) == 0 || record.HasPrefix(rest, "type=") || record.HasPrefix(rest, "node=") {
			return true
		}
	}
	return false
}

// replaceNewlines makes the newlines within a line the spaces that plugins get.
func replaceNewlines(line []byte) {
	for i, c := range line[:len(line)-1] {
		if c == '\n' {
			line[i] = ' '
		}
	}
}
