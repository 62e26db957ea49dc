package event

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"audisp-relay/audit/record"
)

// model is what an Assembler is to do, written down without regard to cost: it
// takes one record after the other and knows of no batches.
type model struct {
	timeout    time.Duration
	maxRecords int

	open  []*modelEvent   // in the order of their first records
	gone  map[string]bool // whether it was solo
	seen  map[string]modelKernel
	last  *modelEvent // of the last record, while it is open
	line  bool
	ltype uint32
	out   []*modelEvent
	eoe   uint64
}

type modelKernel struct{ joined, contexts bool }

type modelEvent struct {
	id, node                              string
	own, late, rest, titled, call         bool
	user, other, lasts, contexts, expects bool
	recs                                  []int // numbers of its records
	heard                                 time.Time
	partial                               bool
}

// first and last are the numbers of the first and the last record.
func (e *modelEvent) first() int { return e.recs[0] }
func (e *modelEvent) last() int  { return e.recs[len(e.recs)-1] }

func (m *model) give(e *modelEvent, partial bool) {
	e.partial = partial || e.late || e.rest
	if !e.own {
		m.gone[e.id] = e.user && !e.other
	}
	m.open = slices.DeleteFunc(m.open, func(x *modelEvent) bool { return x == e })
	m.out = append(m.out, e)
	if m.last == e {
		m.last, m.line = nil, false
	}
}

var (
	onlyWithCall = []string{"SYSCALL", "PATH", "CWD", "EXECVE", "SOCKADDR", "PROCTITLE", "EOE", "URINGOP", "BPRM_FCAPS", "OBJ_PID", "MMAP"}
	wholeEvents  = []string{"USER_CMD", "KERNEL", "USER", "ANOM_LOGIN_TIME", "NETFILTER_PKT"}
	ofPrograms   = wholeEvents[:4]
	comeAlone    = []string{"AVC", "CONFIG_CHANGE", "SECCOMP", "LOGIN", "ANOM_ABEND", "MAC_UNLBL_STCADD", "INTEGRITY_DATA", "UNKNOWN[1420]", "CONTAINER_OP"}
)

// take takes in record number n, record i of b.
func (m *model) take(b *record.Batch, i, n int, now time.Time) {
	r := &b.Recs[i]
	if r.Flags&record.Cont != 0 && m.line {
		m.join(r, n, now)
	} else {
		if m.line {
			m.line = false
			m.settle(b, i-1)
		}
		m.ltype = r.Type
		if !m.assign(b, i, n, now) {
			return
		}
		m.company(nameOf(b, i), string(b.Bytes(i)))
	}
	if m.line = r.Flags&record.Open != 0; !m.line {
		m.settle(b, i)
	}
}

func nameOf(b *record.Batch, i int) string { return string(b.AppendType(nil, i)) }

func eventOf(b *record.Batch, i int) string {
	return fmt.Sprint(string(b.Node(i)), "/", b.Recs[i].Millis, "/", b.Recs[i].Serial)
}

func isOwn(b *record.Batch, i int) bool {
	return b.Recs[i].Flags&(record.NoID|record.Cont|record.Marker) != 0 || strings.HasPrefix(nameOf(b, i), "DAEMON_")
}

// company takes note of the type of the last record.
func (m *model) company(name, text string) {
	e := m.last
	if e.own {
		return
	}
	one := slices.Contains(wholeEvents, name)
	e.user, e.other = e.user || one, e.other || !one
	e.expects = e.expects || (slices.Contains(ofPrograms, name) && strings.Contains(text, " subj=? "))
	k := m.seen[e.node]
	k.joined = k.joined || (e.user && e.other)
	if name == "UNKNOWN[1420]" {
		e.contexts, k.contexts = true, true
	}
	m.seen[e.node] = k
}

// comes reports whether the batch has a record of e after record i.
func comes(b *record.Batch, i int, e *modelEvent) bool {
	for n := i + 1; n < len(b.Recs); n++ {
		if !isOwn(b, n) && eventOf(b, n) == e.id {
			return true
		}
	}
	return false
}

