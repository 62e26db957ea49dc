package consumer

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/queue"
)

// batchOf reads lines as the stream's reader does.
func batchOf(t *testing.T, lines ...string) *record.Batch {
	t.Helper()
	var b record.Batch
	if err := stream.NewReader(strings.NewReader(strings.Join(lines, "\n") + "\n")).Next(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func syscallLine(serial int, key string) string {
	return fmt.Sprintf(`type=SYSCALL msg=audit(1.000:%d): arch=c000003e syscall=59 success=yes uid=0 key="%s"`, serial, key)
}

func pathLine(serial int) string {
	return fmt.Sprintf(`type=PATH msg=audit(1.000:%d): item=0 name="/x"`, serial)
}
func eoeLine(serial int) string { return fmt.Sprintf(`type=EOE msg=audit(1.000:%d): `, serial) }

// taker is a consumer with an intake.
type taker struct {
	*Intake
	cur *queue.Cursor
}

func take(t *testing.T, cfg config.Sink) *taker {
	t.Helper()
	w, err := NewSelection(cfg, Known{}, "")
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1000, Bytes: 1 << 20, Hold: true, Whole: w.Events}, Name: "box"})
	tk := &taker{NewIntake(q, w), q.Cursor()}
	t.Cleanup(func() { tk.cur.Close(); q.Close() })
	return tk
}

// serials takes what is queued: the serial and type of each record.
func (tk *taker) serials(t *testing.T) (got string) {
	t.Helper()
	for {
		b, err := tk.cur.Take()
		if err != nil || len(b.Recs) == 0 {
			return strings.TrimSpace(got)
		}
		for i := range b.Recs {
			got += fmt.Sprintf("%d/%d ", b.Recs[i].Serial, b.Recs[i].Type)
			if b.Recs[i].Flags&record.End != 0 {
				got += "| "
			}
		}
		tk.cur.Advance(len(b.Recs))
	}
}

func TestIntakeSelectsAndCounts(t *testing.T) {
	// Two events that are interleaved and one after them that does not end.
	stream := func() *record.Batch {
		return batchOf(t, syscallLine(1, "a"), syscallLine(2, "b"), pathLine(2), pathLine(1), eoeLine(2), eoeLine(1), syscallLine(3, "a"))
	}
	for _, c := range []struct{ name, format, filter, want, flushed string }{
		{"records", "string", "", "1/1300 2/1300 2/1302 1/1302 2/1320 1/1320 3/1300", ""},
		{"events", "json", "", "2/1300 2/1302 2/1320 | 1/1300 1/1302 1/1320 |", "3/1300 |"},
		{"filtered records", "string", `key == "a"`, "1/1300 1/1302 1/1320 |", "3/1300 |"},
		{"filtered events", "json", `key == "b"`, "2/1300 2/1302 2/1320 |", ""},
		{"nothing left", "json", `key == "c"`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tk := take(t, config.Sink{Format: c.format, Filter: c.filter})
			b := stream()
			tk.Put(b)
			for i := range b.Recs {
				if b.Recs[i].Flags != stream().Recs[i].Flags {
					t.Errorf("record %d of the stream, which others get too, has flags %b", i, b.Recs[i].Flags)
				}
			}
			if got := tk.serials(t); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			tk.Flush()
			if got := tk.serials(t); got != c.flushed {
				t.Errorf("flushed %s, want %s", got, c.flushed)
			}
			n := tk.queue.Counts()
			if n.Received != 7 || n.Delivered+n.Filtered != 7 || (n.Filtered > 0) != (c.filter != "") {
				t.Errorf("%+v", n)
			}
			if got, want := tk.queue.Position().ID.Serial, uint32(3); got != want {
				t.Errorf("the position is after event %d, want %d", got, want)
			}
		})
	}
}

