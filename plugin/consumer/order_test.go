package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/config"
)

// whole returns the records of whole events, one after the other.
func whole(t *testing.T, serials ...int) *record.Batch {
	t.Helper()
	var lines []string
	for _, n := range serials {
		lines = append(lines, syscallLine(n, fmt.Sprint("k", n)), eoeLine(n))
	}
	return batchOf(t, lines...)
}

func TestIntakeSortsEvents(t *testing.T) {
	for _, c := range []struct {
		name, filter, first, rest string
		filtered                  uint64
	}{
		{"no filter", "", "1/1300 1/1320 |", "2/1300 2/1320 | 3/1300 3/1320 | 4/1300 4/1320 |", 0},
		{"the filter leaves out what others wait for", `key != "k2"`, "1/1300 1/1320 |", "3/1300 3/1320 | 4/1300 4/1320 |", 2},
		{"the filter leaves out what waits", `key != "k3"`, "1/1300 1/1320 |", "2/1300 2/1320 | 4/1300 4/1320 |", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			tk := take(t, config.Sink{Format: "string", Serial: true, Filter: c.filter})
			tk.Put(whole(t, 1, 3))
			if got := tk.serials(t); got != c.first {
				t.Errorf("got %s, want %s", got, c.first)
			}
			// What waits is neither received nor before the position.
			if n := tk.queue.Counts(); n.Received != 2 || tk.queue.Position().ID.Serial != 1 {
				t.Errorf("%+v, position %+v", n, tk.queue.Position())
			}

			tk.Put(whole(t, 2, 4))
			if got := tk.serials(t); got != c.rest {
				t.Errorf("got %s, want %s", got, c.rest)
			}
			if n := tk.queue.Counts(); n.Received != 8 || n.Filtered != c.filtered || tk.queue.Position().ID.Serial != 4 {
				t.Errorf("%+v, position %+v", n, tk.queue.Position())
			}
			tk.Expire(time.Now())
			if r := tk.report(); r.Late != 0 || r.Held != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestIntakeWaitsForSerials: what waits goes when its time is over, without any traffic, and what comes
// after that is counted.
func TestIntakeWaitsForSerials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := take(t, config.Sink{Format: "json", Serial: true})
		tk.Put(whole(t, 1, 3))
		tk.serials(t)
		time.Sleep(event.SortWait - time.Millisecond)
		tk.Expire(time.Now())
		if got := tk.serials(t); got != "" || tk.report().Held != 1 {
			t.Errorf("too early: %s, %+v", got, tk.report())
		}
		time.Sleep(time.Millisecond)
		tk.Expire(time.Now())
		if got := tk.serials(t); got != "3/1300 3/1320 |" {
			t.Errorf("in time: %s", got)
		}
		tk.Put(whole(t, 2))
		tk.Expire(time.Now())
		if got := tk.serials(t); got != "2/1300 2/1320 |" || tk.report().Late != 1 {
			t.Errorf("too late: %s, %+v", got, tk.report())
		}
	})
}

// TestIntakeEndsItsOrder: at the end, and where a reload ends the order, what waits goes first; a reload that
// changes something else changes nothing of it.
func TestIntakeEndsItsOrder(t *testing.T) {
	want := func(tk *taker, cfg config.Sink) {
		t.Helper()
		w, err := NewSelection(cfg, Known{}, "")
		if err != nil {
			t.Fatal(err)
		}
		tk.next.Store(w)
	}
	tk := take(t, config.Sink{Format: "string", Serial: true})
	tk.Put(whole(t, 1, 5, 3))
	want(tk, config.Sink{Format: "json", Serial: true})
	tk.Put(whole(t, 7))
	if got := tk.serials(t); got != "1/1300 1/1320 |" {
		t.Errorf("another format: %s", got)
	}
	want(tk, config.Sink{Format: "string"})
	tk.Put(whole(t, 9, 8))
	if got := tk.serials(t); got != "3/1300 3/1320 | 5/1300 5/1320 | 7/1300 7/1320 | 9/1300 9/1320 8/1300 8/1320" {
		t.Errorf("no order any more: %s", got)
	}
	want(tk, config.Sink{Format: "string", Serial: true})
	tk.Put(whole(t, 20, 23, 22))
	if got := tk.serials(t); got != "20/1300 20/1320 |" { // the gap to 9 is none
		t.Errorf("an order again: %s", got)
	}
	tk.Flush()
	if got := tk.serials(t); got != "22/1300 22/1320 | 23/1300 23/1320 |" {
		t.Errorf("at the end: %s", got)
	}
	if n := tk.queue.Counts(); n.Delivered != 18 || n.Received != 18 || tk.queue.Position().ID.Serial != 22 {
		t.Errorf("%+v, position %+v", n, tk.queue.Position())
	}
}

