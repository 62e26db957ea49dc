package filter

import (
	"encoding/hex"
	"slices"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
)

// addProcess adds what is known of the process and of who has started it.
func addProcess() {
	addField(field{name: "parent.exe", kind: text, cost: fromTable, load: func(m *Matcher, v *value) {
		if p := m.processOf().Parent; p != nil {
			v.s = p.Exe()
		}
	}})
	addField(field{name: "parent.cmdline", kind: text, cost: fromTable, load: func(m *Matcher, v *value) {
		if p := m.processOf().Parent; p != nil {
			v.s = m.holdText(p.AppendArgs(m.scratch))
		}
	}})
	addField(field{name: "script", kind: text, cost: fromFiles, load: func(m *Matcher, v *value) {
		if p := m.processOf().Self; p != nil {
			v.s = p.Script()
		}
	}})
	addField(field{name: "systemd_unit", kind: text, cost: fromTable, load: func(m *Matcher, v *value) { v.s = m.processOf().Unit() }})
	addField(field{name: "container_id", kind: text, cost: fromTable, load: func(m *Matcher, v *value) { v.s = m.processOf().Container() }})
	addField(field{name: "exe_sha256", kind: text, cost: fromFiles, load: func(m *Matcher, v *value) {
		if sum := m.processOf().Hash(); sum != nil {
			v.s = hex.EncodeToString(sum[:])
		}
	}})
	addList("label", "labels", fromFiles, loadLabels)
	for _, name := range []string{"label", "labels", "labels*"} {
		fields[name].isLabel = true
	}
}

// programField returns the field that is the text of key, as textField does. The record of an operation of io_uring, which a thread of the kernel's has
// done for the process, does not have it: then it is what is known of that.
func programField(key string, of func(*process.Process) string) field {
	p := newPattern(key)
	return field{name: key, kind: text, cost: fromMain, load: func(m *Matcher, v *value) {
		if v.s = m.text(p.class, m.find(&p, &v.hint)); v.s != "" || m.b.Recs[m.main].Type != record.TypeUring {
			return
		}
		if self := m.processOf().Self; self != nil {
			v.s = of(self)
		}
	}}
}

// maxLabels bounds how many labels of an expression are remembered; a process may have fewer.
const maxLabels = 2 * process.MaxLabels

// noteLabel remembers a label that the expression names.
func (c *checker) noteLabel(label string) {
	if label != "" && len(c.labels) < maxLabels && !slices.Contains(c.labels, label) {
		c.labels = append(c.labels, label)
	}
}

// Labels returns the labels of processes that the expression names, at most maxLabels. Whether a process ever gets them it does
// not know.
func (f *Filter) Labels() []string { return f.labels }

// Labels yields the labels that the rules name, with the name of the rule. nil has none.
func (s *RuleSet) Labels(yield func(rule, label string) bool) {
	if s == nil {
		return
	}
	for i := range s.all {
		for _, label := range s.all[i].labels {
			if !yield(s.all[i].name, label) {
				return
			}
		}
	}
}

// loadLabels loads the labels of the process.
func loadLabels(m *Matcher, v *value) {
	for label := range m.processOf().Labels {
		v.texts = append(v.texts, label)
	}
}

// processOf returns what is known of the event's process.
func (m *Matcher) processOf() *process.Context {
	if m.processEpoch != m.epoch {
		m.processEpoch = m.epoch
		m.Processes.Of(&m.process, m.b, m.i, m.j)
	}
	return &m.process
}

// AsksForProcesses reports whether the expression, or a rule that it asks for, mentions what only Matcher.Processes
// knows.
func (f *Filter) AsksForProcesses() bool {
	return slices.ContainsFunc(f.slots, (*field).ofTable) || (f.rules != nil && f.rules.AsksForProcesses())
}

// AsksForProcesses reports whether a rule mentions what only a table of processes knows. nil does not.
func (s *RuleSet) AsksForProcesses() bool { return s != nil && s.f.AsksForProcesses() }

func (f *field) ofTable() bool { return f.cost == fromTable || f.cost == fromFiles }
