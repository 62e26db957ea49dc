package process

import (
	"fmt"
	"slices"
	"testing"
)

// answer holds the table's answers to some of the questions, late ones too, against the truth.
func (w *world) answer(t *testing.T) {
	for k := len(w.asked) - 1; k >= 0; k -= 1 + w.r.IntN(20) {
		q := w.asked[k]
		c := Context{WantsEntry: true}
		askInto(&c, w.t, q.m, q.ppid, q.pid)
		w.compare(t, q, "self", c.Self, q.self)
		w.compareLabels(t, q, &c)
		w.compareEntry(t, q, &c)
		w.compare(t, q, "parent", c.Parent, q.parent)
	}
	if n := len(w.asked); n > 600 {
		w.asked = slices.Delete(w.asked, 0, n-400)
	}
}

// compareLabels holds the labels against the truth, where forks are audited and so nobody is taken for the child of what its
// parent runs later.
func (w *world) compareLabels(t *testing.T, q question, c *Context) {
	if !w.labelled || c.Self == nil {
		return
	}
	got := slices.Collect(c.Labels)
	for _, label := range got {
		if !slices.Contains(q.self.labels, label) {
			t.Fatalf("pid %d (parent %d) at %v runs %q and has the labels %q, want %q", q.pid, q.ppid, q.m, c.Self.Exe(), got, q.self.labels)
		}
	}
	w.labels += len(got)
	w.missing += len(q.self.labels) - len(got)
}

// compareEntry holds the entry leader against the truth. Children of process 1 are in a login session here, as are all but the daemons.
func (w *world) compareEntry(t *testing.T, q question, c *Context) {
	switch {
	case c.Entry == nil:
		if c.Self != nil && q.entry != 0 {
			w.lacks++
		}
	case c.Entry.PID() != q.entry || c.EntryType != byInit:
		t.Fatalf("pid %d (parent %d) at %v was entered by %s of %d, %q; not by %d", q.pid, q.ppid, q.m, c.EntryType, c.Entry.PID(), c.Entry.Exe(), q.entry)
	default:
		w.entries++
	}
}

func (w *world) compare(t *testing.T, q question, what string, got *Process, want image) {
	t.Helper()
	if want.exe == "" {
		return
	}
	if got == nil {
		w.why[what+" not known"]++
		w.without++
		return
	}
	w.right++
	exec, known := got.Exec()
	if got.Exe() != want.exe || (got.HasArgs() && !isArgs(got, want.args...)) || (known && exec != want.exec) {
		t.Fatalf("%s of pid %d (parent %d) at %v: %q %q from %v, want %+v", what, q.pid, q.ppid, q.m, got.Exe(), argsOf(got), got.from, want)
	}
	if !got.HasArgs() {
		w.why[fmt.Sprint(what, " without arguments, from ", got.from)]++
		w.without++
		w.right--
	}
}

// TestNothingIsWrong: whatever is audited and lost, in containers and when pids are used again, what
// the table says of a process is true; and where all is audited and nothing lost, it says nearly all.
func TestNothingIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                               string
		forks, exits, containers, reorders bool
		loses, max                         int
		known                              float64 // the least share of answers
		labels                             float64 // and of labels; 0: they are not compared
	}{
		{"all is audited", true, true, false, false, 0, 1 << 22, 0.999, 0.999},
		{"events come in another order", true, true, false, true, 0, 1 << 22, 0.95, 0.95},
		{"in containers", true, true, true, true, 0, 1 << 22, 0.8, 0},
		{"execs alone", false, false, false, true, 0, 1 << 22, 0.6, 0},
		{"execs and forks", true, false, true, true, 0, 1 << 22, 0.8, 0},
		{"pids come again", true, true, true, true, 0, 1300, 0.3, 0},
		{"pids come again, execs alone", false, false, true, true, 0, 1300, 0.3, 0},
		{"records are lost", true, true, true, true, 5, 1 << 22, 0.3, 0},
		{"all of it", false, false, true, true, 1, 1300, 0.3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			right, without, labels, missing, entries, lacks := 0, 0, 0, 0, 0, 0
			for seed := range uint64(4) {
				w := newWorld(seed, tt.max, testLabels(t))
				w.forksAudited, w.exitsAudited, w.containers, w.reorders, w.loses = tt.forks, tt.exits, tt.containers, tt.reorders, tt.loses
				w.labelled = tt.labels > 0
				for n := range 6000 {
					w.step()
					w.look()
					if n%50 == 0 {
						w.answer(t)
					}
				}
				checkTable(t, w.t)
				if tt.known > 0.99 {
					t.Log(w.why)
				}
				right, without = right+w.right, without+w.without
				labels, missing = labels+w.labels, missing+w.missing
				entries, lacks = entries+w.entries, lacks+w.lacks
			}
			share := float64(right) / float64(right+without)
			t.Logf("%d answers, %.4f of the questions; %d entry leaders, %d not said", right, share, entries, lacks)
			if entries < 50 || (tt.known > 0.99 && lacks > entries/100) {
				t.Errorf("%d entry leaders, %d not said", entries, lacks)
			}
			if share < tt.known {
				t.Errorf("%.4f of the questions are answered, want %v", share, tt.known)
			}
			if share := float64(labels) / float64(labels+missing); tt.labels > 0 && (share < tt.labels || labels < 1000) {
				t.Errorf("%d labels, %.4f of them, want %v", labels, share, tt.labels)
			}
		})
	}
}
