package filter

import (
	"cmp"
	"slices"
	"strings"
)

// test evaluates what is true or false.
type test func(*Matcher) bool

// operand is a checked part of an expression. Of its functions it has the one of its kind.
type operand struct {
	kind    kind
	test    test
	number  func(*Matcher) int64
	float   func(*Matcher) float64
	text    func(*Matcher) string
	texts   func(*Matcher) []string
	numbers func(*Matcher) []int64

	// What is plain cannot fail but in reading fields, and counts a path_under that is not sure
	// as what keeps the event; so it may be evaluated in any order. The rest is settled as a
	// whole, see makePlain.
	plain bool
	cost  int
	slots []int // that it mentions, in order

	field    *field    // that it is, or that the element # is of; nil for others
	literal  bool      // n or s is written out
	n        int64     // of a literal number
	s        string    // of a literal text
	elements []operand // of a list that is written out
	isHash   bool      // it is #
	among    []operand // it is "# in [...]": what is in that list, all of it literal
	inSlot   bool      // slot has its value
	slot     int
	hasType  string // of a test for records of a type: its name
	// needs are searches of which one has to find something where a test holds; nil: it needs none. Only rules have them.
	needs []*need
}

func literalNumber(n int64) operand {
	return operand{kind: number, plain: true, literal: true, n: n, number: func(*Matcher) int64 { return n }}
}

func literalText(s string) operand {
	return operand{kind: text, plain: true, literal: true, s: s, text: func(*Matcher) string { return s }}
}

// elementOperand is # within any(LIST, ...).
func elementOperand(k kind, list *field) operand {
	return operand{
		kind: k, plain: true, isHash: true, field: list,
		number: func(m *Matcher) int64 { return m.elemNum },
		text:   func(m *Matcher) string { return m.elem },
	}
}

// readSlot returns the value of a slot.
func (c *checker) readSlot(slot int) operand {
	most := int64(notSure) // what is not sure counts as what keeps the event
	if c.negative {
		most = isUnder
	}
	return operand{
		kind: c.slots[slot].kind, inSlot: true, slot: slot,
		test:    func(m *Matcher) bool { n := m.value(slot).n; return n >= isUnder && n <= most },
		number:  func(m *Matcher) int64 { return m.value(slot).n },
		float:   func(m *Matcher) float64 { return m.value(slot).f },
		text:    func(m *Matcher) string { return m.value(slot).s },
		texts:   func(m *Matcher) []string { return m.value(slot).texts },
		numbers: func(m *Matcher) []int64 { return m.value(slot).nums },
	}
}

// load evaluates an operand as a field that let defines.
func (o operand) load(m *Matcher, v *value) {
	switch o.kind {
	case number:
		v.n = o.number(m)
	case float:
		v.f = o.float(m)
	case text:
		v.s = o.text(m)
	case flag:
		v.n = flagNumber(o.test(m))
	case texts:
		v.texts = o.texts(m)
	case numbers:
		v.nums = o.numbers(m)
	}
}

// combine returns an operand that is made of others, which the caller gives its function.
func combine(k kind, of ...operand) operand {
	out := operand{kind: k, plain: true}
	for _, o := range of {
		out.plain = out.plain && o.plain
		out.cost += o.cost
		out.slots = append(out.slots, o.slots...)
	}
	return out
}

// derive is combine for what is not plain.
func derive(k kind, of ...operand) operand {
	out := combine(k, of...)
	out.plain = false
	return out
}

// makePlain makes a plain operand of any that is true or false: all fields are read first, and
// one that is not sure leaves the whole not sure. What may fail comes last.
func (c *checker) makePlain(o operand) operand {
	var slots []int
	seen := make(map[int]bool)
	for _, slot := range o.slots {
		if !seen[slot] {
			seen[slot] = true
			slots = append(slots, slot)
		}
	}
	o.slots = slots
	if o.plain {
		return o
	}

	inner, favour := o.test, !c.negative
	o.plain, o.cost = true, lastCost
	o.needs = nil // what is not sure holds without them
	o.test = func(m *Matcher) bool {
		for _, slot := range slots {
			if v := m.value(slot); v.n == notSure && m.f.slots[slot].kind == flag {
				return favour
			}
		}
		return inner(m)
	}
	return o
}

