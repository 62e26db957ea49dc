package filter

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// RuleSet is named expressions that are asked together of each event. It may be shared among goroutines, and does not
// change but for its lists.
type RuleSet struct {
	sources map[string]string // by name, those with errors too
	all     []rule            // in the order of their names
	groups  []ruleGroup       // of all
	f       *Filter           // what their parts are compiled into; it has no root
}

type rule struct {
	name   string
	root   *part
	rest   test     // what has to hold if there is a record of the group's type
	labels []string // of processes, that it names
}

// RuleError is what is wrong with a rule.
type RuleError struct {
	Name string
	*Error
}

// NewRules compiles rules. Those with an error are left out; the warnings are of the others. Both stand in the order of the
// names. It returns nil if there is no rule.
func NewRules(sources map[string]string) (set *RuleSet, errs, warnings []RuleError) {
	if len(sources) == 0 {
		return nil, nil, nil
	}
	set = &RuleSet{sources: maps.Clone(sources)}
	c := newChecker()
	c.together = true

	for _, name := range slices.Sorted(maps.Keys(sources)) {
		root, err := c.compile(sources[name])
		if err != nil {
			errs = append(errs, RuleError{name, err.(*Error)})
			continue
		}
		set.all = append(set.all, rule{name: name, root: root, labels: c.labels})
		for _, w := range c.warnings {
			warnings = append(warnings, RuleError{name, w})
		}
	}

	set.f = c.filter("rules")
	set.group()
	return set, errs, warnings
}

// Len returns how many rules there are.
func (s *RuleSet) Len() int { return len(s.all) }

// Names returns the names of all rules, sorted.
func (s *RuleSet) Names() (names []string) {
	for _, r := range s.all {
		names = append(names, r.name)
	}
	return names
}

// Has reports whether there is a rule of that name.
func (s *RuleSet) Has(name string) bool {
	return slices.ContainsFunc(s.all, func(r rule) bool { return r.name == name })
}

// Lists returns the lists that the rules have from files. nil has none.
func (s *RuleSet) Lists() []*List {
	if s == nil {
		return nil
	}
	return s.f.files
}

// Equal reports whether two sets were made of the same text. Either may be nil.
func (s *RuleSet) Equal(other *RuleSet) bool {
	if s == nil || other == nil {
		return s == other
	}
	return maps.Equal(s.sources, other.sources)
}

// Rules asks the rules of a RuleSet of events. One goroutine uses it.
type Rules struct {
	m     *Matcher
	set   *RuleSet
	asked []uint64 // the epoch in which each rule was asked last
	hold  []int    // numbers of the rules that hold
	names []string
	parts leading
}

// New returns what asks the rules.
func (s *RuleSet) New() *Rules {
	return &Rules{m: s.f.New(), set: s, asked: make([]uint64, len(s.all))}
}

// SetKnown gives what is known beside the records, and node= of this host's own: see Matcher.
func (r *Rules) SetKnown(names users.Names, local string, processes *process.Current) {
	r.m.Users, r.m.Local, r.m.Processes = names, local, processes
}

// Match returns the names of the rules that hold for the event that records i..j-1 of b are. Of an event that a rule cannot be evaluated
// for it is not said that the rule holds, and neither of a record without a readable header. A later part of an event is asked with the main
// record of the first one, and with the words that were found in those before. What it returns lasts until the next call.
func (r *Rules) Match(b *record.Batch, i, j int) []string {
	r.names = r.names[:0]
	if i >= j || !b.Recs[i].HasID() {
		return r.names
	}
	m := r.m
	of, from, to, parts := r.parts.complete(b, i, j)
	m.beginEvent(of, from, to)
	if m.before = nil; parts != nil {
		m.before = parts.found
	}
	r.hold = r.hold[:0]
	for i := range r.set.groups {
		if g := &r.set.groups[i]; g.hasType == nil || g.hasType(m) {
			r.askGroup(g)
		}
	}
	if parts != nil {
		parts.keepFound(m)
	}

	slices.Sort(r.hold)
	for _, n := range r.hold {
		r.names = append(r.names, r.set.all[n].name)
	}
	return r.names
}

// askGroup asks the rules of a group. Rules that need a search are asked only if that has found something.
func (r *Rules) askGroup(g *ruleGroup) {
	for _, n := range g.always {
		r.ask(n)
	}
	for i := range g.byScan {
		s := &g.byScan[i]
		found := r.m.found(s.number)
		r.m.err = nil // the rules that search that field fail, each when it is asked, and no other
		s.ask(r, found)
	}
}

// ask asks one rule, unless that was done: one that needs any of several searches is come to by each that finds something.
func (r *Rules) ask(n int) {
	m := r.m
	if r.asked[n] == m.epoch {
		return
	}
	r.asked[n] = m.epoch
	holds := r.set.all[n].rest(m)
	if m.err != nil || m.taken != 0 {
		holds = holds && m.err == nil
		m.err, m.taken = nil, 0
	}
	if holds {
		r.hold = append(r.hold, n)
	}
}

// costOfRules comes after all other fields, and before what may fail.
const costOfRules = 900

// useRules returns the names of the rules that hold for the event.
func (c *checker) useRules(n ast.Node) operand {
	if c.rules == nil {
		c.fail(n, "there are no rules here", "they stand in the table [rules] of the configuration, and none can ask for another")
	}
	c.asksRules = true
	return c.useField(&field{name: "rules", kind: texts, cost: costOfRules, known: c.rules.Has, names: c.rules.Names, load: loadRules})
}

func loadRules(m *Matcher, v *value) {
	m.rules.SetKnown(m.Users, m.Local, m.Processes)
	v.texts = append(v.texts, m.rules.Match(m.b, m.i, m.j)...)
}
