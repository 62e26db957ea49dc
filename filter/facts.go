package filter

import (
	"strings"

	"audisp-relay/audit/record"
)

// Facts are what an event is mostly filtered by, read as a filter reads it.
type Facts struct {
	MainType string // field main_type
	Syscall  string // name or, where that is not known, number; "" without a SYSCALL record
	Exe      string
	Keys     []string
}

// FactsReader reads Facts. One goroutine uses it.
type FactsReader struct {
	m    Matcher
	keys value
}

// Read returns the facts of the event that records i..j-1 of b are.
func (r *FactsReader) Read(b *record.Batch, i, j int) Facts {
	m := &r.m
	m.beginEvent(b, i, j)
	r.keys.texts = r.keys.texts[:0]
	loadKeys(m, &r.keys)
	f := Facts{MainType: strings.Clone(m.typeName(m.main)), Exe: strings.Clone(m.text(record.Text, m.find(&exePattern, &m.hints.exe)))}
	for _, key := range r.keys.texts {
		f.Keys = append(f.Keys, strings.Clone(key))
	}
	if b.Recs[m.main].Type == record.TypeSyscall {
		if f.Syscall = record.SyscallName(m.arch(), m.syscallNumber()); f.Syscall == "" {
			f.Syscall = strings.Clone(string(m.find(&syscallPattern, &m.hints.syscall)))
		}
	}
	return f
}