// TestFloorWaitsForWhatWasMissed: while an event from audit.log waits for others, a kill must not skip it.
func TestFloorWaitsForWhatWasMissed(t *testing.T) {
	tk := take(t, config.Sink{Format: "string", Serial: true})
	tk.Put(whole(t, 1, 4))
	missed := batchOf(t, userLine(3))
	missed.Recs[0].Flags |= record.FromLog | record.Late
	tk.putMissed(missed, time.Now().Add(-time.Second))
	tk.Expire(time.Now())
	tk.serials(t)
	if tk.queue.Floor(time.Time{}) == nil {
		t.Error("no floor, though event 3 waits for event 2")
	}
	tk.Put(whole(t, 2))
	tk.Expire(time.Now())
	if got := tk.serials(t); got != "2/1300 2/1320 | 3/1112 | 4/1300 4/1320 |" {
		t.Errorf("got %s", got)
	}
	if floor := tk.queue.Floor(time.Time{}); floor != nil {
		t.Errorf("the floor stays at %+v", floor)
	}
}

func userLine(serial int) string {
	return fmt.Sprintf(`type=USER_LOGIN msg=audit(1.000:%d): pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'`, serial)
}

// TestPositionsSkipNothingThatWaits: whenever a kill comes, what stands in audit.log up to the saved position
// was delivered, each record once. At an ordinary end the position is that of a sink without an order.
func TestPositionsSkipNothingThatWaits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines, logged := disorder(rt)
		tk := take(t, config.Sink{Format: "string", Serial: true})
		plain := take(t, config.Sink{Format: "string", Events: true})
		tk.maxOpen = rapid.SampledFrom([]int{600, 2000, 1 << 20}).Draw(rt, "room")
		plain.maxOpen = tk.maxOpen

		places := make(map[record.ID]int) // in the log
		delivered := make(map[string]bool)
		check := func() {
			for {
				b, err := tk.cur.Take()
				if err != nil || len(b.Recs) == 0 {
					break
				}
				for i := range b.Recs {
					line := string(record.TrimEnd(b.Bytes(i)))
					if delivered[line] {
						rt.Fatalf("%s comes twice", line)
					}
					delivered[line] = true
				}
				tk.cur.Advance(len(b.Recs))
			}
			pos := tk.queue.Position()
			place, known := places[pos.ID]
			if !known || pos.First {
				return
			}
			for _, line := range logged[:place+1] {
				if !delivered[line] {
					rt.Fatalf("the position is after %s, but %s was not delivered", logged[place], line)
				}
			}
		}

		for from := 0; from < len(lines); {
			n := min(rapid.IntRange(1, 12).Draw(rt, "batch"), len(lines)-from)
			b := batchOf(t, lines[from:from+n]...)
			for i := range b.Recs {
				if k := slices.Index(logged, lines[from+i]); k >= 0 {
					places[b.ID(i)] = k
				}
			}
			from += n
			tk.Put(b)
			plain.Put(b)
			check()
		}
		tk.Flush()
		plain.Flush()
		check()
		plain.serials(t)
		for _, line := range logged { // an EOE that comes too late is dropped
			if !delivered[line] {
				rt.Fatalf("%s was not delivered", line)
			}
		}
		if got, want := tk.queue.Position().ID, plain.queue.Position().ID; got != want {
			rt.Fatalf("the position is %+v, without an order %+v", got, want)
		}
	})
}

// disorder makes events that begin out of order, lie within each other, and lack some serials: what the stream
// brings, and what of it the log has.
func disorder(rt *rapid.T) (lines, logged []string) {
	var open [][]string
	put := func(k int) {
		line := open[k][0]
		lines = append(lines, line)
		if open[k] = open[k][1:]; len(open[k]) > 0 {
			logged = append(logged, line)
			return
		}
		if !strings.HasPrefix(line, "type=EOE") {
			logged = append(logged, line)
		}
		open = slices.Delete(open, k, k+1)
	}
	serials := []int{1000}
	for range rapid.IntRange(0, 40).Draw(rt, "events") {
		last := serials[len(serials)-1]
		serials = append(serials, last+rapid.SampledFrom([]int{1, 1, 1, 1, 2, 5}).Draw(rt, "step"))
	}
	for k := 1; k < len(serials); k++ {
		if with := k - rapid.IntRange(0, min(k, 3)).Draw(rt, "swap"); with > 0 {
			serials[k], serials[with] = serials[with], serials[k]
		}
	}
	for _, serial := range serials {
		one := []string{syscallLine(serial, "k"), pathLine(serial), eoeLine(serial)}
		if rapid.IntRange(0, 2).Draw(rt, "kind") == 0 {
			one = []string{userLine(serial)}
		}
		open = append(open, one)
		for len(open) > 0 && rapid.IntRange(0, 3).Draw(rt, "next") > 0 {
			put(rapid.IntRange(0, len(open)-1).Draw(rt, "which"))
		}
	}
	for len(open) > 0 {
		put(0)
	}
	return lines, logged
}
