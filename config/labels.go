package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"audisp-relay/audit/process"
	"audisp-relay/suggest"
)

// labels reads the table [process_labels]. What is wrong in it leaves out that key or member alone: a label too few is no
// wrong one.
func (t *Table) labels(c *Config) {
	l := new(process.Labels)
	keys, passed := t.names("keys"), t.names("propagate")
	for _, key := range keys {
		t.noteError("keys", l.AddKey(key))
	}
	subjects := []struct {
		name string
		is   process.Subject
	}{{"exe", process.OfExe}, {"cmdline", process.OfCmdline}, {"script", process.OfScript}}
	for _, s := range subjects {
		t.expressions(s.name, func(expr, label string) error { return l.Add(s.is, expr, label) })
	}
	for _, s := range subjects { // what is taken away or passed on is what something gives
		t.expressions("unlabel_"+s.name, func(expr, label string) error { return l.Take(s.is, expr, label) })
	}
	for _, label := range passed {
		t.noteError("propagate", l.PassOn(label))
	}
	if t.doc.labels = l.Names(); len(t.doc.labels) > 0 {
		c.Labels = l
	}
}

// warnOfLabel warns of a label that the expression under a key names, if no process gets it.
func (t *Table) warnOfLabel(key, label string) {
	if slices.Contains(t.doc.labels, label) {
		return
	}
	other := ""
	if name := suggest.Nearest(label, t.doc.labels); name != "" {
		other = fmt.Sprintf(", or write %q", name)
	}
	t.doc.warnf(t.key(key), "names the label %.120q, which no process gets: give it in [process_labels]%s", label, other)
}

// names reads an array of labels.
func (t *Table) names(name string) []string {
	all, _ := list(t, name, "label", labelName)
	return all
}

func labelName(s string) error {
	if !ruleName(s) {
		return errors.New("not a name for a label, must be 1 to 120 bytes of printable UTF-8")
	}
	return nil
}

// expressions reads a table of regular expressions by labels: one, or an array of them.
func (t *Table) expressions(name string, add func(expr, label string) error) {
	inner := t.table(name)
	if inner == nil {
		return
	}
	for _, label := range slices.Sorted(maps.Keys(inner.vals)) {
		if err := labelName(label); err != nil {
			inner.Errorf(label, "%v", err)
			continue
		}
		for _, expr := range inner.oneOrMore(label) {
			inner.noteError(label, add(expr, label))
		}
	}
}

// oneOrMore reads a string or an array of strings, none of them empty.
func (t *Table) oneOrMore(name string) []string {
	check := func(s string) error {
		if s == "" {
			return errors.New("is empty: write a regular expression, or remove it")
		}
		return nil
	}
	if _, isList := t.vals[name].([]any); isList {
		all, _ := list(t, name, "regular expression", check)
		return all
	}
	one := ""
	if t.Str(name, &one, check); one == "" {
		return nil
	}
	return []string{one}
}

// noteError reports the error of a key, if there is one.
func (t *Table) noteError(key string, err error) {
	if err != nil {
		t.Errorf(key, "%v", err)
	}
}
