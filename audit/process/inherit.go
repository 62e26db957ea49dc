package process

import (
	"math"
	"strings"
)

// The labels of a process are those that are passed on by the program that it ran before, or by its parent where that is not
// known; those by the keys of its exec; and those by its program, its arguments and its script, which may take some away, too.
// They are found out when it becomes known, as its parent may be forgotten later. While it is not certain who passes some on,
// since records have not come yet, they are found out whenever somebody asks, and there are its own alone. They are kept
// when no record from before it can come any more that would change them; where one comes nevertheless, from audit.log, those of
// everybody since are found out again.

// maxChanges bounds how many paths are remembered of each subject.
const maxChanges = 4096

// maxOutcomes bounds how many different outcomes of arguments are remembered: with many expressions any process may make
// another one with each exec.
const maxOutcomes = 4096

// maxHeirs is how many processes in a chain may be asked whose labels are not known yet.
const maxHeirs = 16

// SetLabels sets the labels from now on, also for the processes that the table knows. Labels that an exec's key gave
// stay if they are among the new ones.
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
	t.forgetOutcomes()
	t.unlabel(math.MinInt64)
}

// onTime is for how long something may have been on its way to be on time, ms: no labels are kept while there is a younger
// hole, and a second is for events whose calls took some time.
const onTime = young - 1000

// label determines the labels of a process that has become known.
func (t *Table) label(p *Process) {
	if t.labels == nil {
		return
	}
	if serialBefore(p.serial, t.max) && p.millis < t.clock-onTime {
		if !t.late || serialBefore(p.serial, t.lateFrom) {
			t.lateFrom = p.serial
		}
		t.late = true
	}
	t.findLabels(p, 0)
}

// relabel determines the labels of p again, after more of it has become known.
func (t *Table) relabel(p *Process) {
	p.state &^= labelled
	t.label(p)
}

// labelByArgs determines the labels of p again if they depend on its arguments, which were not known before.
func (t *Table) labelByArgs(p *Process) {
	if t.labels != nil && len(t.labels.tried[OfCmdline]) > 0 && p.state&gone == 0 {
		p.outcome = 0
		t.relabel(p)
	}
}

// dealWithLate has the labels determined again of processes that became known after something that came late.
func (t *Table) dealWithLate() {
	if !t.late {
		return
	}
	t.late = false
	for p := t.oldest; p != nil; p = p.newer {
		if !serialBefore(p.serial, t.lateFrom) {
			p.state &^= labelled
		}
	}
}

// unlabel has the labels determined again of processes that became known after a time, ms since 1970: what they
// inherit may be in doubt.
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
	t.dealWithLate()
	set, _ = t.findLabels(p, 0)
	return set, t.labels.names
}

// findLabels returns the labels of p that are certain. sure is false where there may be more. steps counts the
// processes that were asked before in the chain.
func (t *Table) findLabels(p *Process, steps int) (set uint64, sure bool) {
	if p.state&labelled != 0 {
		return p.labels, true
	}

	set = p.keyed
	if steps < maxHeirs {
		var from *Process
		if from, sure = t.inheritsFrom(p); from != nil {
			all, ok := t.findLabels(from, steps+1)
			set, sure = set|all&t.labels.passed, sure && ok
		}
	}

	set = t.changeBy(OfExe, p.Exe()).apply(set)
	byArgs, ok := t.changeByArgs(p)
	set = byArgs.apply(set)
	set = t.changeBy(OfScript, p.Script()).apply(set)
	sure = sure && ok

	if sure && !t.holes.youngBefore(p.serial, t.clock-young) {
		p.labels = set
		p.state |= labelled
	}
	return set, sure
}

// inheritsFrom returns the process that p has labels from; nil with sure where there is none, and where that is not certain. Process 1 passes
// nothing on: whoever has lost its parent is its child.
func (t *Table) inheritsFrom(p *Process) (from *Process, sure bool) {
	switch p.from {
	case fromExec, fromCall:
		if from = t.lookBack(p.prev, p.at(), math.MaxInt64, 0); from != nil {
			return from, true
		}
		if p.state&cutOff != 0 || (p.prev != nil && t.holes.between(p.prev.serial, p.serial, math.MaxInt64)) {
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
	c = t.labels.ofPath(s, path)
	if t.changes[s] == nil || len(t.changes[s]) >= maxChanges {
		t.changes[s] = make(map[string]change)
	}
	if len(path) <= matchedText { // others cost nothing
		t.changes[s][strings.Clone(path)] = c // path is a part of a longer text
	}
	return c
}

// changeByArgs returns what the arguments of p do to labels. Nearly every process has others, which would be too many to
// remember by their text, but few outcomes are different. sure is false where there is no time left to find it out: then
// they are as if they were not known.
func (t *Table) changeByArgs(p *Process) (c change, sure bool) {
	if len(t.labels.tried[OfCmdline]) == 0 {
		return change{}, true
	}
	if p.outcome != 0 {
		return t.outcomes[p.outcome-1], true
	}
	if !p.HasArgs() {
		return change{take: t.labels.taken(OfCmdline)}, true
	}
	began := t.now()
	if t.o.Live && !t.tried.isLeft(began, argsTime) {
		return change{take: t.labels.taken(OfCmdline)}, false
	}
	c, t.line = t.labels.ofArgs(p, t.line)
	t.tried.spent += t.now().Sub(began)
	p.outcome = t.placeOfOutcome(c)
	return c, true
}

// placeOfOutcome returns one more than the place of c in outcomes.
func (t *Table) placeOfOutcome(c change) uint16 {
	at, known := t.outcome[c]
	if !known {
		if len(t.outcomes) == maxOutcomes {
			t.forgetOutcomes()
		}
		if t.outcome == nil {
			t.outcome = make(map[change]uint16)
		}
		t.outcomes = append(t.outcomes, c)
		at = uint16(len(t.outcomes))
		t.outcome[c] = at
	}
	return at
}

// forgetOutcomes has what arguments do found out again.
func (t *Table) forgetOutcomes() {
	for p := t.oldest; p != nil; p = p.newer {
		p.outcome = 0
	}
	t.outcomes, t.outcome = nil, nil
}