func (m *model) assign(b *record.Batch, i, n int, now time.Time) bool {
	r := &b.Recs[i]
	node := string(b.Node(i))
	id, own := eventOf(b, i), isOwn(b, i)
	for _, e := range slices.Clone(m.open) {
		if e.titled && !e.lasts && !e.user && e.node == node && (e.id != id || own) {
			if e.lasts = (!e.contexts && m.seen[node].contexts) || comes(b, i, e); !e.lasts {
				m.give(e, false)
			}
		}
	}
	m.last = nil
	e := &modelEvent{id: id, node: node, own: own, late: r.Flags&record.Cont != 0}
	if !own {
		if k := slices.IndexFunc(m.open, func(x *modelEvent) bool { return !x.own && x.id == id }); k >= 0 {
			m.last = m.open[k]
			m.join(r, n, now)
			return true
		}
		if solo, late := m.gone[id]; late {
			if r.Type == record.TypeEOE && r.Flags&record.Open == 0 && !strings.Contains(string(b.Bytes(i)), "text") {
				m.eoe++
				return false
			}
			e.late = true
			if solo != slices.Contains(wholeEvents, nameOf(b, i)) {
				m.seen[node] = modelKernel{true, m.seen[node].contexts}
			}
		}
	} else if nameOf(b, i) == "DAEMON_START" && r.Flags&(record.NoID|record.Cont|record.Marker) == 0 {
		delete(m.seen, node)
	}
	m.open = append(m.open, e)
	m.last = e
	m.add(e, r, n, now)
	return true
}

func (m *model) add(e *modelEvent, r *record.Record, n int, now time.Time) {
	e.recs, e.heard = append(e.recs, n), now
	name := string(record.AppendTypeName(nil, r.Type))
	e.call = e.call || slices.Contains(onlyWithCall, name)
}

func (m *model) join(r *record.Record, n int, now time.Time) {
	e := m.last
	if len(e.recs) >= m.maxRecords && (r.Type != record.TypeEOE || r.Flags&(record.Open|record.Cont) != 0) {
		line := m.line
		m.give(e, true)
		e = &modelEvent{id: e.id, node: e.node, own: e.own, late: e.late, user: e.user, other: e.other, expects: e.expects, rest: true}
		m.open, m.last, m.line = append(m.open, e), e, line
	}
	m.add(e, r, n, now)
}

// settle ends the line whose last piece is record i of b, or one before.
func (m *model) settle(b *record.Batch, i int) {
	name := string(record.AppendTypeName(nil, m.ltype))
	e := m.last
	waits := func() bool {
		return slices.Contains(ofPrograms, name) && (m.seen[e.node].joined || e.expects || comes(b, i, e))
	}
	switch {
	case e.own || name == "EOE" || (e.user && !e.other && !waits()):
		m.give(e, false)
	case name == "PROCTITLE":
		m.last.titled = true
	}
}

// expire gives what is due in the order in which it got due.
func (m *model) expire(now time.Time) {
	for {
		var next *modelEvent
		var due time.Time
		for _, e := range m.open {
			at := e.heard.Add(m.timeout)
			if e.titled || (e.user && !e.call && !e.own) {
				at = e.heard.Add(min(titleWait, m.timeout))
			}
			switch {
			case at.After(now) || (next != nil && due.Before(at)):
			case next == nil || at.Before(due) || e.last() < next.last():
				next, due = e, at
			}
		}
		if next == nil {
			return
		}
		m.give(next, !next.titled && (next.call || next.own))
	}
}

func (m *model) flush() {
	for len(m.open) > 0 {
		next := slices.MinFunc(m.open, func(a, b *modelEvent) int { return a.last() - b.last() })
		m.give(next, !next.titled && (next.call || next.own))
	}
}

// lateOnes says of each event whether its records must have flag Late: an event
// that was given after it began before its last record.
func lateOnes(out []*modelEvent) []bool {
	late := make([]bool, len(out))
	for k, e := range out {
		for _, later := range out[k+1:] {
			late[k] = late[k] || later.first() < e.last()
		}
	}
	return late
}
