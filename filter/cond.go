package filter

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// test is a compiled part that is true or false.
type test func(*Matcher) bool

func invert(t test) test { return func(m *Matcher) bool { return !t(m) } }

// join makes one test of several. The cheap ones go first: so most events are
// refused by their types and keys before anything else of them is read. What is
// joined has no effect but its value, so that their order matters to nobody.
func join(op string, parts []*part) (test, int) {
	tests := make([]costed, len(parts))
	for i, p := range parts {
		tests[i] = costed{p.test, p.cost}
	}
	return joinTests(op, tests)
}

type costed struct {
	test test
	cost int
}

func joinTests(op string, tests []costed) (test, int) {
	slices.SortStableFunc(tests, func(a, b costed) int { return cmp.Compare(a.cost, b.cost) })
	cost := 0
	list := make([]test, len(tests))
	for i, t := range tests {
		list[i] = t.test
		cost += t.cost
	}
	until := op == "or"
	if len(list) == 2 {
		a, b := list[0], list[1]
		if until {
			return func(m *Matcher) bool { return a(m) || b(m) }, cost
		}
		return func(m *Matcher) bool { return a(m) && b(m) }, cost
	}
	return func(m *Matcher) bool {
		for _, t := range list {
			if t(m) == until {
				return until
			}
		}
		return !until
	}, cost
}

// cond compiles a checked part: what it can to closures, the rest for the virtual
// machine of expr.
func (c *compilation) cond(n ast.Node) (test, int) {
	if t, cost := c.closure(n); t != nil {
		return t, cost
	}
	return c.program(n), vmCost
}

// closure compiles what needs no virtual machine. It returns nil for the rest.
func (c *compilation) closure(n ast.Node) (test, int) {
	switch n := n.(type) {
	case *ast.BoolNode:
		value := n.Value
		return func(*Matcher) bool { return value }, 0
	case *ast.IdentifierNode:
		if slot, ok := c.slotOf[n.Value]; ok {
			least, most := isUnder, notSure // what is not sure counts as what keeps the event
			if c.negative {
				most = isUnder
			}
			return func(m *Matcher) bool { n := m.value(slot).n; return n >= least && n <= most }, c.slots[slot].cost
		}
	case *ast.UnaryNode:
		if n.Operator != "not" {
			return nil, 0
		}
		if t, cost := c.negated(n.Node); t != nil {
			return invert(t), cost
		}
	case *ast.CallNode:
		return c.netTest(n)
	case *ast.BuiltinNode:
		return c.listTest(n)
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "or":
			a, costA := c.closure(n.Left)
			b, costB := c.closure(n.Right)
			if a == nil || b == nil {
				return nil, 0
			}
			return joinTests(n.Operator, []costed{{a, costA}, {b, costB}})
		case "in":
			return c.inTest(n)
		}
		if t, cost := c.numberTest(n); t != nil {
			return t, cost
		}
		return c.textTest(n)
	}
	return nil, 0
}

// negated is closure for what stands under a not.
func (c *compilation) negated(n ast.Node) (test, int) {
	c.negative = !c.negative
	t, cost := c.closure(n)
	c.negative = !c.negative
	return t, cost
}

// numberOf is an operand that is a number.
type numberOf struct {
	get      func(*Matcher) int
	slot     int  // of a field, else -1
	constant bool // with value
	value    int
	cost     int
}

func (c *compilation) number(n ast.Node) (o numberOf, ok bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return numberOf{get: func(*Matcher) int { return n.Value }, slot: -1, constant: true, value: n.Value}, true
	case *ast.PointerNode:
		if n.Type().Kind().String() == "int" {
			return numberOf{get: func(m *Matcher) int { return m.elemNum }, slot: -1}, true
		}
	case *ast.IdentifierNode:
		if slot, ok := c.slotOf[n.Value]; ok && c.slots[slot].kind == number {
			return numberOf{get: func(m *Matcher) int { return m.value(slot).n }, slot: slot, cost: c.slots[slot].cost}, true
		}
	}
	return o, false
}

