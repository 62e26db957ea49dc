package sigma

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// conditionWord is a bracket, a name or a keyword of a condition.
var conditionWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[()|]|[^\s()|]+`) })

// condition reads a condition.
func (c *converter) condition(n *yaml.Node) (*expr, error) {
	p := &conditionParser{c: c, at: n, words: conditionWord().FindAllString(n.Value, maxNames+1)}
	if c.words += len(p.words); c.words > maxNames { // each may mean all selections
		return nil, fail(n, "has a condition of more than %d words", maxNames)
	}
	if slices.Contains(p.words, "|") {
		return nil, fail(n, "has an aggregation in its condition, which needs more than one event")
	}

	e, err := p.or()
	if err == nil && len(p.words) > 0 {
		err = fail(n, "condition: %s is not expected", quoteBrief(p.words[0]))
	}
	return e, err
}

// conditionParser reads a condition from left to right: "not" binds most, then "and", then "or".
type conditionParser struct {
	c     *converter
	at    *yaml.Node
	words []string // that are left
}

// skip passes a keyword, whatever its case, if it is the next word.
func (p *conditionParser) skip(word string) bool {
	if len(p.words) == 0 || !strings.EqualFold(p.words[0], word) {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *conditionParser) or() (*expr, error) { return p.list("or", or, p.and) }

func (p *conditionParser) and() (*expr, error) { return p.list("and", and, p.operand) }

func (p *conditionParser) list(word string, join func(...*expr) *expr, next func() (*expr, error)) (*expr, error) {
	var kids []*expr
	for {
		e, err := next()
		if err != nil {
			return nil, err
		}
		if kids = append(kids, e); !p.skip(word) {
			return join(kids...), nil
		}
	}
}

func (p *conditionParser) operand() (*expr, error) {
	switch {
	case p.skip("not"):
		e, err := p.operand()
		if err != nil {
			return nil, err
		}
		return not(e), nil
	case p.skip("("):
		e, err := p.or()
		if err == nil && !p.skip(")") {
			err = fail(p.at, "condition: a bracket is not closed")
		}
		return e, err
	case len(p.words) == 0:
		return nil, fail(p.at, "condition ends too early")
	}

	name := p.words[0]
	p.words = p.words[1:]
	if len(p.words) > 0 && strings.EqualFold(p.words[0], "of") {
		p.words = p.words[1:]
		return p.of(name)
	}
	if p.c.selections[name] == nil {
		return nil, fail(p.at, "condition: there is no selection %s", quoteBrief(name))
	}
	return p.c.selection(name)
}

// of reads what comes after "1 of", "any of" or "all of".
func (p *conditionParser) of(count string) (*expr, error) {
	join := or
	switch strings.ToLower(count) {
	case "1", "any":
	case "all":
		join = and
	default:
		return nil, fail(p.at, "condition: %s of is not known: there are 1 of, any of, all of", quoteBrief(count))
	}
	if len(p.words) == 0 {
		return nil, fail(p.at, "condition ends too early")
	}
	pattern := p.words[0]
	p.words = p.words[1:]
	if len(pattern) > maxNames {
		return nil, fail(p.at, "condition: the pattern %s is too long", quoteBrief(pattern))
	}

	var kids []*expr
	for _, name := range p.c.names {
		if strings.HasPrefix(name, "_") || !(strings.EqualFold(pattern, "them") || matchesStars(pattern, name)) {
			continue // _ keeps a selection from being meant without its name
		}
		e, err := p.c.selection(name)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	if len(kids) == 0 {
		return nil, fail(p.at, "condition: there is no selection %s", quoteBrief(pattern))
	}
	return join(kids...), nil
}

// matchesStars reports whether a name is one that a pattern, in which * is any text, means.
func matchesStars(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(name, parts[0])
	last := len(parts) - 1
	if !ok || last == 0 {
		return ok && rest == ""
	}
	for _, part := range parts[1:last] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
