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
