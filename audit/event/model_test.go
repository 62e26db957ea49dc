package event

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
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

// hostile makes a stream of events that lie within each other, lack records, come
// twice, share serials over nodes and times and with auditd's own records, between
// lines without id, markers and lines in pieces.
func hostile(t *rapid.T) *record.Batch {
	type ev struct{ head, tail string }
	b := new(record.Batch)
	add := func(line string, flags uint8) {
		one := lines0(line)
		one.Recs[0].Flags |= flags
		one.Recs[0].Off = uint32(len(b.Buf))
		b.Buf, b.Recs = append(b.Buf, one.Buf...), append(b.Recs, one.Recs[0])
	}
	id := rapid.Custom(func(t *rapid.T) ev {
		node := rapid.SampledFrom([]string{"", "", "node=a ", "node=bb "}).Draw(t, "node")
		serial := rapid.SampledFrom([]uint32{0, 1, 2, 3, 4, 5, 6, 4294967295}).Draw(t, "serial")
		return ev{node + "type=", fmt.Sprintf(" msg=audit(1000.00%d:%d): ", rapid.IntRange(0, 1).Draw(t, "ms"), serial)}
	})
	types := rapid.SampledFrom(slices.Concat(onlyWithCall, onlyWithCall, wholeEvents, comeAlone, []string{"PROCTITLE", "EOE", "EOE", "DAEMON_ROTATE", "DAEMON_START"}))
	// Each of a few events is continued from time to time.
	scripts := [][]string{{"SYSCALL", "CWD", "PATH", "PROCTITLE", "EOE"}, {"USER_CMD", "SYSCALL", "PROCTITLE", "UNKNOWN[1420]", "EOE"}, {"SYSCALL", "PROCTITLE", "USER", "EOE"}, {"USER_CMD", "UNKNOWN[1420]"}}
	current := make([]ev, rapid.IntRange(1, 4).Draw(t, "at once"))
	left := make([][]string, len(current)) // of the script
	for n := range rapid.IntRange(1, 60).Draw(t, "records") {
		text := fmt.Sprintf("pid=1 %stext %d\n", rapid.SampledFrom([]string{"", "", "subj=? ", "subj=?x "}).Draw(t, "subj"), n)
		switch rapid.IntRange(0, 14).Draw(t, "what") {
		case 0:
			e := id.Draw(t, "any id")
			add(e.head+types.Draw(t, "any type")+e.tail+text, 0)
		case 1:
			add(rapid.SampledFrom([]string{"", "node=a "}).Draw(t, "node")+"type=SYSCALL msg=lost "+text, 0)
		case 2:
			add("type=DAEMON_ERR msg=audit(1000.000:1): "+text, record.Marker)
		case 3:
			e := id.Draw(t, "any id")
			head := rapid.SampledFrom([]string{e.head + types.Draw(t, "any type") + e.tail, "garbage "}).Draw(t, "head")
			add(head+text, record.Open)
			for k := range rapid.IntRange(0, 3).Draw(t, "pieces") {
				add(fmt.Sprintf("piece %d of %s", k, text), record.Cont|record.NoID|rapid.SampledFrom([]uint8{0, record.Open}).Draw(t, "open"))
			}
		default:
			k := rapid.IntRange(0, len(current)-1).Draw(t, "which")
			if len(left[k]) == 0 {
				script := rapid.SampledFrom(scripts).Draw(t, "script")
				current[k], left[k] = id.Draw(t, "id"), script[min(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 4}).Draw(t, "first"), len(script)-1):]
			}
			typ := left[k][0]
			left[k] = left[k][1:]
			if typ == "EOE" {
				if rapid.IntRange(0, 4).Draw(t, "no EOE") == 0 {
					continue
				}
				text = strings.Repeat(" ", n+1) + "\n"
			}
			add(current[k].head+typ+current[k].tail+text, 0)
		}
	}
	return b
}

// lines0 is lines for one line of any kind.
func lines0(line string) *record.Batch {
	s := stream.NewSplitter()
	var b record.Batch
	s.Cut(&b, copy(s.Space(), "type=X\n"+line)) // the first line decides on the framing
	r := b.Recs[1]
	text := []byte(line)
	r.Off = 0
	return &record.Batch{Buf: text, Recs: []record.Record{r}}
}

