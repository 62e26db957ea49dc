package consumer

import (
	"sync/atomic"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/filter"
	"audisp-relay/format"
)

// Rules are those of the present configuration, which a reload exchanges; nil: there are none.
type Rules = atomic.Pointer[filter.RuleSet]

// tagger asks the present rules for an encoder. One goroutine uses it.
//
// It works after the queue: what rules ask for is in the event's records, and who started its process is known later, too. So
// a spool keeps no names of rules that have changed since.
type tagger struct {
	now       *Rules
	users     users.Names      // may be nil
	processes *process.Current // may be nil
	names     *atomic.Pointer[format.HostNames]

	set   *filter.RuleSet
	rules *filter.Rules // of set
}

// match is a format.Tagger.
func (t *tagger) match(b *record.Batch, i, j int) []string {
	if set := t.now.Load(); set != t.set {
		t.set, t.rules = set, nil
		if set != nil {
			t.rules = set.New()
		}
	}
	if t.rules == nil {
		return nil
	}

	defer func() {
		if fault := recover(); fault != nil { // the encoder notes it, and gives the event raw
			t.set, t.rules = nil, nil
			panic(fault)
		}
	}()
	t.rules.SetKnown(t.users, t.names.Load().Local, t.processes)
	return t.rules.Match(b, i, j)
}
