package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/suggest"
)

// The line rules of audispd's and auditd's own conf files, read in
// audisp/audispd-pconfig.c and audisp/audispd-config.c of audit 2.8.5 to
// 4.2.1: "key = value value", separated by spaces only, a comment only at the
// start of a line. Where versions differ, what one of them accepts is accepted.
const (
	maxConfLine   = 510 // a 512 byte fgets buffer, audit ≥ 4.1.3
	oldConfLine   = 158 // a 160 byte one, before
	maxPluginConf = 64 << 10
)

// confLine is one setting of such a file.
type confLine struct {
	line   int
	key    string // lower case
	values []string
}

// confFile is the content of such a file. The warnings are about lines that
// not every version of audit reads the way it was read here.
type confFile struct {
	name  string
	lines []confLine
	warns []string
}

func (c *confFile) errorf(line int, key, format string, args ...any) *Error {
	return &Error{File: c.name, Line: line, Key: printableKey(key), Msg: fmt.Sprintf(format, args...)}
}

func (c *confFile) warnf(line int, key, format string, args ...any) {
	c.warns = append(c.warns, c.errorf(line, key, format, args...).Error())
}

// printableKey makes a word from a file fit for a message.
func printableKey(s string) string {
	if !Printable(s) || len(s) > 64 {
		return strconv.Quote(s[:min(len(s), 64)])
	}
	return s
}

// splitConf reads the lines of a conf file. The error, if any, is the first
// line that no version accepts: they reject the whole file for it.
func splitConf(name string, data []byte) (*confFile, *Error) {
	c := &confFile{name: name}
	for n := 1; len(data) > 0; n++ {
		raw, rest, ended := bytes.Cut(data, []byte("\n"))
		data = rest
		text := string(raw)
		if !ended {
			c.warnf(n, "", "the last line has no newline: auditd ignores such a line, add one")
		}
		switch {
		case len(text) > maxConfLine:
			c.warnf(n, "", "line of %d bytes skipped, allowed are %d", len(text), maxConfLine)
			continue
		case len(text) > oldConfLine:
			c.warnf(n, "", "line of %d bytes: audit before 4.1.3 skips lines of more than %d", len(text), oldConfLine)
		}
		if strings.ContainsRune(text, 0) {
			return nil, c.errorf(n, "", "holds a NUL byte")
		}

		words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}

		key := strings.ToLower(words[0])
		switch {
		case len(words) < 2 || words[1] != "=":
			hint := ""
			if strings.ContainsAny(text, "\t\r") {
				hint = "; tabs and carriage returns are not separators"
			}
			return nil, c.errorf(n, key, `no "=" with spaces around it, must be "key = value"%s`, hint)
		case len(words) < 3:
			return nil, c.errorf(n, key, "has no value")
		}
		c.lines = append(c.lines, confLine{n, key, words[2:]})
	}
	return c, nil
}

// place says where a key is set last: "file:line: key = value", "" where it is not.
func (c *confFile) place(key string) string {
	for _, l := range slices.Backward(c.lines) {
		if l.key == key {
			return c.errorf(l.line, "", "%s = %s", key, strings.Join(l.values, " ")).Error()
		}
	}
	return ""
}

// The readers below leave their target alone when the value is wrong.

// text takes one value that check has no objection to. A comment after the value is a second one.
func (c *confFile) text(l confLine, to *string, check func(string) error) *Error {
	if len(l.values) > 1 {
		return c.errorf(l.line, l.key, "has more than one value, a comment must be on a line of its own")
	}
	if err := check(l.values[0]); err != nil {
		return c.errorf(l.line, l.key, "%v", err)
	}
	*to = l.values[0]
	return nil
}

// word takes one of the words, in any case.
func (c *confFile) word(l confLine, to *string, words ...string) *Error {
	return c.text(l, to, func(value string) error {
		if !slices.Contains(words, strings.ToLower(value)) {
			return fmt.Errorf("%q is not allowed, must be %s", value, quoted(words))
		}
		l.values[0] = strings.ToLower(value)
		return nil
	})
}

// number takes a number from low to high.
func (c *confFile) number(l confLine, to *int, low, high int) *Error {
	return c.text(l, new(string), func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || !isDigits(value) || n < low || n > high {
			return fmt.Errorf("%q is not allowed, must be a number from %d to %d", value, low, high)
		}
		*to = n
		return nil
	})
}

// pluginConf is one file of a plugins.d.
type pluginConf struct {
	*confFile
	active   string // yes or no
	path     string
	pathLine int
	kind     string // always or builtin
	args     []string
	argsLine int
	format   string

	filter string         // which events it gets, as in a filter of the relay's; only Import sets it
	vals   map[string]any // keys and values of the sink's table that come to the same
}

// parsePluginConf reads a plugin's conf. Whether what it names exists is not
// looked at.
func parsePluginConf(name string, data []byte) (*pluginConf, *Error) {
	file, err := splitConf(name, data)
	if err != nil {
		return nil, err
	}
	p := &pluginConf{confFile: file, format: "string"}
	for _, l := range file.lines {
		if err := p.set(l); err != nil {
			return nil, err
		}
	}
	if p.active == "yes" && p.path == "" {
		return nil, p.errorf(0, "path", "is missing, an active plugin needs one")
	}
	return p, nil
}

// set takes over one line.
func (p *pluginConf) set(l confLine) *Error {
	switch l.key {
	case "active":
		return p.word(l, &p.active, "yes", "no")
	case "direction":
		return p.word(l, new(string), "in", "out") // of no meaning since audit 4.1.2
	case "type":
		return p.word(l, &p.kind, "always", "builtin")
	case "format":
		return p.word(l, &p.format, "string", "binary")
	case "path":
		p.pathLine = l.line
		return p.text(l, &p.path, pluginPath)
	case "args":
		p.args, p.argsLine = l.values, l.line
		return nil
	}

	keys := []string{"active", "args", "direction", "format", "path", "type"}
	hint := ""
	if guess := suggest.Nearest(l.key, keys); guess != "" {
		hint = fmt.Sprintf(", did you mean %q?", guess)
	}
	return p.errorf(l.line, l.key, "unknown key%s; allowed: %s", hint, strings.Join(keys, ", "))
}

// pluginPath holds a path to audispd's rules: a builtin, or an absolute path
// in a directory whose name has at least four characters.
func pluginPath(path string) error {
	if isBuiltin(path) {
		return nil
	}
	if err := FilePath(path); err != nil {
		return err
	}
	if dir := filepath.Dir(path); len(dir) < 4 {
		return fmt.Errorf("the directory %q is too short, auditd wants four characters or more", dir)
	}
	return nil
}

// isBuiltin says whether a path names something audispd did itself.
func isBuiltin(path string) bool {
	return strings.HasPrefix(strings.ToLower(path), "builtin_")
}
