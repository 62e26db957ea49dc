package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"audisp-relay/filter"
	"audisp-relay/host/runnable"
)

// fillFilter gives what audisp-filter runs a filter of the relay's, where that keeps and drops
// exactly the same events. Else audisp-filter stays.
// Its arguments are the mode, a file of expressions, and the program with its own (audisp-filter(8)).
func (im *importer) fillFilter(p *pluginConf, s *Sink) error {
	for _, arg := range p.args {
		if filepath.IsAbs(arg) && (filepath.Base(arg) == relayName || runnable.SameProgram(arg, im.from.Self)) {
			return p.errorf(p.argsLine, "args", "%s is the relay itself, which auditd runs then, too: set active = no", arg)
		}
	}
	expr, err := im.filterOf(p)
	if err != nil {
		im.note("sinks.%s runs %s, whose expressions a filter does not take the place of: %v", s.Name, p.path, err)
		return p.fillProgram(s, &im.common)
	}
	p.filter, p.path, p.args = expr, p.args[2], p.args[3:]
	s.Format = "string" // what audisp-filter writes
	return im.fill(p, s)
}

// filterModes are audisp-filter's, with the operator that keeps what they keep: allowlist drops
// what its expressions match.
var filterModes = map[string]string{"allowlist": "not in", "blocklist": "in"}

// filterOf makes a filter of audisp-filter's arguments.
func (im *importer) filterOf(p *pluginConf) (string, error) {
	switch {
	case p.filter != "":
		return "", errors.New("it is run by another one")
	case len(p.args) < 3:
		return "", errors.New("its args are not a mode, a file and a program")
	case filterModes[p.args[0]] == "":
		return "", fmt.Errorf("its mode %q is neither allowlist nor blocklist", p.args[0])
	case FilePath(p.args[2]) != nil:
		return "", fmt.Errorf("%q is not the absolute path of a program", p.args[2])
	}
	data, err := im.read(p.args[1])
	if err != nil {
		return "", err
	}
	types, err := readTypes(p.args[1], data)
	if err != nil {
		return "", err
	}

	expr := fmt.Sprintf(`type %s ["%s"]`, filterModes[p.args[0]], strings.Join(types, `", "`))
	f, err := filter.Compile(expr)
	if err == nil && len(f.Warnings()) > 0 {
		err = f.Warnings()[0]
	}
	if err != nil {
		return "", errors.New(firstLine(err.Error()))
	}
	return expr, nil
}

// oneType is an ausearch expression (ausearch-expression(5)) that is true for a record of one type.
var oneType = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[ \t]*type[ \t]+r=[ \t]*(?:([A-Z][A-Z0-9_]{0,63})|"([A-Z][A-Z0-9_]{0,63})")[ \t]*$`)
})

// readTypes reads a file of audisp-filter, an expression a line, of which one has to be true for one
// record of an event. It gives the types that the expressions name, if that is all they do: what they
// say of several fields holds within one record, and a filter of the relay's asks the event. For
// each type in testdata/captures libauparse 3.0.9 and a filter of that type chose the same events.
func readTypes(name string, data []byte) (types []string, err error) {
	n := 0
	for raw := range bytes.Lines(data) {
		n++
		line := strings.TrimSuffix(string(raw), "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		expr := strings.Trim(line, " \t")
		if strings.HasPrefix(expr, "(") && strings.HasSuffix(expr, ")") {
			expr = expr[1 : len(expr)-1]
		}

		m := oneType().FindStringSubmatch(expr)
		if m == nil || len(line) > maxConfLine {
			return nil, fmt.Errorf(`%s:%d: is more than "type r= NAME"`, name, n)
		}
		word := m[1] + m[2]
		if word == "EOE" { // no event of libauparse's has one, the relay's have (measured with 3.0.9)
			return nil, fmt.Errorf("%s:%d: names EOE records", name, n)
		}
		if !slices.Contains(types, word) {
			types = append(types, word)
		}
	}

	if len(types) == 0 {
		return nil, fmt.Errorf("%s: has no expression", name)
	}
	return types, nil
}