// TestAssemblerIsAsItsModel holds an Assembler against the model, whatever the
// stream is and however it is cut into batches.
func TestAssemblerIsAsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := hostile(rt)
		m := &model{timeout: 2 * time.Second, maxRecords: rapid.SampledFrom([]int{2, 4, 1000}).Draw(rt, "MaxRecords"), gone: make(map[string]bool), seen: make(map[string]modelKernel)}
		c := &catcher{t: t}
		a := NewAssembler(AssemblerOptions{Timeout: m.timeout, MaxRecords: m.maxRecords, Out: c.out})
		a.misses = -1000        // it counts none
		for collide(&a.names) { // the model knows no such thing
			a.names = newNodeNames()
		}
		now := audittest.Epoch
		for from := 0; from < len(all.Recs); {
			part := &record.Batch{Buf: all.Buf, Recs: all.Recs[from:min(from+rapid.IntRange(1, 20).Draw(rt, "batch"), len(all.Recs))]}
			c.add(a, part, now)
			for i := range part.Recs {
				m.take(part, i, from+i, now)
			}
			from += len(part.Recs)
			if rapid.IntRange(0, 2).Draw(rt, "expire") == 0 {
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, 60 * time.Millisecond, time.Second, 2 * time.Second}).Draw(rt, "time"))
				a.Expire(now)
				m.expire(now)
			}
			if n := a.Counts(); n.Open != len(m.open) {
				rt.Fatalf("%d events are open, %d in the model, the stream:\n%s\n-model +assembler:\n%s", n.Open, len(m.open), all.Buf, cmp.Diff(expected(all, m.out), c.events, cmp.AllowUnexported(given{})))
			}
		}
		a.Flush()
		m.flush()
		want := expected(all, m.out)
		if d := cmp.Diff(want, c.events, cmp.AllowUnexported(given{})); d != "" {
			rt.Fatalf("the stream:\n%s\n-model +assembler:\n%s", all.Buf, d)
		}
		n := a.Counts()
		if n.LateEOE != m.eoe || !holdsNothing(a) || n.Events != uint64(len(want)) {
			rt.Fatalf("%d late EOE in the model, %+v", m.eoe, n)
		}
		partial := uint64(0)
		for _, e := range want {
			if e.partial {
				partial++
			}
		}
		if n.PartialTimer+n.PartialLimit+n.PartialEnd+n.PartialLate != partial {
			rt.Fatalf("%d are partial in the model, %+v", partial, n)
		}
	})
}

// collide reports whether two of the nodes have one place among the kernels.
func collide(n *nodeNames) bool {
	a, b, size := maphash.Bytes(n.seed, []byte("a")), maphash.Bytes(n.seed, []byte("bb")), uint64(len(kernels{}))
	return a%size == 0 || b%size == 0 || a%size == b%size
}

func expected(all *record.Batch, out []*modelEvent) (want []given) {
	late := lateOnes(out)
	for k, e := range out {
		g := given{partial: e.partial, late: late[k]}
		for _, n := range e.recs {
			g.recs = append(g.recs, string(all.Bytes(n)))
		}
		want = append(want, g)
	}
	return want
}

// TestAssemblerWithinLimits: with little room records still come out once and in
// order within their events, those held never exceed the limits, and the flag
// Late is right.
func TestAssemblerWithinLimits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := hostile(rt)
		number := make(map[string]int)
		for i := range all.Recs {
			number[string(all.Bytes(i))] = i
		}
		o := AssemblerOptions{
			MaxEvents:     rapid.IntRange(1, 4).Draw(rt, "MaxEvents"),
			MaxBytes:      rapid.IntRange(1, 1000).Draw(rt, "MaxBytes"),
			MaxRecords:    rapid.IntRange(1, 10).Draw(rt, "MaxRecords"),
			MaxEventBytes: rapid.IntRange(1, 500).Draw(rt, "MaxEventBytes"),
		}
		c := &catcher{t: t}
		o.Out = c.out
		a := NewAssembler(o)
		now := audittest.Epoch
		for from := 0; from < len(all.Recs); {
			part := &record.Batch{Buf: all.Buf, Recs: all.Recs[from:min(from+rapid.IntRange(1, 20).Draw(rt, "batch"), len(all.Recs))]}
			c.add(a, part, now)
			from += len(part.Recs)
			if n := a.Counts(); n.Open > o.MaxEvents || n.Bytes > o.MaxBytes {
				rt.Fatalf("%+v: %+v", o, n)
			}
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(rt, "time"))
			a.Expire(now)
		}
		a.Flush()
		seen := make(map[int]bool)
		var out []*modelEvent
		for _, e := range c.events {
			x := new(modelEvent)
			size := 0
			for k, text := range e.recs {
				n, ok := number[text]
				r := &all.Recs[n]
				if !ok || seen[n] || (k > 0 && n <= x.last()) {
					rt.Fatalf("record %d at %d of %q", n, k, e.recs)
				}
				seen[n] = true
				x.recs = append(x.recs, n)
				size += len(text)
				eoe := r.Type == record.TypeEOE && k == len(e.recs)-1
				if k > 0 && !eoe && (k >= o.MaxRecords || size > o.MaxEventBytes) {
					rt.Fatalf("%+v: %d bytes in %q", o, size, e.recs)
				}
			}
			out = append(out, x)
		}
		for k, late := range lateOnes(out) {
			if c.events[k].late != late {
				rt.Fatalf("late should be %v: %q", late, c.events[k].recs)
			}
		}
		n := a.Counts()
		if missing := uint64(len(all.Recs) - len(seen)); missing != n.LateEOE {
			rt.Fatalf("%d records are missing, %d EOE were late", missing, n.LateEOE)
		}
		for i := range all.Recs {
			if !seen[i] && all.Recs[i].Type != record.TypeEOE {
				rt.Fatalf("%q is missing", all.Bytes(i))
			}
		}
	})
}
