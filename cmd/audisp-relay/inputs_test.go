package main

import (
	"strings"
	"testing"
)

// Rotations come in the order they were written in, whatever the shell makes of the names.
func TestOldestFirst(t *testing.T) {
	for in, want := range map[string]string{
		"audit.log audit.log.1 audit.log.10 audit.log.2":      "audit.log.10 audit.log.2 audit.log.1 audit.log",
		"audit.log audit.log.1 audit.log.2.gz audit.log.3.xz": "audit.log.3.xz audit.log.2.gz audit.log.1 audit.log",
		"audit.log.2 audit.log.1 audit.log":                   "audit.log.2 audit.log.1 audit.log",
		"a/audit.log b/audit.log a/audit.log.1 b/audit.log.1": "a/audit.log.1 b/audit.log.1 a/audit.log b/audit.log",
		"e.log e.log-20260101.zst e.log-20251231":             "e.log-20251231 e.log-20260101.zst e.log",
		"e.log e.log-2026010112 e.log-20260101":               "e.log-20260101 e.log-2026010112 e.log",
		"e.log.20260102 e.log.20260101 e.log":                 "e.log.20260101 e.log.20260102 e.log",
		"z.log a.log - m.log":                                 "z.log a.log - m.log",
		"a.log.1 x a.log.1 a.log a.log.2":                     "a.log.2 x a.log.1 a.log.1 a.log",
		"capture.binary.gz capture.string.gz":                 "capture.binary.gz capture.string.gz",
		"x.log.99999999999999999999 x.log":                    "x.log.99999999999999999999 x.log",
		".1 .2 \n .1.gz":                                      ".2 .1 \n .1.gz",
	} {
		if got := strings.Join(oldestFirst(strings.Split(in, " ")), " "); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
