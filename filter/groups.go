package filter

import "slices"

// ruleGroup is the rules that need a record of one type, which is asked for once.
type ruleGroup struct {
	hasType test        // nil: for rules that need none
	always  []int       // numbers of rules that are asked of each event with such a record
	byScan  []scanGroup // the other rules, by the search that they need
}

// scanGroup is the rules that need something a scan looks for.
type scanGroup struct {
	number int           // of the scan
	groups []uint64      // of the searches, a bit for each
	rules  map[int][]int // by the group of the search
}

// group puts the rules that need the same type and the same searches together. So most rules cost an event nothing: it lacks the
// words that they look for.
func (s *RuleSet) group() {
	groupOf := make(map[string]int)
	for i := range s.all {
		r := &s.all[i]
		r.rest = r.root.test
		name, hasType := "", test(nil)
		if k := r.root.typeKid(); k >= 0 {
			kid := r.root.kids[k]
			name, hasType = kid.hasType, kid.test
			r.rest = join("and", operandsOf(slices.Delete(slices.Clone(r.root.kids), k, k+1))...).test
		}
		n, there := groupOf[name]
		if !there {
			n = len(s.groups)
			groupOf[name] = n
			s.groups = append(s.groups, ruleGroup{hasType: hasType})
		}
		s.groups[n].add(i, r.root.neededSearches(), s.f.scans)
	}
}

// typeKid returns which of the parts that "and" joins asks for the type of a record, -1 if none does.
func (p *part) typeKid() int {
	if p.op != "and" {
		return -1
	}
	return slices.IndexFunc(p.kids, func(kid *part) bool { return kid.op == "" && kid.hasType != "" })
}

// neededSearches returns searches of which one has to find something where the part holds; nil if it needs none.
func (p *part) neededSearches() (needs []*need) {
	switch p.op {
	case "":
		if p.needs != nil {
			needs = []*need{p.needs}
		}
	case "and": // those that find least
		for _, kid := range p.kids {
			if more := kid.neededSearches(); more != nil && (needs == nil || weightOf(more) > weightOf(needs)) {
				needs = more
			}
		}
	case "or":
		for _, kid := range p.kids {
			more := kid.neededSearches()
			if more == nil {
				return nil
			}
			needs = append(needs, more...)
		}
	}
	return needs
}

// weightOf returns the weight of the search that finds most.
func weightOf(needs []*need) int {
	return slices.MinFunc(needs, func(a, b *need) int { return a.weight - b.weight }).weight
}

// add adds a rule that needs one of some searches.
func (g *ruleGroup) add(rule int, needs []*need, scans []*scan) {
	if needs == nil {
		g.always = append(g.always, rule)
		return
	}
	for _, needed := range needs {
		i := slices.IndexFunc(g.byScan, func(s scanGroup) bool { return s.number == needed.scan })
		if i < 0 {
			i = len(g.byScan)
			g.byScan = append(g.byScan, scanGroup{number: needed.scan, groups: make([]uint64, (scans[needed.scan].groups+63)/64), rules: make(map[int][]int)})
		}
		s, group := &g.byScan[i], int(needed.group)
		s.groups[group/64] |= 1 << (group % 64)
		s.rules[group] = append(s.rules[group], rule)
	}
}
