package plugin

import (
	"bytes"

	"audisp-relay/format/human"
)

// shown returns a text for people, root above all, that contains what others or a worker have written. Each character
// that would make a terminal do something else than show it becomes a question mark; newlines and tabs stay.
func shown(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || human.Seen(r) {
			return r
		}
		return '?'
	}, text)
}
