package filter

import (
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// Step is one part of the expression and what it came to for one event.
type Step struct {
	Depth   int    // 0: the whole expression
	Expr    string // the part
	Value   bool
	Err     error  // why it has no value
	Decided bool   // the value of the whole rests on it
	Fields  string // what the fields that it mentions are: auid=1000 key="exec"
}

// Explain returns the parts that and, or and not join, in the order of the expression,
// each in front of its own parts. All of them are evaluated. The value of the first
// is what Keep returns.
func (m *Matcher) Explain(b *record.Batch, i, j int) []Step {
	if i >= j {
		return nil
	}
	if !b.Recs[i].HasID() {
		return []Step{{Expr: brief(m.f.src, 200), Value: true, Err: ErrUnread, Decided: true}}
	}
	m.beginEvent(b, i, j)
	var steps []Step
	m.explain(m.f.root, 0, true, &steps)
	return steps
}

// explain appends the steps of p and returns the value of p. decides says that the value
// of the whole rests on that of p.
func (m *Matcher) explain(p *part, depth int, decides bool, steps *[]Step) {
	at := len(*steps)
	s := Step{Depth: depth, Expr: showPart(p.node, 200), Decided: decides}
	s.Value, s.Err = m.evaluate(p)
	if p.op == "" {
		s.Fields = m.shown(p.slots)
	}
	*steps = append(*steps, s)

	value := s.Value
	decided := false // one operand was enough
	for _, kid := range p.kids {
		v, err := m.evaluate(kid)
		counts := decides
		switch {
		case s.Err != nil:
			counts = decides && err != nil
		case p.op == "and" && !value, p.op == "or" && value:
			counts = decides && err == nil && v == value && !decided
			decided = decided || counts
		}
		m.explain(kid, depth+1, counts, steps)
	}

	if s.Err != nil {
		(*steps)[at].Value = true // what cannot be said is kept
	}
}

// evaluate evaluates one part.
func (m *Matcher) evaluate(p *part) (bool, error) {
	m.err, m.taken, m.scratch = nil, 0, m.scratch[:0] // nothing is left of the part before
	m.epoch++                                         // a field that could not be read has to fail again
	v := p.test(m)
	err := m.err
	m.err = nil
	return v, err
}

// shown returns the values of fields.
func (m *Matcher) shown(slots []int) string {
	var out []string
	for _, slot := range slots {
		f := m.f.slots[slot]
		name := strings.TrimSuffix(f.name, "*")
		v := m.value(slot)
		switch f.kind {
		case number:
			out = append(out, name+"="+shownNumber(v.n))
		case text:
			out = append(out, name+"="+shownText(v.s))
		case flag:
			if dirs, ok := strings.CutPrefix(name, "path_under("); ok {
				name = "path_under(" + strings.ReplaceAll(dirs, "\x00", ", ")
			}
			value := strconv.FormatBool(v.n != isNot)
			if v.n == notSure {
				value = "not sure"
			}
			out = append(out, name+"="+value)
		case texts:
			list := shownList(v.texts[:min(8, len(v.texts))], shownText)
			if len(v.texts) > 8 {
				list = append(list, "... "+strconv.Itoa(len(v.texts)))
			}
			out = append(out, name+"=["+strings.Join(list, ", ")+"]")
		case numbers:
			out = append(out, name+"=["+strings.Join(shownList(v.nums, shownNumber), ", ")+"]")
		}
	}
	return strings.Join(out, " ")
}

func shownList[V any](values []V, show func(V) string) (out []string) {
	for _, v := range values {
		out = append(out, show(v))
	}
	return out
}

func shownText(s string) string { return strconv.Quote(brief(s, 100)) }

func shownNumber(n int64) string {
	if n == unset {
		return "unset"
	}
	return strconv.FormatInt(n, 10)
}
