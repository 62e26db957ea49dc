package filter

import (
	"maps"
	"math/bits"
	"slices"
)

// ruleGroup is the rules that need a record of one type, which is asked for once.
type ruleGroup struct {
	hasType test        // nil: for rules that need none
	always  []int       // numbers of rules that are asked of each event with such a record
	byScan  []scanGroup // the other rules, by the search that they need
}

// scanGroup is the rules that need something a scan looks for.
type scanGroup struct {
	number   int           // of the scan
	searches []uint64      // those that rules need, a bit for each
	before   []int         // how many bits are set before each word of searches
	rules    [][]int       // by search, in the order of the bits
	gathered map[int][]int // rules, until they are complete
}

// group puts the rules that need the same type and the same searches together. So most rules cost an event nothing: it lacks the
// words that they look for.
func (s *RuleSet) group() {
	groupOf := make(map[string]int)
	for i := range s.all {
		r := &s.all[i]
		r.rest = r.root.test
		name, hasType := "", test(nil)
		if asks := r.root.neededType(); asks != nil {
			name, hasType = asks.hasType, asks.test
			if k := slices.Index(r.root.kids, asks); k >= 0 && r.root.op == "and" {
				r.rest = join("and", operandsOf(slices.Delete(slices.Clone(r.root.kids), k, k+1))...).test
			}
		}
		n, there := groupOf[name]
		if !there {
			n = len(s.groups)
			groupOf[name] = n
			s.groups = append(s.groups, ruleGroup{hasType: hasType})
		}
		s.groups[n].add(i, r.root.needs)
	}

	for i := range s.groups {
		for k := range s.groups[i].byScan {
			g := &s.groups[i].byScan[k]
			g.complete(int(s.f.scans[g.number].groups))
		}
	}
}

// neededType returns the part that asks for a type of records without which p does not hold, nil if there is none.
func (p *part) neededType() (asks *part) {
	switch {
	case p.op == "" && p.hasType != "":
		return p
	case p.op != "and" && p.op != "or":
		return nil
	}
	for i, kid := range p.kids {
		of := kid.neededType()
		switch {
		case p.op == "and" && of != nil:
			return of
		case p.op == "or" && (of == nil || (i > 0 && of.hasType != asks.hasType)):
			return nil
		}
		asks = of
	}
	return asks
}

// add adds a rule that needs one of some searches.
func (g *ruleGroup) add(rule int, needs []*need) {
	if needs == nil {
		g.always = append(g.always, rule)
		return
	}
	for _, needed := range needs {
		i := slices.IndexFunc(g.byScan, func(s scanGroup) bool { return s.number == needed.scan })
		if i < 0 {
			i = len(g.byScan)
			g.byScan = append(g.byScan, scanGroup{number: needed.scan, gathered: make(map[int][]int)})
		}
		s, search := &g.byScan[i], int(needed.group)
		s.gathered[search] = append(s.gathered[search], rule)
	}
}

// complete puts the rules in order, for a scan that has so many searches.
func (g *scanGroup) complete(searches int) {
	g.searches, g.before = make([]uint64, (searches+63)/64), make([]int, (searches+63)/64)
	for _, n := range slices.Sorted(maps.Keys(g.gathered)) {
		setBit(g.searches, uint32(n))
		g.rules = append(g.rules, g.gathered[n])
	}
	for w := 1; w < len(g.before); w++ {
		g.before[w] = g.before[w-1] + bits.OnesCount64(g.searches[w-1])
	}
	g.gathered = nil
}

// ask asks the rules that need a search which has found something.
func (g *scanGroup) ask(r *Rules, found []uint64) {
	for w, needed := range g.searches {
		for left := found[w] & needed; left != 0; left &= left - 1 {
			lower := left&-left - 1
			for _, n := range g.rules[g.before[w]+bits.OnesCount64(needed&lower)] {
				r.ask(n)
			}
		}
	}
}
