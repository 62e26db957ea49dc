package filter

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// scan is all searches for written-out words in one field: its text is gone through once, when the first of them is asked, and
// that answers all. So an expression may have a list of a thousand words, and a hundred rules ask for the same field.
type scan struct {
	number int // of its state in a Matcher
	slot   int // of the field; if that is a list, of its elements
	groups uint32
	uses   map[useKey]*scanUse // until they are complete

	within  wordSet             // words that may stand anywhere
	starts  wordSet             // words that a text begins with, or is
	ends    wordSet             // words that it ends with, written backwards
	equal   map[string]*scanUse // what it has to be, upper and lower case as they are
	longest int                 // of equal
}

// found is what a scan has found in an event.
type found struct {
	epoch uint64
	bits  []uint64 // by group
	err   error    // why not all of the field has been searched
}

// need is a search that has to find something where a part of an expression holds.
type need struct {
	scan   int
	group  uint32
	weight int // the more, the fewer events it is likely to find something in
}

// searchWords returns the search for written-out words in an operand.
func (c *checker) searchWords(n ast.Node, o operand, s search) operand {
	if has, needs := c.scanFor(o, s); has != nil {
		out := combine(flag, o)
		if list := o.each(); list != nil {
			out = combine(flag, c.useField(list))
		}
		out.cost++
		out.test, out.needs = has, needs
		return out
	}
	finds := s.finder()
	return c.overEach(n, o, func(o operand) operand {
		out, get := combine(flag, o), o.text
		out.cost++
		out.test = func(m *Matcher) bool { return finds(get(m)) }
		out.needs = c.needOfElement(o, s)
		return out
	})
}

// scanFor makes a search part of the scan of a field, and returns the test for it. That is nil where the operand is no
// field, or a word is empty.
func (c *checker) scanFor(o operand, s search) (has test, needs []*need) {
	list := o.each()
	if o.field == nil || !o.inSlot || (list != nil && c.element != none) {
		return nil, nil
	}
	if list == nil {
		list = o.field
	}
	if needs = c.addSearch(list, s); needs == nil {
		return nil, nil
	}
	if has = foundAny(needs); !c.together {
		needs = nil
	}
	return has, needs
}

// needOfElement returns the search that has to find something in the list that # is an element of, where it finds something
// in #.
func (c *checker) needOfElement(o operand, s search) []*need {
	if !c.together || !o.isHash || o.field == nil {
		return nil
	}
	return c.addSearch(o.field, s)
}

// needEqual returns out, which holds only where o, or an element of it if it is a list, is one of some texts. That is a search, too,
// if they are written out.
func (c *checker) needEqual(out, o operand, among ...operand) operand {
	if !c.together || isTypes(o) || (o.field != nil && o.field.name == "type") { // records' types are compared without their names
		return out
	}
	s := search{mode: whole, exact: true}
	for _, a := range among {
		if a.kind != text || !a.literal {
			return out
		}
		s.words = append(s.words, a.s)
	}
	if len(s.words) == 0 {
		return out
	}
	if _, out.needs = c.scanFor(o, s); out.needs == nil {
		out.needs = c.needOfElement(o, s)
	}
	return out
}

// addSearch makes a search part of the scan of a field's text, or of the elements of a list; nil where a word is empty.
func (c *checker) addSearch(f *field, s search) []*need {
	if slices.Contains(s.words, "") {
		return nil
	}
	slot := c.useField(f).slot
	sc := c.scanOf[slot]
	if sc == nil {
		sc = newScan(len(c.scans), slot)
		c.scanOf[slot] = sc
		c.scans = append(c.scans, sc)
	}
	return []*need{{scan: sc.number, group: sc.add(s), weight: weigh(f, s)}}
}

// weigh guesses how few events a search finds something in.
func weigh(f *field, s search) int {
	weight := shortest(s.words)
	switch {
	case f.known != nil: // one of a few names, which many events have
		return 1
	case s.mode == whole:
		weight += len("/usr/bin/")
	case s.mode == atEnd: // it is the name of a program, mostly
		weight += len("/bin/")
	}
	if f.ofTable() { // these take longest to read
		weight /= 4
	}
	return weight
}

// foundAny returns the test whether any of some searches has found something.
func foundAny(needs []*need) test {
	if len(needs) == 1 {
		number, group := needs[0].scan, needs[0].group
		return func(m *Matcher) bool { return hasBit(m.found(number), group) }
	}
	return func(m *Matcher) bool {
		return slices.ContainsFunc(needs, func(n *need) bool { return hasBit(m.found(n.scan), n.group) })
	}
}

// joinNeeds returns searches of which one has to find something where parts that are joined by an operator hold; nil if they
// need none.
func joinNeeds(op string, parts []operand) (needs []*need) {
	for _, p := range parts {
		switch {
		case op == "or" && p.needs == nil:
			return nil
		case op == "or":
			needs = append(needs, p.needs...)
		case p.needs != nil && (needs == nil || weightOf(p.needs) > weightOf(needs)): // those that find least
			needs = p.needs
		}
	}
	return needs
}

// weightOf returns the weight of the search that finds most.
func weightOf(needs []*need) int {
	return slices.MinFunc(needs, func(a, b *need) int { return a.weight - b.weight }).weight
}

// found returns what the searches of a scan have found in this event, a bit a group.
func (m *Matcher) found(number int) []uint64 {
	f := &m.scans[number]
	if f.epoch != m.epoch {
		m.scan(number)
	}
	if f.err != nil {
		m.noteError(f.err)
	}
	return f.bits
}

// scan looks for all words of a scan.
func (m *Matcher) scan(number int) {
	sc, f := m.f.scans[number], &m.scans[number]
	f.epoch = m.epoch
	clear(f.bits)
	v := m.value(sc.slot)
	f.err = v.err
	if m.f.slots[sc.slot].kind == text {
		sc.run(v.s, f.bits)
	} else {
		for _, s := range v.texts {
			sc.run(s, f.bits)
		}
	}
	if m.before != nil {
		for i, bits := range m.before[number] {
			f.bits[i] |= bits
		}
	}
}

func hasBit(bits []uint64, n uint32) bool { return bits[n/64]>>(n%64)&1 != 0 }

func setBit(bits []uint64, n uint32) { bits[n/64] |= 1 << (n % 64) }
