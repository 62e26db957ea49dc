package audittest

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
)

// OneLine returns an event in a format of JSON without its newline. It is an error if the event is not one line of UTF-8.
func OneLine(event []byte) ([]byte, error) {
	body, ended := bytes.CutSuffix(event, []byte{'\n'})
	switch {
	case !ended || bytes.IndexByte(body, '\n') >= 0:
		return nil, errors.New("not one line")
	case !utf8.Valid(body):
		return nil, errors.New("not UTF-8")
	}
	return body, nil
}

// Unpercent undoes the percent-encoding of a text. It panics where that is wrong.
func Unpercent(text string) string {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out = append(out, text[i])
			continue
		}
		n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			panic(err)
		}
		out = append(out, byte(n))
		i += 2
	}
	return string(out)
}
