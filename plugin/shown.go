package plugin

import (
	"bytes"

	"audisp-relay/format/human"
)

// shown returns what is to be read by people, root above all, and holds texts of others or is a worker's, with a question mark for each character with which a terminal
// does something else than to show it. Newlines and tabs stay.
func shown(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || human.Seen(r) {
			return r
		}
		return '?'
	}, text)
}
