package filter

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"audisp-relay/audit/record"
)

// inTest compiles x in [list that is written out] and x in LIST.
func (c *compilation) inTest(n *ast.BinaryNode) (test, int) {
	if id, ok := n.Right.(*ast.IdentifierNode); ok {
		slot, ok := c.slotOf[id.Value]
		if !ok {
			return nil, 0
		}
		if typ, ok := recordType(n.Left, c.slots[slot]); ok {
			return hasType(typ, n.Left), fromHeader
		}
		if x, ok := c.text(n.Left); ok {
			return func(m *Matcher) bool { return slices.Contains(m.value(slot).texts, x.get(m)) }, x.cost + c.slots[slot].cost
		}
		if x, ok := c.number(n.Left); ok {
			return func(m *Matcher) bool { return slices.Contains(m.value(slot).nums, x.get(m)) }, x.cost + c.slots[slot].cost
		}
		return nil, 0
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil, 0
	}
	if x, ok := c.text(n.Left); ok {
		words, ok := literals[*ast.StringNode](list, func(s *ast.StringNode) string { return s.Value })
		if !ok {
			return nil, 0
		}
		has := oneOf(words)
		return func(m *Matcher) bool { return has(x.get(m)) }, x.cost + 1
	}
	if x, ok := c.number(n.Left); ok {
		nums, ok := literals[*ast.IntegerNode](list, func(i *ast.IntegerNode) int { return i.Value })
		if !ok {
			return nil, 0
		}
		has := oneOf(nums)
		return func(m *Matcher) bool { return has(x.get(m)) }, x.cost + 1
	}
	return nil, 0
}

// literals returns the elements of a list of which all are written out.
func literals[N ast.Node, V any](list *ast.ArrayNode, value func(N) V) (out []V, ok bool) {
	for _, e := range list.Nodes {
		n, ok := e.(N)
		if !ok {
			return nil, false
		}
		out = append(out, value(n))
	}
	return out, true
}

// oneOf returns a search in a list: one by one as long as that is quicker than a hash.
func oneOf[V comparable](list []V) func(V) bool {
	if len(list) <= 8 {
		return func(x V) bool { return slices.Contains(list, x) }
	}
	set := make(map[V]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return func(x V) bool { return set[x] }
}

// recordType returns the number of the type that "TYPE" in types asks for.
func recordType(n ast.Node, list *field) (typ uint32, ok bool) {
	s, isText := n.(*ast.StringNode)
	if !isText || list.name != "types" && list.name != "types*" {
		return 0, false
	}
	typ = record.TypeNumber([]byte(s.Value))
	return typ, typ != 0
}

// hasType asks the headers: no name is made of any type. Of one that has only a name the
// text is asked.
func hasType(typ uint32, name ast.Node) test {
	if typ >= record.NamedType || !record.HasTypeName(typ) {
		want := name.(*ast.StringNode).Value
		return func(m *Matcher) bool {
			for k := m.i; k < m.j; k++ {
				if t := m.b.Recs[k].Type; t == typ || t != 0 && !record.HasTypeName(t) {
					if m.typeName(k) == want {
						return true
					}
				}
			}
			return false
		}
	}
	return func(m *Matcher) bool {
		for k := m.i; k < m.j; k++ {
			if m.b.Recs[k].Type == typ {
				return true
			}
		}
		return false
	}
}

// netTest compiles in_net.
func (c *compilation) netTest(n *ast.CallNode) (test, int) {
	set, ok := c.netset(n)
	x, isText := textOf{}, false
	if ok {
		x, isText = c.text(n.Arguments[0])
	}
	if !isText {
		return nil, 0
	}
	return func(m *Matcher) bool { return set.has(x.get(m)) }, x.cost + fromAny
}

// listTest compiles any, all and none over a list.
func (c *compilation) listTest(n *ast.BuiltinNode) (test, int) {
	if n.Name != "any" && n.Name != "all" && n.Name != "none" {
		return nil, 0
	}
	id, ok := n.Arguments[0].(*ast.IdentifierNode)
	if !ok {
		return nil, 0
	}
	slot, ok := c.slotOf[id.Value]
	if !ok {
		return nil, 0
	}
	if t := c.typesTest(n, c.slots[slot]); t != nil {
		return t, fromHeader
	}
	if t := c.wordsTest(n, slot); t != nil {
		return t, c.slots[slot].cost + 1
	}
	compile := c.closure
	if n.Name == "none" {
		compile = c.negated
	}
	body, cost := compile(n.Arguments[1].(*ast.PredicateNode).Node)
	if body == nil {
		return nil, 0
	}
	cost += c.slots[slot].cost
	until := n.Name != "all" // a body of this value ends the search
	ended := n.Name == "any" // and then this is the value of the whole
	if c.slots[slot].kind == numbers {
		return func(m *Matcher) bool {
			for _, x := range m.value(slot).nums {
				if m.elemNum = x; body(m) == until {
					return ended
				}
			}
			return !ended
		}, cost
	}
	return func(m *Matcher) bool {
		for _, x := range m.value(slot).texts {
			if m.elem = x; body(m) == until {
				return ended
			}
		}
		return !ended
	}, cost
}

// elementsIn returns the list of any(LIST, # in [list that is written out]).
func elementsIn(n *ast.BuiltinNode) *ast.ArrayNode {
	in, ok := n.Arguments[1].(*ast.PredicateNode).Node.(*ast.BinaryNode)
	if !ok || n.Name != "any" || in.Operator != "in" {
		return nil
	}
	array, ok := in.Right.(*ast.ArrayNode)
	if _, isElement := in.Left.(*ast.PointerNode); !ok || !isElement {
		return nil
	}
	return array
}

// wordsTest compiles any(LIST, # in ["a", "b"]), which is what key in [...] becomes.
func (c *compilation) wordsTest(n *ast.BuiltinNode, slot int) test {
	array := elementsIn(n)
	if array == nil || c.slots[slot].kind != texts {
		return nil
	}
	words, ok := literals[*ast.StringNode](array, func(s *ast.StringNode) string { return s.Value })
	if !ok {
		return nil
	}
	has := oneOf(words)
	return func(m *Matcher) bool {
		for _, x := range m.value(slot).texts {
			if has(x) {
				return true
			}
		}
		return false
	}
}

// typesTest compiles any(types, # in ["A", "B"]), which is what type in [...] becomes.
func (c *compilation) typesTest(n *ast.BuiltinNode, list *field) test {
	array := elementsIn(n)
	if array == nil {
		return nil
	}
	var tests []costed
	for _, e := range array.Nodes {
		typ, ok := recordType(e, list)
		if !ok {
			return nil
		}
		tests = append(tests, costed{hasType(typ, e), fromHeader})
	}
	t, _ := joinTests("or", tests)
	return t
}
