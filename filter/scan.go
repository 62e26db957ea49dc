package filter

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// scan is all searches for written-out words in one field: one pass over its text, when the first of them is asked,
// answers all. So an expression may have a list of a thousand words, and a hundred rules ask for the same field.
type scan struct {
	number int // of its state in a Matcher
	slot   int // of the field; if that is a list, of its elements
	words  []scanWord
	wordOf map[string]int
	groups uint32
	auto   *automaton
}

// scanWord is a folded word, and the searches that look for it.
type scanWord struct {
	text   string
	inside []scanUse // wherever it stands
	atEnds []scanUse // the others
	// all is a group that is set once all of inside have found it, so that a word which is there often costs a hundred rules no more than one.
	all uint32
}

// scanUse says what finding a word means.
type scanUse struct {
	group uint32 // the search that has found something
	mode  searchMode
	exact string // the text has to have just this there; "": any case will do
}

// found is what a scan has found in an event.
type found struct {
	epoch uint64
	bits  []uint64 // by group
	err   error    // why not all of the field has been searched
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
	return c.overEach(n, o, func(o operand) operand {
		out, get := combine(flag, o), o.text
		out.cost++
		out.test = func(m *Matcher) bool { return s.in(get(m)) }
		return out
	})
}

// need is a search that is part of a scan.
type need struct {
	scan   int
	group  uint32
	weight int // the longer its words, the fewer events have one
}

// scanFor makes a search part of the scan of a field, and returns the test for it. That is nil where the operand is no
// field, or a word is empty.
func (c *checker) scanFor(o operand, s search) (has test, needs *need) {
	list := o.each()
	if o.field == nil || !o.inSlot || (list != nil && c.element != none) {
		return nil, nil
	}
	if slices.Contains(s.words, "") {
		return nil, nil
	}
	slot := o.slot
	if list != nil {
		slot = c.useField(list).slot
	}
	sc := c.scanOf[slot]
	if sc == nil {
		sc = &scan{number: len(c.scans), slot: slot, wordOf: make(map[string]int)}
		c.scanOf[slot] = sc
		c.scans = append(c.scans, sc)
	}
	needs = &need{scan: sc.number, group: sc.add(s), weight: len(s.words[0])}
	for _, w := range s.words {
		needs.weight = min(needs.weight, len(w))
	}
	if s.mode == whole {
		needs.weight += len("/usr/bin/") // the word is not part of others
	}
	number, group := needs.scan, needs.group
	return func(m *Matcher) bool { return hasBit(m.found(number), group) }, needs
}

// add adds a search and returns its group.
func (sc *scan) add(s search) uint32 {
	group := sc.groups
	sc.groups++
	for _, w := range s.words {
		use := scanUse{group: group, mode: s.mode}
		if s.exact {
			use.exact = w
		}
		w = foldText(w)
		n, there := sc.wordOf[w]
		if !there {
			n = len(sc.words)
			sc.wordOf[w] = n
			sc.words = append(sc.words, scanWord{text: w})
		}
		if s.mode == within {
			sc.words[n].inside = append(sc.words[n].inside, use)
		} else {
			sc.words[n].atEnds = append(sc.words[n].atEnds, use)
		}
	}
	return group
}

// build makes the automaton when all words are known.
func (sc *scan) build() {
	words := make([]string, len(sc.words))
	for i := range sc.words {
		w := &sc.words[i]
		words[i] = w.text
		switch len(w.inside) {
		case 0:
		case 1:
			w.all = w.inside[0].group
		default:
			w.all = sc.groups
			sc.groups++
		}
	}
	sc.auto, sc.wordOf = newAutomaton(words), nil
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
		return
	}
	for _, s := range v.texts {
		sc.run(s, f.bits)
	}
}

// run sets the bits of what is found in one text.
func (sc *scan) run(text string, bits []uint64) {
	a, state := sc.auto, uint32(0)
	for i := 0; i < len(text); i++ {
		class := a.class[text[i]]
		if class == 0 {
			state = 0
			continue
		}
		state = a.next(state, class)
		for s := a.last[state]; s >= 0; s = a.last[a.fail[s]] {
			sc.note(&sc.words[a.ends[s]], text, i+1, bits)
		}
	}
}

// note sets the bits of a word that ends before text[end].
func (sc *scan) note(w *scanWord, text string, end int, bits []uint64) {
	from := end - len(w.text)
	if len(w.inside) > 0 && !hasBit(bits, w.all) {
		all := true
		for i := range w.inside {
			if use := &w.inside[i]; use.exact == "" || text[from:end] == use.exact {
				setBit(bits, use.group)
			} else if !hasBit(bits, use.group) {
				all = false
			}
		}
		if all {
			setBit(bits, w.all)
		}
	}
	if from > 0 && end < len(text) {
		return
	}

	for i := range w.atEnds {
		use := &w.atEnds[i]
		switch {
		case (use.mode == atStart || use.mode == whole) && from > 0:
		case (use.mode == atEnd || use.mode == whole) && end < len(text):
		case use.exact != "" && text[from:end] != use.exact:
		default:
			setBit(bits, use.group)
		}
	}
}

func hasBit(bits []uint64, n uint32) bool { return bits[n/64]>>(n%64)&1 != 0 }

func setBit(bits []uint64, n uint32) { bits[n/64] |= 1 << (n % 64) }
