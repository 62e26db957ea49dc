package consumer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/queue"
)

// given returns how many records of each serial an intake with that filter gives.
func given(t *testing.T, filter string, rounds ...[]string) map[uint32]int {
	t.Helper()
	w, err := NewSelection(config.Sink{Format: "json", Filter: filter}, Known{}, "")
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 1 << 28, Hold: true, Whole: true}, Name: "box"})
	defer q.Close()
	cur := q.Cursor()
	defer cur.Close()
	in := NewIntake(q, w)
	for n, lines := range rounds {
		r := stream.NewReader(strings.NewReader(strings.Join(lines, "\n") + "\n"))
		var b record.Batch
		for r.Next(&b) == nil {
			in.Put(&b)
		}
		in.Expire(time.Now().Add(time.Duration(n+1) * time.Hour))
	}
	in.Flush()
	got := make(map[uint32]int)
	for {
		b, err := cur.Take()
		if err != nil || len(b.Recs) == 0 {
			return got
		}
		for i := range b.Recs {
			got[b.Recs[i].Serial]++
		}
		cur.Advance(len(b.Recs))
	}
}

// TestPartsShareTheDecision: what is over the limits, and what comes late, goes with the
// beginning of its event.
func TestPartsShareTheDecision(t *testing.T) {
	long := []string{syscallLine(1, "k")}
	for n := 0; n < 1<<21; n += 7000 {
		long = append(long, fmt.Sprintf(`type=EXECVE msg=audit(1.000:1): a%d="%s"`, n, strings.Repeat("x", 7000)))
		if n%70000 == 0 { // others between
			long = append(long, syscallLine(n+10, "other"), eoeLine(n+10))
		}
	}
	others := 0
	for _, line := range long {
		if strings.Contains(line, "other") {
			others++
		}
	}
	long = append(long, `type=CWD msg=audit(1.000:1): cwd="/"`, pathLine(1), `type=PROCTITLE msg=audit(1.000:1): proctitle="rm"`, eoeLine(1))
	all := len(long) - 2*others
	for src, want := range map[string]int{
		`key == "k"`: all, `key == "x"`: 0, `key != "k"`: 0, `uid == 0 and key == "k"`: all, `uid == 7`: 0, `path_under("/x")`: all, `path == "/x" and key == "k"`: all, `key == "x" and path == "/x"`: 0,
		`proctitle == "rm"`: all, `serial == 1`: all, `serial == 2`: 0,
	} {
		if got := given(t, src, long)[1]; got != want {
			t.Errorf("%s: %d records of %d, want %d", src, got, all, want)
		}
	}
	user := `type=USER_LOGIN msg=audit(1.000:5): pid=1 uid=0 auid=0 ses=1 msg='op=login acct="a" res=success'`
	for _, c := range []struct {
		src    string
		rounds [][]string
		want   int
	}{
		{`key == "k"`, [][]string{{syscallLine(5, "k"), eoeLine(5)}, {pathLine(5)}, {pathLine(5)}}, 4},
		{`key == "x"`, [][]string{{syscallLine(5, "k"), eoeLine(5)}, {pathLine(5)}, {pathLine(5)}}, 0},
		{`key == "k"`, [][]string{{syscallLine(5, "k")}, {pathLine(5)}}, 2},                   // by timer
		{`path == "/x"`, [][]string{{syscallLine(5, "k")}, {pathLine(5)}}, 1},                 // was not known
		{`path == "/y"`, [][]string{{syscallLine(5, "k")}}, 0},                                // an old kernel
		{`key == "x"`, [][]string{{pathLine(5)}, {pathLine(5), eoeLine(5)}}, 3},               // no main record at all
		{`key == "k"`, [][]string{{pathLine(5)}, {syscallLine(5, "k"), eoeLine(5)}}, 3},       // it comes late
		{`key == "k"`, [][]string{{user}, {syscallLine(5, "k"), pathLine(5), eoeLine(5)}}, 3}, // two that may decide
		{`acct == "a"`, [][]string{{user}, {syscallLine(5, "k"), pathLine(5), eoeLine(5)}}, 4},
		{`key == "x"`, [][]string{{user}, {syscallLine(5, "k"), pathLine(5), eoeLine(5)}}, 0},
	} {
		if got := given(t, c.src, c.rounds...)[5]; got != c.want {
			t.Errorf("%s: %d records, want %d: %q", c.src, got, c.want, c.rounds)
		}
	}
}

