package sigma

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// A correlation names rules that mean something only together, or by how often they hold: each failed login is none of the attacks that many
// in a minute are. Unless it says "generate: true", they are no rules by themselves (specification of correlations 2.1).

// correlations are what those of a file say of its other rules.
type correlations struct {
	names []string              // of the rules, in their order; "" without
	parts map[string]*yaml.Node // the names and ids of rules that are only parts, and of which correlation
	whole map[string]bool       // of those that are rules by themselves, too
}

// note notes what a document says.
func (c *correlations) note(n *yaml.Node) {
	c.names = append(c.names, textOf(member(n, "name")))
	m := member(n, "correlation")
	list := member(m, "rules")
	if list == nil {
		return
	}
	if c.parts == nil {
		c.parts, c.whole = make(map[string]*yaml.Node), make(map[string]bool)
	}
	generates := strings.EqualFold(textOf(member(n, "generate")), "true") || strings.EqualFold(textOf(member(m, "generate")), "true")
	for _, rule := range append([]*yaml.Node{list}, list.Content...) {
		switch name := textOf(rule); {
		case name == "":
		case generates:
			c.whole[name] = true
		default:
			c.parts[name] = m
		}
	}
}

// refuse takes the expression from each rule that is only a part.
func (c *correlations) refuse(rules []Rule) {
	for i := range rules {
		r := &rules[i]
		for _, name := range []string{c.names[i], r.ID} {
			if of := c.parts[name]; of != nil && r.Err == nil && !c.whole[r.ID] && !c.whole[c.names[i]] {
				r.Expr, r.Err = "", fmt.Errorf("is only a part of the correlation in line %d, which needs more than one event", of.Line)
			}
		}
	}
}
