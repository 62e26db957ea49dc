package host

import (
	"bytes"
	"fmt"
	"strings"
)

// confLineMax is the longest line, newline included, that every auditd reads:
// its buffer is 160 bytes up to 4.1.2 (512 since 4.1.3), one of them for the
// terminating NUL.
const confLineMax = 159

// setting is one "key = value [option]" line of auditd.conf or of a file in
// plugins.d.
type setting struct {
	Line   int
	Key    string // lower case
	Values []string
}

// Value is the first value; auditd wants exactly one for most keys.
func (s setting) Value() string { return s.Values[0] }

// parseConf reads a file the way auditd does (get_line and nv_split in
// src/auditd-config.c and audisp/audispd-pconfig.c): words are separated by
// spaces only, so a tab is part of a word; '=' stands alone; '#' starts a
// comment only as the first character of the first word; a last line without
// newline is skipped. Lines too long for its buffer are skipped too; the limit
// is the smaller one of older versions.
//
// The problems are the lines that auditd would skip or reject, one text each.
// name is only used in them.
func parseConf(name string, data []byte) (settings []setting, problems []string) {
	for n := 1; len(data) > 0; n++ {
		problem := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", name, n, fmt.Sprintf(format, args...)))
		}
		line, rest, complete := bytes.Cut(data, []byte{'\n'})
		data = rest
		words := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' })
		switch {
		case len(words) == 0 || words[0][0] == '#':
		case !complete:
			problem("the last line has no newline at its end, so auditd skips it: add one")
		case len(line)+1 > confLineMax:
			problem("the line has %d bytes, auditd before 4.1.3 skips lines of more than %d: shorten it", len(line)+1, confLineMax)
		case len(words) < 2 || words[1] != "=":
			problem("want `key = value` with spaces around the '='")
		case len(words) < 3:
			problem("%s has no value", words[0])
		default:
			settings = append(settings, setting{Line: n, Key: strings.ToLower(words[0]), Values: words[2:]})
		}
	}
	return settings, problems
}
