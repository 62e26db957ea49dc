package laurel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"
)

// checkLines fails the test unless each line is one JSON object in UTF-8 with no key twice.
func checkLines(t *testing.T, lines []byte) {
	t.Helper()
	if len(lines) > 0 && lines[len(lines)-1] != '\n' {
		t.Errorf("no newline at the end of %q", lines)
	}
	for line := range bytes.Lines(lines) {
		if !utf8.Valid(line) || !json.Valid(line) {
			t.Errorf("no valid JSON: %q", line)
			continue
		}
		d := json.NewDecoder(bytes.NewReader(line))
		if token, err := d.Token(); token != json.Delim('{') {
			t.Errorf("no object (%v): %q", err, line)
		} else if err := noKeyTwice(d); err != nil {
			t.Errorf("%v in %q", err, line)
		}
	}
}

// noKeyTwice reads the rest of an object.
func noKeyTwice(d *json.Decoder) error {
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok || seen[key] {
			return fmt.Errorf("key %v is there twice", token)
		}
		seen[key] = true
		if err := noKeyTwiceIn(d); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// noKeyTwiceIn reads a value.
func noKeyTwiceIn(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return noKeyTwice(d)
	case json.Delim('['):
		for d.More() {
			if err := noKeyTwiceIn(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}
