package plugin

import (
	"bytes"

	"audisp-relay/format/human"
)

// shown returns what a worker gives to be read by people, root above all, with a question mark for each character with which a terminal
// does something else than to show it. Newlines and tabs stay.
func shown(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || human.Seen(r) {
			return r
		}
		return '?'
	}, text)
}
