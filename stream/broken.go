package stream

import "bytes"

// broken tells how long a SOCKADDR line of audit.log, have[:n], really is that was broken
// by a newline in a socket's path, 0 when it is as long as it looks and -1 when that cannot be said
// before more was read.
//
// auditd with log_format ENRICHED writes the path of an AF_UNIX address as it is
// behind the record (auditd-event.c, format_enrich: "SADDR={ saddr_fam=local
// path=... }"), so whoever may connect to a socket can put a line of his own into the
// log; to plugins it gives a space for the newline. The hex of saddr= in front tells
// what the path is, and so which lines belong together.
func broken(have []byte, n int) int {
	line := have[:n-1]
	names := bytes.Index(line, []byte("\x1dSADDR={"))
	if names < 0 {
		return 0
	}
	var buf [maxSocketPath]byte
	path := socketPath(buf[:0], line[:names])
	at := bytes.Index(line[names:], []byte(" path="))
	if at < 0 || bytes.IndexByte(path, '\n') < 0 {
		return 0
	}
	from := names + at + len(" path=")
	if from < n-1 && have[from] == '@' { // an abstract name
		from++
	}
	rest := have[from:]
	whole := append(path, " }\n"...)
	k := min(len(rest), len(whole))
	switch {
	case !bytes.Equal(rest[:k], whole[:k]):
		return 0
	case k < len(whole):
		return -1
	}
	return from + len(whole)
}

// maxSocketPath is room for sun_path (linux/un.h: 108) and what ends the record.
const maxSocketPath = 128

// socketAddress reports whether a line is a SOCKADDR record.
func socketAddress(line []byte) bool {
	if has(line, "node=") {
		_, line, _ = bytes.Cut(line, []byte{' '})
	}
	return has(line, "type=SOCKADDR ")
}

// socketPath appends the path of the AF_UNIX address in a record's saddr= to dst,
// as auditd prints it: up to a NUL, without the one that an abstract name begins with.
func socketPath(dst, body []byte) []byte {
	_, hex, _ := bytes.Cut(body, []byte(" saddr="))
	if !has(hex, "0100") && !has(hex, "0001") { // AF_UNIX in either byte order
		return dst
	}
	hex = hex[4:]
	if has(hex, "00") {
		hex = hex[2:]
	}
	for ; len(hex) >= 2 && len(dst) < maxSocketPath-len(" }\n"); hex = hex[2:] {
		c := unhex(hex[0])<<4 | unhex(hex[1])
		if c == 0 || unhex(hex[0])|unhex(hex[1]) > 15 {
			break
		}
		dst = append(dst, c)
	}
	return dst
}

// unhex returns the value of a digit, more than 15 for anything else.
func unhex(c byte) byte {
	switch {
	case c-'0' < 10:
		return c - '0'
	case c-'A' < 6:
		return c - 'A' + 10
	case c-'a' < 6:
		return c - 'a' + 10
	}
	return 0xFF
}

// mend makes the newlines within a line the spaces that plugins get.
func mend(line []byte) {
	for i, c := range line[:len(line)-1] {
		if c == '\n' {
			line[i] = ' '
		}
	}
}