// numberTest compiles a comparison of numbers.
func (c *compilation) numberTest(n *ast.BinaryNode) (test, int) {
	l, lok := c.number(n.Left)
	r, rok := c.number(n.Right)
	if !lok || !rok {
		return nil, 0
	}
	op := n.Operator
	if l.constant {
		l, r = r, l
		if other := map[string]string{"<": ">", ">": "<", "<=": ">=", ">=": "<="}[op]; other != "" {
			op = other
		}
	}
	if l.slot >= 0 && r.constant {
		return slotInRange(l.slot, op, r.value), l.cost
	}
	return comparison(op, l.get, r.get), l.cost + r.cost
}

// comparison compiles an operator between two operands, nil when it is none that compares.
func comparison[V cmp.Ordered](op string, a, b func(*Matcher) V) test {
	switch op {
	case "==":
		return func(m *Matcher) bool { return a(m) == b(m) }
	case "!=":
		return func(m *Matcher) bool { return a(m) != b(m) }
	case "<":
		return func(m *Matcher) bool { return a(m) < b(m) }
	case "<=":
		return func(m *Matcher) bool { return a(m) <= b(m) }
	case ">":
		return func(m *Matcher) bool { return a(m) > b(m) }
	case ">=":
		return func(m *Matcher) bool { return a(m) >= b(m) }
	}
	return nil
}

// slotInRange compiles the comparison of a field with a number: all of them ask
// whether it lies in a range, or does not.
func slotInRange(slot int, op string, x int) test {
	lo, hi, outside := math.MinInt, math.MaxInt, false
	switch op {
	case "==":
		lo, hi = x, x
	case "!=":
		lo, hi, outside = x, x, true
	case "<":
		lo, outside = x, true
	case "<=":
		hi = x
	case ">":
		hi, outside = x, true
	case ">=":
		lo = x
	default:
		return nil
	}
	return func(m *Matcher) bool {
		n := m.value(slot).n
		return (n >= lo && n <= hi) != outside
	}
}

// textOf is an operand that is text.
type textOf struct {
	get      func(*Matcher) string
	constant bool
	value    string
	cost     int
}

func (c *compilation) text(n ast.Node) (o textOf, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return textOf{get: func(*Matcher) string { return n.Value }, constant: true, value: n.Value}, true
	case *ast.PointerNode:
		if n.Type().Kind().String() == "string" {
			return textOf{get: func(m *Matcher) string { return m.elem }}, true
		}
	case *ast.IdentifierNode:
		if slot, ok := c.slotOf[n.Value]; ok && c.slots[slot].kind == text {
			return textOf{get: func(m *Matcher) string { return m.value(slot).s }, cost: c.slots[slot].cost}, true
		}
	}
	return o, false
}

// textTest compiles comparisons of texts and searches in them.
func (c *compilation) textTest(n *ast.BinaryNode) (test, int) {
	l, lok := c.text(n.Left)
	r, rok := c.text(n.Right)
	if !lok || !rok {
		return nil, 0
	}
	a, b, cost := l.get, r.get, l.cost+r.cost
	if n.Operator == "matches" {
		re := c.patterns[r.value]
		return func(m *Matcher) bool { return re.MatchString(a(m)) }, cost + regexCost
	}
	switch n.Operator {
	case "==":
		if r.constant {
			value := r.value
			return func(m *Matcher) bool { return a(m) == value }, cost
		}
	case "contains":
		return func(m *Matcher) bool { return strings.Contains(a(m), b(m)) }, cost + 1
	case "startsWith":
		return func(m *Matcher) bool { return strings.HasPrefix(a(m), b(m)) }, cost
	case "endsWith":
		return func(m *Matcher) bool { return strings.HasSuffix(a(m), b(m)) }, cost
	}
	return comparison(n.Operator, a, b), cost
}
