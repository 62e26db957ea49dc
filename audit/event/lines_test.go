package event

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// TestPiecesOfALineStayTogether: the pieces of a line stay together, over batches too, and an
// event is complete only with the last piece.
func TestPiecesOfALineStayTogether(t *testing.T) {
	long := strings.Repeat("x", record.MaxRecord+1000)
	head := func(kind string) string { return "type=" + kind + " msg=audit(1000.000:1): " }
	for _, c := range []struct {
		name string
		text []string // of an event each
		late int      // which one, and all that follow, came late; 0: none
	}{
		{"within an event", []string{head("SYSCALL") + "\n" + head("EXECVE") + long + long + "\n" + head("PROCTITLE") + "\n" + head("EOE") + "\n"}, 0},
		{"PROCTITLE", []string{head("SYSCALL") + "\n" + head("PROCTITLE") + long + "\n", audittest.User(2)}, 0},
		{"EOE", []string{head("SYSCALL") + "\n" + head("EOE") + long + "\n"}, 0},
		{"EOE too late", []string{audittest.User(1), head("EOE") + long + "\n"}, 1},
		{"EOE of blanks too late", []string{audittest.User(1), head("EOE") + strings.Repeat(" ", len(long)) + "\n"}, 1},
		{"single", []string{head("USER_TTY") + long + "\n", "type=USER_TTY msg=audit(1000.000:2): " + long + "\n"}, 0},
		{"late", []string{head("USER_TTY") + "\n", head("USER_TTY") + long + "\n", head("PATH") + long + "\n"}, 1},
		{"without id", []string{long + "\n", "z" + long + "\n"}, 0},
		{"DAEMON with the id of an event", []string{head("DAEMON_ROTATE") + long + "\n", head("SYSCALL") + "\n" + head("EOE") + "\n", head("PATH") + "\n"}, 2},
		{"DAEMON", []string{head("DAEMON_ROTATE") + long + "\n", head("DAEMON_ROTATE") + "\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := audittest.Lines(t, strings.Join(c.text, ""))
			for size := 1; size <= len(b.Recs); size++ {
				if size > 1 && strings.HasSuffix(c.name, "late") {
					break // it is not, where it is in the batch of its event
				}
				got := &catcher{t: t}
				a := NewAssembler(AssemblerOptions{Out: got.out})
				for from := 0; from < len(b.Recs); from += size {
					got.add(a, &record.Batch{Buf: b.Buf, Recs: b.Recs[from:min(from+size, len(b.Recs))]}, audittest.Epoch)
				}
				a.Flush()
				if !holdsNothing(a) {
					t.Errorf("batches of %d: something is left", size)
				}
				if len(got.events) != len(c.text) {
					t.Fatalf("batches of %d: %d events, want %d", size, len(got.events), len(c.text))
				}
				for k, e := range got.events {
					if strings.Join(e.recs, "") != c.text[k] || e.partial != (c.late > 0 && k >= c.late) || e.late {
						t.Errorf("batches of %d: event %d has %d records, partial %v, late %v", size, k, len(e.recs), e.partial, e.late)
					}
				}
			}
		})
	}
}

// TestALineWithoutItsEndIsGiven: a line in pieces that does not continue.
func TestALineWithoutItsEndIsGiven(t *testing.T) {
	b := audittest.Lines(t, strings.Repeat("x", 3*record.MaxRecord)+"\n"+audittest.User(1))
	if len(b.Recs) != 5 {
		t.Fatalf("%d records", len(b.Recs))
	}
	piece := func(i int) *record.Batch { return &record.Batch{Buf: b.Buf, Recs: b.Recs[i : i+1]} }
	c := &catcher{t: t}
	a := NewAssembler(AssemblerOptions{Out: c.out})
	c.add(a, piece(0), audittest.Epoch)
	a.Expire(audittest.Epoch.Add(DefaultTimeout))
	c.add(a, piece(1), audittest.Epoch.Add(DefaultTimeout)) // its line is gone
	c.add(a, piece(4), audittest.Epoch.Add(DefaultTimeout)) // and does not continue
	c.add(a, piece(2), audittest.Epoch.Add(DefaultTimeout))
	a.Flush()
	var got []string
	for _, e := range c.events {
		got = append(got, fmt.Sprint(len(e.recs), " ", len(e.recs[0]) == record.MaxRecord, " ", e.partial))
	}
	if d := cmp.Diff([]string{"1 true true", "1 true true", "1 false false", "1 true true"}, got); d != "" {
		t.Error(d)
	}
	if n := a.Counts(); n.PartialTimer != 1 || n.PartialLate != 2 || n.Open != 0 || n.Bytes != 0 {
		t.Errorf("%+v", n)
	}
}

// TestPatienceHoldsEventsLonger: while the kernel holds up who makes records the next one of an event may come later; one that
// is complete but for its end does not wait longer for that.
func TestPatienceHoldsEventsLonger(t *testing.T) {
	const patience = time.Minute
	full := true
	c := &catcher{t: t}
	a := NewAssembler(AssemblerOptions{Out: c.out, Patience: func() time.Duration {
		if full {
			return patience
		}
		return 0
	}})
	call := "type=SYSCALL msg=audit(1000.000:1): arch=c000003e syscall=257 success=yes exit=3 items=1 ppid=1 pid=2\n"
	titled := "type=SYSCALL msg=audit(1000.000:2): arch=c000003e syscall=257 success=yes exit=3 items=0 ppid=1 pid=2\ntype=PROCTITLE msg=audit(1000.000:2): proctitle=\"x\"\n"
	c.add(a, audittest.Lines(t, call+titled), audittest.Epoch)
	a.Expire(audittest.Epoch.Add(DefaultTimeout))
	if len(c.events) != 1 || len(c.events[0].recs) != 2 {
		t.Fatalf("%d events given, want the one that has its PROCTITLE", len(c.events))
	}
	a.Expire(audittest.Epoch.Add(DefaultTimeout + patience - 1))
	if len(c.events) != 1 {
		t.Fatal("an event did not wait")
	}
	full = false
	a.Expire(audittest.Epoch.Add(DefaultTimeout))
	if len(c.events) != 2 || !c.events[1].partial {
		t.Errorf("%d events given, want the one that waits no longer, too", len(c.events))
	}
}
