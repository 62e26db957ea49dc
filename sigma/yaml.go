package sigma

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// fail returns the error of a place in a file.
func fail(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...))
}

// checkYAML refuses what rules do not need and hostile files have: aliases, which can make a small file say a large thing,
// tags, which make a value say something else than it looks like, keys that are no text, merge mappings or are there twice, and endless depth.
func checkYAML(n *yaml.Node, level int) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return fail(n, "has an alias or an anchor: write the values out")
	case n.Style&yaml.TaggedStyle != 0:
		return fail(n, "has a tag, %s: write the value as text", quoteBrief(n.Tag))
	case level > maxLevels:
		return fail(n, "has more than %d lists and mappings within each other", maxLevels)
	}

	if n.Kind == yaml.MappingNode {
		seen := make(map[string]bool)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return fail(key, "has a key that is no text")
			}
			if key.Tag == "!!merge" {
				return fail(key, "has the key <<, which merges mappings: write them out")
			}
			if seen[key.Value] {
				return fail(key, "has the key %s twice", quoteBrief(key.Value))
			}
			seen[key.Value] = true
		}
	}

	for _, kid := range n.Content {
		if err := checkYAML(kid, level+1); err != nil {
			return err
		}
	}
	return nil
}

// member returns the value of a key in a mapping, nil without. n may be nil.
func member(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// textOf returns a scalar as it is written, "" for other nodes.
func textOf(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// valuesOf returns the values of a field: one, or a list of them. They are scalars.
func valuesOf(n *yaml.Node) ([]*yaml.Node, error) {
	values := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		values = n.Content
	}
	if len(values) == 0 {
		return nil, fail(n, "has an empty list")
	}
	for _, v := range values {
		if v.Kind != yaml.ScalarNode {
			return nil, fail(v, "has a value that is neither text nor a number")
		}
	}
	return values, nil
}

// isNull reports whether a value is null, which is a field that is not there.
func isNull(n *yaml.Node) bool { return n.Tag == "!!null" }

// quoteBrief shows a text of a rule in a message.
func quoteBrief(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
