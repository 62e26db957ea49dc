package sigma

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// selection returns what holds where a selection does.
func (c *converter) selection(name string) (*expr, error) {
	if e := c.done[name]; e != nil {
		return e, nil
	}
	e, err := c.anyOf(c.selections[name])
	if err == nil {
		c.done[name] = e
	}
	return e, err
}

// anyOf converts a selection: a mapping, whose fields all have to hold; a list of which any has to; or words to look for anywhere.
func (c *converter) anyOf(n *yaml.Node) (*expr, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return c.allOf(n)
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return nil, fail(n, "has an empty selection")
		}
		var kids []*expr
		var words []*yaml.Node
		for _, item := range n.Content {
			if item.Kind == yaml.ScalarNode {
				words = append(words, item)
				continue
			}
			e, err := c.anyOf(item)
			if err != nil {
				return nil, err
			}
			kids = append(kids, e)
		}
		if len(words) > 0 {
			e, err := c.keywords(n, nil, words)
			if err != nil {
				return nil, err
			}
			kids = append(kids, e)
		}
		return or(kids...), nil
	}
	return c.keywords(n, nil, []*yaml.Node{n})
}

// allOf converts a mapping.
func (c *converter) allOf(n *yaml.Node) (*expr, error) {
	if len(n.Content) == 0 {
		return nil, fail(n, "has an empty selection")
	}
	types := recordTypes(n)
	if len(types) == 0 {
		types = c.look.types
	}
	var kids []*expr
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		name, rest, modified := strings.Cut(key.Value, "|")
		values, err := valuesOf(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		mods := []string{}
		if modified {
			mods = strings.Split(rest, "|")
		}

		var e *expr
		if name == "" {
			e, err = c.keywords(key, mods, values)
		} else {
			e, err = c.item(key, name, mods, values, types)
		}
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	return and(kids...), nil
}

// keywords looks for words anywhere in the event.
func (c *converter) keywords(at *yaml.Node, mods []string, words []*yaml.Node) (*expr, error) {
	if slices.ContainsFunc(words, isNull) {
		return nil, fail(at, "has a keyword that is null")
	}
	if !slices.Contains(mods, "re") {
		mods = append(slices.Clone(mods), "contains")
	}
	return c.match(at, target{text: c.look.keywords}, mods, words)
}

// item converts a field with its values.
func (c *converter) item(at *yaml.Node, name string, mods []string, values []*yaml.Node, types []string) (*expr, error) {
	t, err := c.source.target(c.look, name, types)
	if err != nil {
		return nil, fail(at, "%v", err)
	}
	e, err := c.match(at, t, mods, values)
	if err != nil || c.look.list == "" || t.text != c.look.element {
		return e, err
	}
	nameless := false
	e.leaves(func(leaf *expr) {
		leaf.each = leaf.text != ""
		nameless = nameless || leaf.asks == isAbsent
	})
	if nameless {
		return nil, fail(at, "asks for a file without a name, which filters do not see")
	}
	return e, nil
}