// TestIntakeChanges: a reload changes what is wanted between two records.
func TestIntakeChanges(t *testing.T) {
	tk := take(t, config.Sink{Format: "json", Filter: `key == "a"`})
	want := func(format, filter string) {
		w, err := NewSelection(config.Sink{Format: format, Filter: filter}, Known{}, "")
		if err != nil {
			t.Fatal(err)
		}
		tk.next.Store(w)
	}
	tk.Put(batchOf(t, syscallLine(1, "a"), syscallLine(2, "b")))
	want("json", `key == "b"`)
	tk.Put(batchOf(t, eoeLine(1), eoeLine(2), syscallLine(3, "c"), pathLine(4)))
	if got := tk.serials(t); got != "2/1300 2/1320 |" {
		t.Errorf("another filter: %s", got)
	}
	want("string", "")
	tk.Put(batchOf(t, eoeLine(3)))
	if got := tk.serials(t); got != "4/1302 | 3/1320" { // what was open went by the filter before; event 4 has no main record
		t.Errorf("no filter any more: %s", got)
	}
	want("ecs", "")
	tk.Put(batchOf(t, syscallLine(5, ""), eoeLine(5)))
	if got := tk.serials(t); got != "5/1300 5/1320 |" {
		t.Errorf("events again: %s", got)
	}
	if n := tk.queue.Counts(); n.Received != n.Delivered+n.Filtered || n.Filtered != 3 {
		t.Errorf("%+v", n)
	}
}

// TestIntakeGivesEventsToASinkOfEvents: whole ones, whatever its format is.
func TestIntakeGivesEventsToASinkOfEvents(t *testing.T) {
	tk := take(t, config.Sink{Format: "string", Events: true})
	tk.Put(batchOf(t, syscallLine(1, "a"), syscallLine(2, "b"), eoeLine(1), eoeLine(2)))
	if got := tk.serials(t); got != "1/1300 1/1320 | 2/1300 2/1320 |" {
		t.Errorf("%s", got)
	}
}

// TestIntakesOfOneSelectionShareNothing: two goroutines may use them at the same time, as where
// a state_dir comes late (for the race detector).
func TestIntakesOfOneSelectionShareNothing(t *testing.T) {
	first := take(t, config.Sink{Format: "json", Filter: `key == "a"`})
	second := take(t, config.Sink{Format: "json"})
	second.next.Store(first.next.Load())

	var wait sync.WaitGroup
	for _, tk := range []*taker{first, second} {
		wait.Go(func() {
			for n := range 100 {
				tk.Put(batchOf(t, syscallLine(2*n, "a"), eoeLine(2*n), syscallLine(2*n+1, "b"), eoeLine(2*n+1)))
			}
		})
	}
	wait.Wait()
	for _, tk := range []*taker{first, second} {
		if n := tk.queue.Counts(); n.Queued != 200 || n.Filtered != 200 {
			t.Errorf("%d records queued, %d filtered, want 200 and 200", n.Queued, n.Filtered)
		}
	}
}

// TestStoredEventsWaitByTheirOwnTime: of a stored stream an event that nothing has ended waits by the
// records' own time, however fast they are read.
func TestStoredEventsWaitByTheirOwnTime(t *testing.T) {
	at := func(sec, serial int) string {
		return fmt.Sprintf(`type=SECCOMP msg=audit(%d.000:%d): auid=1 uid=1 sig=0`, sec, serial)
	}
	for stored, want := range map[bool]string{true: "1/1326 | 2/1326 |", false: ""} {
		tk := take(t, config.Sink{Format: "json"})
		tk.Stored = stored
		tk.Put(batchOf(t, at(10, 1), at(11, 2)))
		if got := tk.serials(t); got != "" {
			t.Errorf("too early: %s", got)
		}
		tk.Put(batchOf(t, at(60, 3)))
		if got := tk.serials(t); got != want {
			t.Errorf("stored %v: got %q, want %q", stored, got, want)
		}
	}
}
