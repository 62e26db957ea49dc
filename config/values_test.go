package config

import (
	"strings"
	"testing"
)

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{0: "0", 1500: "1500", 1 << 10: "1KiB", 1536 << 10: "1536KiB", 64 << 20: "64MiB", 2 << 30: "2GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(size), got, want)
		}
		if got, err := parseSize(want); err != nil || got != size {
			t.Errorf("parseSize(%q) = %d, %v", want, got, err)
		}
	}
}

// TestSpoolThatCannotBeUsed: more than a spool ever takes is a warning, for each sink that has it from wherever.
func TestSpoolThatCannotBeUsed(t *testing.T) {
	const sink = "[sinks.a]\ntype = 'file'\npath = '/srv/a'\n"
	for text, want := range map[string]string{
		sink:                                            "",
		sink + "spool.max_size = '4GiB'\n":              "",
		sink + "spool.max_size = '100GiB'\n":            "t.toml:4: sinks.a.spool.max_size: is 100GiB, and a spool takes some 4GiB at most",
		"[spool]\nmax_size = '5GiB'\n" + sink:           "t.toml:3: sinks.a.spool.max_size: is 5GiB, and a spool takes some 4GiB at most",
		"[spool]\nmax_size = '5GiB'\n" + sink + "x = 1": "",
	} {
		_, warns, _ := parse("t.toml", []byte(text))
		if got := strings.Join(warns, "\n"); (want == "") != (got == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%q: warnings %q, want %q", text, got, want)
		}
	}
}