// TestLongLineInParts: the pieces of one line share the decision too.
func TestLongLineInParts(t *testing.T) {
	for src, want := range map[string]bool{`key == "k"`: true, `key == "x"`: false} {
		line := strings.TrimSuffix(syscallLine(1, "k"), "\n") + " x=" + strings.Repeat("y", 3<<20)
		got := given(t, src, []string{line, eoeLine(1)})
		if n := got[0] + got[1]; (n > 40) != want || (!want && n > 0) {
			t.Errorf("%s: %d records", src, n)
		}
	}
}

// TestRandomParts: however an event is cut in parts, what its first record decides holds
// for all of it, and an event that a filter keeps as a whole is not left out as parts.
func TestRandomParts(t *testing.T) {
	filters := []string{`key == "k"`, `uid != 0`, `not (key == "x")`, `path_under("/x")`, `path == "/x" and proctitle == "rm"`, `"a" in args or cwd == "/"`, `not path_under("/y") and uid == 0`, `type == "PATH"`}
	rapid.Check(t, func(rt *rapid.T) {
		var lines []string
		events := rapid.IntRange(1, 5).Draw(rt, "events")
		for n := range events {
			key := rapid.SampledFrom([]string{"k", "x"}).Draw(rt, "key")
			e := []string{syscallLine(n, key), fmt.Sprintf(`type=EXECVE msg=audit(1.000:%d): argc=1 a0="a"`, n), fmt.Sprintf(`type=CWD msg=audit(1.000:%d): cwd="/"`, n), pathLine(n), fmt.Sprintf(`type=PROCTITLE msg=audit(1.000:%d): proctitle="rm"`, n)}
			lines = append(lines, e[:rapid.IntRange(1, len(e)).Draw(rt, "records")]...)
		}
		b := batchOf(t, lines...)
		src := rapid.SampledFrom(filters).Draw(rt, "filter")
		f, err := filter.Compile(src)
		if err != nil {
			rt.Fatal(err)
		}
		g, whole := NewJudge(f.New()), f.New()
		for i := 0; i < len(b.Recs); {
			j := i + 1
			for j < len(b.Recs) && b.SameEvent(i, j) {
				j++
			}
			want, _ := whole.Keep(b, i, j)
			some, every := false, true
			for from := i; from < j; {
				to := rapid.IntRange(from+1, j).Draw(rt, "part")
				b.Recs[to-1].Flags |= record.End | record.Partial
				keep, _ := g.Keep(b, from, to)
				some, every = some || keep, every && keep
				from = to
			}
			if onMain := !strings.Contains(src, "pat") && !strings.Contains(src, "args") && !strings.Contains(src, "type"); (onMain && (some != want || every != want)) || (want && !some) {
				rt.Fatalf("%s: the whole %v, some parts %v, every part %v\n%q", src, want, some, every, lines)
			}
			i = j
		}
	})
}

// TestUnreadableRecordsPassEveryFilter: what cannot be read passes every filter, and is counted with its cause.
func TestUnreadableRecordsPassEveryFilter(t *testing.T) {
	tk := take(t, config.Sink{Format: "json", Filter: `type == "USER_LOGIN"`})
	tk.Put(batchOf(t, "node=h1 node=h1 type=USER_CMD msg=audit(1.000:1): x", syscallLine(2, "k"), eoeLine(2), "node=CentOS 7.7 type=USER_CMD msg=audit(1.000:3): x"))
	tk.Expire(time.Now())
	r := tk.report()
	if r.Unread != 2 || r.FilterErrors != 0 || !strings.Contains(r.UnreadCause, "blank") {
		t.Errorf("%+v", r)
	}
	if n := tk.queue.Counts(); n.Filtered != 2 || n.Queued != 2 {
		t.Errorf("%d left out, %d queued", n.Filtered, n.Queued)
	}
}

// TestPartAtTheLimitsIsKnown: a part is known to have come to the limits.
func TestPartAtTheLimitsIsKnown(t *testing.T) {
	rec := record.Record{Len: 8000}
	few, many := []record.Record{rec, rec}, make([]record.Record, 130)
	for i := range many {
		many[i] = rec
	}
	if event.IsCut(few) || !event.IsCut(many) || !event.IsCut(make([]record.Record, event.DefaultMaxRecords)) {
		t.Error("the limits are not known")
	}
}
