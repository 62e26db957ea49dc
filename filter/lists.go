package filter

import (
	"math"
	"slices"

	"audisp-relay/audit/record"
)

// listOf returns a list that is written out.
func listOf(elements []operand) operand {
	out := combine(texts, elements...)
	out.elements, out.cost = elements, 1
	out.texts = valuesOf(elements, textOf)
	if elements[0].kind == number {
		out.kind = numbers
		out.numbers = valuesOf(elements, numberOf)
	}
	for _, e := range elements {
		out.plain = out.plain && e.literal
	}
	return out
}

func textOf(o operand) func(*Matcher) string  { return o.text }
func numberOf(o operand) func(*Matcher) int64 { return o.number }

// valuesOf returns the values of all elements.
func valuesOf[V any](elements []operand, get func(operand) func(*Matcher) V) func(*Matcher) []V {
	return func(m *Matcher) []V {
		if !m.takeMemory(16 * len(elements)) { // as long as a text's header
			return nil
		}
		return evaluate(m, elements, get)
	}
}

// evaluate evaluates all elements; m may be nil where they are literal.
func evaluate[V any](m *Matcher, elements []operand, get func(operand) func(*Matcher) V) []V {
	values := make([]V, len(elements))
	for i, e := range elements {
		values[i] = get(e)(m)
	}
	return values
}

// contains returns x in list.
func contains(x, list operand) operand {
	out := combine(flag, x, list)
	if isTypes(list) && x.literal {
		if typ := record.TypeNumber([]byte(x.s)); typ != 0 {
			out.test, out.cost, out.hasType = hasType(typ, x.s), fromHeader, x.s
			return out
		}
	}
	if x.isHash && list.plain {
		out.among = list.elements
	}

	switch x.kind {
	case text:
		out.test = isIn(x.text, list, list.texts, textOf)
	case number:
		out.test = isIn(x.number, list, list.numbers, numberOf)
	default: // ouid == 0.5, which runs over ouids
		out.test = func(m *Matcher) bool {
			want := x.float(m)
			return slices.ContainsFunc(list.numbers(m), func(n int64) bool { return float64(n) == want })
		}
	}
	return out
}

// isIn compiles the search for a value in a list.
func isIn[V comparable](get func(*Matcher) V, list operand, values func(*Matcher) []V, valueOf func(operand) func(*Matcher) V) test {
	switch {
	case list.elements == nil:
		return func(m *Matcher) bool {
			x := get(m)
			return slices.Contains(values(m), x)
		}
	case list.plain:
		has := oneOf(evaluate(nil, list.elements, valueOf))
		return func(m *Matcher) bool { return has(get(m)) }
	}
	return func(m *Matcher) bool {
		x, found := get(m), false
		for _, e := range list.elements { // all of them: each may fail
			found = valueOf(e)(m) == x || found
		}
		return found
	}
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

// isTypes reports whether a list is the names of the records' types.
func isTypes(list operand) bool {
	return list.field != nil && (list.field.name == "types" || list.field.name == "types*")
}

// hasType asks the headers: no name is made of any type. Of one that has only a name the
// text is asked.
func hasType(typ uint32, name string) test {
	if typ < record.NamedType && record.HasTypeName(typ) {
		return func(m *Matcher) bool {
			for k := m.i; k < m.j; k++ {
				if m.b.Recs[k].Type == typ {
					return true
				}
			}
			return false
		}
	}

	return func(m *Matcher) bool {
		for k := m.i; k < m.j; k++ {
			t := m.b.Recs[k].Type
			if (t == typ || (t != 0 && !record.HasTypeName(t))) && m.typeName(k) == name {
				return true
			}
		}
		return false
	}
}

// quantify returns any(list, body), or all, none, one or count.
func quantify(name string, list, body operand) operand {
	if name == "any" && list.inSlot && list.kind == texts && body.among != nil {
		return anyAmong(list, body)
	}

	out := combine(flag, list, body)
	out.plain = out.plain && list.inSlot
	holds, most := body.test, int64(1)
	switch name {
	case "all":
		holds = negate(body).test // so that it ends with the first that does not hold
	case "one", "count":
		out.plain, most = false, math.MaxInt64
	}

	count := countHolding(list.texts, func(m *Matcher) *string { return &m.elem }, holds, most)
	if list.kind == numbers {
		count = countHolding(list.numbers, func(m *Matcher) *int64 { return &m.elemNum }, holds, most)
	}
	if name == "count" {
		out.kind, out.number = number, count
		return out
	}
	want := int64(0)
	if name == "any" || name == "one" {
		want = 1
	}
	out.test = func(m *Matcher) bool { return count(m) == want }
	if name == "any" && body.needs != nil {
		out.needs = body.needs
		if out.plain { // else an element might fail
			has, holds := foundAny(body.needs), out.test
			out.test = func(m *Matcher) bool { return has(m) && holds(m) }
		}
	}
	return out
}

// countHolding counts the elements of a list that a test holds for, and ends when it has most.
// current is where # is read from.
func countHolding[V any](list func(*Matcher) []V, current func(*Matcher) *V, holds test, most int64) func(*Matcher) int64 {
	return func(m *Matcher) int64 {
		n, element := int64(0), current(m)
		outer := *element // (any(inodes, # > 5) ? 1 : 2) < ouid runs over inodes for each of ouids
		for _, *element = range list(m) {
			if holds(m) {
				if n++; n == most {
					break
				}
			}
		}
		*element = outer
		return n
	}
}

// anyAmong compiles any(LIST, # in ["a", "b"]), which is what key in [...] becomes.
func anyAmong(list, body operand) operand {
	out := combine(flag, list, body)
	if isTypes(list) {
		tests := make([]operand, len(body.among))
		for i, word := range body.among {
			tests[i] = contains(word, list)
		}
		out.test, out.cost = join("or", tests...).test, fromHeader
		return out
	}

	out.needs = body.needs
	has, slot := oneOf(evaluate(nil, body.among, textOf)), list.slot
	out.test = func(m *Matcher) bool { return slices.ContainsFunc(m.value(slot).texts, has) }
	return out
}
