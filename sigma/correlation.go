package sigma

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// A correlation names rules that mean something only together, or by how often they hold: each failed login is none of the attacks that many
// in a minute are. Unless it says "generate: true", they are no rules by themselves (specification of correlations 2.1).

// Correlations are what those of some files say of other rules, whatever file these are in. The zero value has none. One goroutine uses it.
type Correlations struct {
	parts map[string]part // by the names and ids of rules that are only parts
	whole map[string]bool // of those that are rules by themselves, too
}

// part is the place of the correlation that a rule is a part of.
type part struct {
	file string
	line int
}

// note notes what a document of a file says.
func (c *Correlations) note(file string, n *yaml.Node) {
	m := member(n, "correlation")
	list := member(m, "rules")
	if list == nil {
		return
	}
	if c.parts == nil {
		c.parts, c.whole = make(map[string]part), make(map[string]bool)
	}
	generates := strings.EqualFold(textOf(member(n, "generate")), "true") || strings.EqualFold(textOf(member(m, "generate")), "true")
	for _, rule := range append([]*yaml.Node{list}, list.Content...) {
		switch name := textOf(rule); {
		case name == "":
		case generates:
			c.whole[name] = true
		default:
			c.parts[name] = part{file, m.Line}
		}
	}
}

// Refuse takes the expression from each rule of a file that is only a part of a correlation, when all files are read.
func (c *Correlations) Refuse(file string, rules []Rule) {
	for i := range rules {
		r := &rules[i]
		if r.Err != nil || c.whole[r.ID] || c.whole[r.name] {
			continue
		}
		of, is := c.parts[r.name]
		if !is {
			of, is = c.parts[r.ID]
		}
		if !is {
			continue
		}
		place := fmt.Sprintf("line %d", of.line)
		if of.file != file {
			place += " of " + of.file
		}
		r.Expr, r.Err = "", fmt.Errorf("is only a part of the correlation in %s, which needs more than one event", place)
	}
}
