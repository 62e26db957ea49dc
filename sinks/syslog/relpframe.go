package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// RELP, the Reliable Event Logging Protocol, as its description and rsyslog's
// librelp have it. Each frame is
//
//	TXNR SP COMMAND SP DATALEN [SP DATA] LF
//
// with a transaction number of the client's counting (0: a hint that is not
// answered), a command of letters, and the length of the data. A server answers each
// frame with one of the same number, the command "rsp" and the data
//
//	CODE [SP TEXT] [LF MORE]
//
// with code 200 or 500. A session begins with "open" and what each side offers,
// lines of NAME=VALUE; "close" and its answer end it. The server's hint
// "serverclose" says that it ends it.
const (
	maxTxnr    = 999_999_999
	maxNumber  = 9  // digits
	maxCommand = 32 // letters
	// maxAnswer is the most data of a server's frame: the protocol sets no bound,
	// real ones have 100 bytes.
	maxAnswer = 16 << 10
)

var errNotRELP = errors.New("what the server says is not RELP")

// relpFrame is a frame from the server. command is "" when there is none.
type relpFrame struct {
	txnr    uint32
	command string
	data    []byte
}

func appendFrame(dst []byte, txnr uint32, command string, data []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(txnr), 10)
	dst = append(dst, ' ')
	dst = append(dst, command...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(len(data)), 10)
	if len(data) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, data...)
	}
	return append(dst, '\n')
}

// parseFrame reads the frame at the beginning of b and says how long it is: 0
// while more of it has to come. Of what is no frame not more is read than the
// longest header.
func parseFrame(b []byte) (f relpFrame, n int, err error) {
	bad := func(what string) (relpFrame, int, error) {
		return relpFrame{}, 0, fmt.Errorf("%w (%s): %.60q", errNotRELP, what, b)
	}

	txnr, i := digits(b)
	switch {
	case i > maxNumber || (i == 0 && len(b) > 0):
		return bad("no transaction number")
	case i == len(b):
		return f, 0, nil
	case b[i] != ' ':
		return bad("no transaction number")
	}

	rest := b[i+1:]
	k := 0
	for k < len(rest) && k <= maxCommand && letter(rest[k]) {
		k++
	}
	switch {
	case k > maxCommand || (k == 0 && len(rest) > 0):
		return bad("no command")
	case k == len(rest):
		return f, 0, nil
	case rest[k] != ' ':
		return bad("no command")
	}

	command := rest[:k]
	rest = rest[k+1:]
	size, i := digits(rest)
	switch {
	case i > maxNumber || (i == 0 && len(rest) > 0):
		return bad("no length")
	case size > maxAnswer:
		return bad("too long")
	case i == len(rest):
		return f, 0, nil
	}

	rest = rest[i:]
	if size > 0 || rest[0] == ' ' { // without data some send the space nevertheless
		if rest[0] != ' ' {
			return bad("no data")
		}
		rest = rest[1:]
	}
	if len(rest) <= size {
		return f, 0, nil
	}
	if rest[size] != '\n' {
		return bad("no end")
	}
	f = relpFrame{txnr: uint32(txnr), command: "rsp", data: rest[:size]}
	if string(command) != "rsp" { // the frequent one costs nothing
		f.command = string(command)
	}
	return f, len(b) - len(rest) + size + 1, nil
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// digits reads the number at the beginning of b, and says how many digits it
// has; more than maxNumber are not read.
func digits(b []byte) (value, n int) {
	for n < len(b) && n <= maxNumber && b[n] >= '0' && b[n] <= '9' {
		value = value*10 + int(b[n]-'0')
		n++
	}
	return value, n
}

// parseResponse reads the data of a response.
func parseResponse(data []byte) (code int, text []byte, err error) {
	line, _, _ := bytes.Cut(data, []byte{'\n'})
	number, text, _ := bytes.Cut(line, []byte{' '})
	code, n := digits(number)
	if n != 3 || n != len(number) {
		return 0, nil, fmt.Errorf("%w (no response code): %.60q", errNotRELP, data)
	}
	return code, text, nil
}

// checkOffers reads the answer to "open".
func checkOffers(data []byte) error {
	code, text, err := parseResponse(data)
	if err != nil {
		return err
	}
	if code != 200 {
		return advise(fmt.Errorf("the server refuses the RELP session: %d %.100q", code, text), "see the server's log")
	}

	_, offers, _ := bytes.Cut(data, []byte{'\n'})
	for line := range bytes.SplitSeq(offers, []byte{'\n'}) {
		name, value, _ := bytes.Cut(line, []byte{'='})
		if string(name) != "commands" {
			continue
		}
		for command := range bytes.SplitSeq(value, []byte{','}) {
			if string(command) == "syslog" {
				return nil
			}
		}
	}
	return advise(errors.New("the server does not offer RELP's command syslog"), "switch it on in the server")
}
