package process

import (
	"math"
	"strings"
)

// The labels of a process are those that are passed on by the program that it ran before, or by its parent where that is not
// known; those by the keys of its exec; and those by its program and its script, which may take some away, too. They are
// found out when it becomes known, as its parent may be forgotten later. While it is not certain who passes some on, since
// records have not come yet, they are found out whenever somebody asks, and there are its own alone.

// maxChanges bounds how many paths are remembered of each subject.
const maxChanges = 4096

// maxHeirs is how many processes whose labels are not found out yet may be asked one after the other.
const maxHeirs = 16

// SetLabels has processes get other labels from now on, and those that there are, too. Of what an exec's key gave them,
// labels stay that are among the new ones.
func (t *Table) SetLabels(l *Labels) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.Equal(t.labels) {
		return
	}
	for p := t.oldest; p != nil; p = p.newer {
		p.keyed = l.translate(t.labels, p.keyed)
	}
	t.labels, t.changes = l, [subjects]map[string]change{}
	t.unlabel(math.MinInt64)
}

// label finds out the labels of a process that has become known.
func (t *Table) label(p *Process) {
	if t.labels != nil {
		t.findLabels(p, 0)
	}
}

// unlabel has the labels of those found out again that became known after a time, ms since 1970: what they inherit may be in
// doubt.
func (t *Table) unlabel(since int64) {
	if t.labels == nil {
		return
	}
	for p := t.oldest; p != nil; p = p.newer {
		if p.millis >= since {
			p.state &^= labelled
		}
	}
}

// labelsOf returns the labels of p that are certain, as a set of names.
func (t *Table) labelsOf(p *Process) (set uint64, names []string) {
	if t.labels == nil {
		return 0, nil
	}
	set, _ = t.findLabels(p, 0)
	return set, t.labels.names
}

// findLabels returns the labels of p that are certain. sure is false where there may be more. steps counts those that asked
// before.
func (t *Table) findLabels(p *Process, steps int) (set uint64, sure bool) {
	if p.state&labelled != 0 {
		return p.labels, true
	}
	set = p.keyed
	if steps < maxHeirs {
		var from *Process
		if from, sure = t.inheritsFrom(p); from != nil {
			var all uint64
			all, ok := t.findLabels(from, steps+1)
			set, sure = set|all&t.labels.passed, sure && ok
		}
	}
	set = t.changeBy(OfExe, p.Exe()).apply(set)
	set = t.changeBy(OfScript, p.Script()).apply(set)
	if sure {
		p.labels = set
		p.state |= labelled
	}
	return set, sure
}

// inheritsFrom returns from whom p has labels; nil for nobody, with sure, or where that is not certain. Process 1 passes
// nothing on: whoever has lost its parent is its child.
func (t *Table) inheritsFrom(p *Process) (from *Process, sure bool) {
	switch p.from {
	case fromExec, fromCall:
		if from = t.lookBack(p.prev, p.at(), math.MaxInt64, 0); from != nil {
			return from, true
		}
		if p.prev != nil && t.holes.between(p.prev.serial, p.serial, math.MaxInt64) {
			return nil, false // it may be the same process
		}
	case fromProc:
		return t.startedAs(p.ppid, p)
	}
	if p.ppid <= 1 {
		return nil, true
	}
	from = t.at(p.ppid, p.at())
	if from == p {
		from = nil
	}
	return from, from != nil
}

// startedAs returns the parent of p, both of which ran when the relay started.
func (t *Table) startedAs(ppid int32, p *Process) (parent *Process, sure bool) {
	if ppid <= 1 {
		return nil, true
	}
	parent = t.byPID[ppid]
	for parent != nil && parent.prev != nil {
		parent = parent.prev
	}
	if parent == nil || parent == p || parent.from != fromProc || (t.o.Live && (parent.given == never || p.given == never)) {
		return nil, false
	}
	return parent, true
}

// changeBy returns what a path does to labels.
func (t *Table) changeBy(s Subject, path string) change {
	if len(t.labels.tried[s]) == 0 || path == "" {
		return change{}
	}
	c, known := t.changes[s][path]
	if known {
		return c
	}
	c = t.labels.of(s, path)
	if t.changes[s] == nil || len(t.changes[s]) >= maxChanges {
		t.changes[s] = make(map[string]change)
	}
	if len(path) <= matchedText { // others cost nothing
		t.changes[s][strings.Clone(path)] = c // path is a part of a longer text
	}
	return c
}
