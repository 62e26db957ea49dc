package sigma

import (
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// uses are what the selections of a rule ask for.
type uses struct {
	fields      map[string]bool
	types       map[string]bool // of records, in capitals
	keywords    bool
	onlyCreates bool // nametype, where it is asked for, is CREATE
	relative    bool // a name is asked for that is not absolute
}

// usesOf goes through selections.
func usesOf(selections map[string]*yaml.Node) uses {
	u := uses{fields: make(map[string]bool), types: make(map[string]bool), onlyCreates: true}
	for _, n := range selections {
		u.add(n)
	}
	return u
}

func (u *uses) add(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		u.keywords = true
	case yaml.SequenceNode:
		for _, item := range n.Content {
			u.add(item)
		}
	case yaml.MappingNode:
		for _, typ := range recordTypes(n) {
			u.types[typ] = true
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, modifiers, _ := strings.Cut(n.Content[i].Value, "|")
			if name == "" {
				u.keywords = true
				continue
			}
			u.fields[name] = true
			u.relative = u.relative || (name == "name" && asksRelative(modifiers, n.Content[i+1]))
			if n.Content[i].Value != "nametype" {
				u.onlyCreates = u.onlyCreates && name != "nametype"
			} else {
				u.onlyCreates = u.onlyCreates && strings.EqualFold(textOf(n.Content[i+1]), "CREATE")
			}
		}
	}
}

// asksRelative reports whether one of the values of a field can only be found at the beginning of a relative path.
func asksRelative(modifiers string, values *yaml.Node) bool {
	words := strings.Split(modifiers, "|")
	if slices.Contains(words, "contains") || slices.Contains(words, "endswith") || slices.Contains(words, "exists") {
		return false
	}
	isPattern := slices.Contains(words, "re")
	list := []*yaml.Node{values}
	if values.Kind == yaml.SequenceNode {
		list = values.Content
	}
	return slices.ContainsFunc(list, func(n *yaml.Node) bool {
		text := textOf(n)
		if isPattern {
			rest, held := strings.CutPrefix(text, "^")
			return held && rest != "" && isWord(rest[:1])
		}
		return text != "" && !isNull(n) && strings.IndexByte("/*?", text[0]) < 0
	})
}

// names returns the fields.
func (u *uses) names() []string { return slices.Collect(maps.Keys(u.fields)) }

// recordTypes returns the types of records that a mapping names, in capitals.
func recordTypes(n *yaml.Node) (types []string) {
	m := member(n, "type")
	switch {
	case m == nil:
	case m.Kind == yaml.SequenceNode:
		for _, item := range m.Content {
			types = append(types, strings.ToUpper(textOf(item)))
		}
	default:
		types = []string{strings.ToUpper(textOf(m))}
	}
	return types
}
