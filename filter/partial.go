package filter

import (
	"slices"

	"audisp-relay/audit/record"
)

// MayKeep reports whether the filter may keep the event that records i..j-1 of b are a part of. What
// other parts say is not known, and neither is anything that depends on it: it counts as what keeps
// the event, so that "and" drops the part only where something that is known is false. What the
// part's main record says is known, if it has one (HasMain), and so are node, id and time.
func (m *Matcher) MayKeep(b *record.Batch, i, j int) (bool, error) {
	if i >= j || !b.Recs[i].HasID() {
		return true, nil
	}
	m.beginEvent(b, i, j)
	may := m.may(m.f.root, HasMain(b, i, j), true)
	return may || m.err != nil, m.err
}

// may evaluates p with what is known. What is not known counts as favour.
func (m *Matcher) may(p *part, main, favour bool) bool {
	switch p.op {
	case "not":
		return !m.may(p.kids[0], main, !favour)
	case "and", "or":
		for _, kid := range p.kids {
			if v := m.may(kid, main, favour); v == (p.op == "or") {
				return v
			}
		}
		return p.op == "and"
	}
	for _, slot := range p.slots {
		if f := m.f.slots[slot]; !f.ofEvent() && !(main && f.ofMain()) {
			return favour
		}
	}
	return p.test(m)
}

// HasMain reports whether a record that says what happened is among them, and not only
// what others add to it.
func HasMain(b *record.Batch, i, j int) bool {
	return slices.ContainsFunc(b.Recs[i:j], func(r record.Record) bool { return r.Flags&record.Cont == 0 && !onlyAdds(r.Type) })
}

// onlyAdds reports whether records of a type only add to what another one says.
func onlyAdds(typ uint32) bool {
	return typ == record.TypeObjPID || typ == record.TypeTaskContexts || typ == record.TypeObjContexts || closed(typ)
}

// ofEvent reports whether each part of an event has the field.
func (f *field) ofEvent() bool {
	return slices.Contains([]string{"node", "id", "serial", "time"}, f.name)
}

// ofMain reports whether the field is one of the main record.
func (f *field) ofMain() bool {
	return f.cost == fromMain || f.cost == fromKeys || f.cost == fromNames || f.cost == fromTable || f.name == "main_type"
}