func negate(o operand) operand {
	out, inner := combine(flag, o), o.test
	out.test = func(m *Matcher) bool { return !inner(m) }
	return out
}

// join makes one test of several. The cheap ones go first: so most events are refused by
// their types and keys before anything else of them is read. What is plain has no effect but
// its value, so that its order matters to none.
func join(op string, parts ...operand) operand {
	if len(parts) == 1 {
		return parts[0]
	}
	out := combine(flag, parts...)
	out.needs = joinNeeds(op, parts)
	if out.plain {
		parts = slices.Clone(parts)
		slices.SortStableFunc(parts, func(a, b operand) int { return cmp.Compare(a.cost, b.cost) })
	}

	until := op == "or"
	if len(parts) == 2 {
		a, b := parts[0].test, parts[1].test
		out.test = func(m *Matcher) bool { return a(m) && b(m) }
		if until {
			out.test = func(m *Matcher) bool { return a(m) || b(m) }
		}
		return out
	}

	list := make([]test, len(parts))
	for i, p := range parts {
		list[i] = p.test
	}
	out.test = func(m *Matcher) bool {
		for _, t := range list {
			if t(m) == until {
				return until
			}
		}
		return !until
	}
	return out
}

// choose returns a where cond holds, else b.
func choose(cond, a, b operand) operand {
	out := derive(a.kind, cond, a, b)
	out.test = chosen(cond.test, a.test, b.test)
	out.number = chosen(cond.test, a.number, b.number)
	out.float = chosen(cond.test, a.float, b.float)
	out.text = chosen(cond.test, a.text, b.text)
	out.texts = chosen(cond.test, a.texts, b.texts)
	out.numbers = chosen(cond.test, a.numbers, b.numbers)
	return out
}

func chosen[V any](cond test, a, b func(*Matcher) V) func(*Matcher) V {
	return func(m *Matcher) V {
		if cond(m) {
			return a(m)
		}
		return b(m)
	}
}

// asFloat returns the function of a number of either kind.
func (o operand) asFloat() func(*Matcher) float64 {
	if o.kind == float {
		return o.float
	}
	return func(m *Matcher) float64 { return float64(o.number(m)) }
}

// compare compares two operands of the same kind, or two numbers.
func compare(op string, l, r operand) operand {
	out := combine(flag, l, r)
	switch {
	case l.kind == flag:
		out.plain = false
		out.test = func(m *Matcher) bool { return (l.test(m) == r.test(m)) == (op == "==") }
	case l.kind == text && r.literal && op == "==":
		get, want := l.text, r.s
		out.test = func(m *Matcher) bool { return get(m) == want }
	case l.kind == text:
		out.test = comparison(op, l.text, r.text)
	case l.kind == float || r.kind == float:
		out.test = comparison(op, l.asFloat(), r.asFloat())
	default:
		out.test = comparison(op, l.number, r.number)
	}
	return out
}

// comparison compiles an operator between two values.
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
	}
	return func(m *Matcher) bool { return a(m) >= b(m) }
}

// searchText compiles contains, startsWith and endsWith.
func searchText(op string, l, r operand) operand {
	out := combine(flag, l, r)
	a, b := l.text, r.text
	switch op {
	case "contains":
		out.cost++
		out.test = func(m *Matcher) bool { return strings.Contains(a(m), b(m)) }
	case "startsWith":
		out.test = func(m *Matcher) bool { return strings.HasPrefix(a(m), b(m)) }
	case "endsWith":
		out.test = func(m *Matcher) bool { return strings.HasSuffix(a(m), b(m)) }
	}
	return out
}
