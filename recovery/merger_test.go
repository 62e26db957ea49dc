package recovery

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// TestTruncatedRecordsAreReplaced: auditd 4.2.1 leaves 16 bytes off each record of the kernel; the
// log has them whole.
func TestTruncatedRecordsAreReplaced(t *testing.T) {
	log := captures.Read(t, "audit-4.2.1-raw.log.gz")
	for _, form := range []string{"string", "binary"} {
		input := captures.Read(t, "audit-4.2.1-raw."+form+".gz")
		out := play(t, input, log, rand.New(rand.NewPCG(1, 2)))
		got, eoe := out.lines()
		want := logLines(log)
		compare(t, form, got, want, true)
		if sent := bytes.Count(captures.Read(t, "audit-4.2.1-enriched.string.gz"), []byte("type=EOE ")); eoe < sent/2 {
			t.Errorf("%s: %d EOE records", form, eoe)
		}
		if len(out.lost) > 0 {
			t.Errorf("%s: lost %v", form, out.lost)
		}
	}
}

// compare wants got to be want, in order where that is asked.
func compare(t testing.TB, what string, got, want []string, order bool) {
	t.Helper()
	if order {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("%s: %d lines, want %d; line %d:\n got %.200q\nwant %.200q", what, len(got), len(want), i, at(got, i), at(want, i))
				return
			}
		}
		return
	}
	count := make(map[string]int)
	for _, l := range want {
		count[l]++
	}
	for _, l := range got {
		count[l]--
	}
	missing, extra := 0, 0
	for l, n := range count {
		if n > 0 {
			if missing++; missing < 4 {
				t.Errorf("%s: missing %d times: %.300q", what, n, l)
			}
		} else if n < 0 {
			if extra++; extra < 4 {
				t.Errorf("%s: %d times too often: %.300q", what, -n, l)
			}
		}
	}
	if missing+extra > 0 {
		t.Errorf("%s: %d missing, %d too many of %d", what, missing, extra, len(want))
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "nothing"
}

// whole are the captures whose stream has every record of the log unharmed.
var whole = []string{"audit-3.0.9-raw", "audit-3.0.9-enriched", "audit-3.0.9-node", "audit-4.2.1-enriched"}

// TestAWholeStreamNeedsNoLog: the log is not read where nothing is missing.
func TestAWholeStreamNeedsNoLog(t *testing.T) {
	for _, name := range whole {
		input := captures.Read(t, name+".string.gz")
		out := new(collector)
		f := New(Options{Log: auditlog.New("/nonexistent"), Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop(), Static: true})
		take(t, f, input, rand.New(rand.NewPCG(1, 2)))
		if c := f.Show(); c.Led != 0 {
			t.Errorf("%s: the log led %d times", name, c.Led)
		}
		f.lookForGaps(time.Now().Add(2*time.Second), false)
		if n := len(f.holes); n != 0 || len(out.lost) != 0 {
			t.Errorf("%s: holes %v, lost %v", name, f.holes, out.lost)
		}
	}
}

// harm drops, cuts and delays records of a string stream.
func harm(input []byte, rnd *rand.Rand, percent int) []byte {
	lines := bytes.SplitAfter(input, []byte("\n"))
	type late struct {
		at   int
		line []byte
	}
	var out [][]byte
	var delayed []late
	for i, l := range lines {
		for len(delayed) > 0 && delayed[0].at <= i {
			out = append(out, delayed[0].line)
			delayed = delayed[1:]
		}
		switch n := rnd.IntN(100 * 3); {
		case i == 0 || n >= 3*percent || len(l) < 2:
			out = append(out, l)
		case n%3 == 0: // dropped
		case n%3 == 1:
			c := slices.Clone(l[:1+rnd.IntN(len(l)-1)])
			if rnd.IntN(2) == 0 && c[len(c)-1] != '\n' {
				c = append(c, '\n')
			}
			out = append(out, c)
		default:
			delayed = append(delayed, late{i + 1 + rnd.IntN(200), l})
			slices.SortStableFunc(delayed, func(a, b late) int { return a.at - b.at })
		}
	}
	for _, d := range delayed {
		out = append(out, d.line)
	}
	return bytes.Join(out, nil)
}

// TestAHarmedStreamIsRepaired: whatever a stream has lost, the consumers have the log's records.
// The first record harmed may be a cut one that looks whole; so doubt is there
// from the beginning, as it is at a start with positions.
func TestAHarmedStreamIsRepaired(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, name := range whole {
		for seed := range uint64(20) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			log := captures.Read(t, name+".log.gz")
			input := harm(captures.Read(t, name+".string.gz"), rnd, 1+int(seed)%8)
			out := playFrom(t, input, log, rnd, true)
			got, _ := out.lines()
			compare(t, fmt.Sprintf("%s, seed %d", name, seed), got, logLines(log), true)
			if t.Failed() {
				return
			}
		}
	}
}

// TestARecordRunIntoTheNextIsReplaced: a record that has lost no more than its newline, so that it begins as its
// line of the log does and the next one follows, is a damaged copy too.
func TestARecordRunIntoTheNextIsReplaced(t *testing.T) {
	for _, name := range whole {
		for seed := range uint64(4) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			log := captures.Read(t, name+".log.gz")
			var input []byte
			for i, l := range bytes.SplitAfter(captures.Read(t, name+".string.gz"), []byte("\n")) {
				if i > 0 && rnd.IntN(50) == 0 {
					l = bytes.TrimRight(l, " \n")
				}
				input = append(input, l...)
			}
			out := playFrom(t, input, log, rnd, true)
			got, _ := out.lines()
			compare(t, fmt.Sprintf("%s, seed %d", name, seed), got, logLines(log), true)
			for _, l := range out.got {
				if strings.Count(l, "audit(") > 1 {
					t.Errorf("%s, seed %d: given: %.200q", name, seed, l)
				}
			}
		}
	}
}

// TestDroppedRecordsAreRecovered: records dropped from a stream that leads are given from the log,
// none twice. Those given after later ones say so: a saved position must not go
// back to them.
func TestDroppedRecordsAreRecovered(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, name := range whole {
		for seed := range uint64(20) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			log := captures.Read(t, name+".log.gz")
			var kept [][]byte
			dropped := map[string]bool{}
			for i, l := range bytes.SplitAfter(captures.Read(t, name+".string.gz"), []byte("\n")) {
				if i == 0 || rnd.IntN(50) > 0 {
					kept = append(kept, l)
					continue
				}
				for _, text := range logLines(l) {
					dropped[text] = true
				}
			}
			out := play(t, bytes.Join(kept, nil), log, rnd)
			got, _ := out.lines()
			if len(out.late) == 0 || len(out.late) > len(dropped) || !dropped[out.late[0]] {
				t.Errorf("%d records are late of %d dropped: %q", len(out.late), len(dropped), out.late)
			}
			compare(t, fmt.Sprintf("%s, seed %d", name, seed), got, logLines(log), false)
			if len(out.lost) > 0 {
				t.Errorf("lost %v", out.lost)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// TestWhatIsFoundNowhereIsReported: what neither stream nor log has is reported.
func TestWhatIsFoundNowhereIsReported(t *testing.T) {
	name := whole[1]
	gone := 0
	without := func(data []byte) []byte {
		var kept [][]byte
		for _, l := range bytes.SplitAfter(data, []byte("\n")) {
			if n := serialOf(l); n%20 == 0 && n > 0 && !bytes.HasPrefix(l, []byte("type=DAEMON")) {
				continue
			}
			kept = append(kept, l)
		}
		return bytes.Join(kept, nil)
	}
	seen := map[uint32]bool{}
	var lowest, highest uint32
	for _, l := range bytes.Split(captures.Read(t, name+".log.gz"), []byte("\n")) {
		if n := serialOf(l); n > 0 && !bytes.HasPrefix(l, []byte("type=DAEMON")) {
			seen[n] = true
			if lowest == 0 || n < lowest {
				lowest = n
			}
			highest = max(highest, n)
		}
	}
	for n := range seen {
		if n%20 == 0 && n > lowest && n < highest {
			gone++
		}
	}
	out := play(t, without(captures.Read(t, name+".string.gz")), without(captures.Read(t, name+".log.gz")), rand.New(rand.NewPCG(3, 3)))
	reported := uint64(0)
	for _, l := range out.lost {
		reported += l.Events()
	}
	if reported != uint64(gone) || gone == 0 {
		t.Errorf("%d events reported as lost, %d are", reported, gone)
	}
}

func serialOf(line []byte) (n uint32) {
	_, rest, _ := bytes.Cut(line, []byte("msg=audit("))
	_, rest, _ = bytes.Cut(rest, []byte(":"))
	fmt.Sscanf(string(rest[:min(len(rest), 12)]), "%d", &n)
	return n
}

// TestConsumersResumeAtTheirPositions: each consumer continues after its own position, and nothing comes
// twice when the stream brings again what stood in the log.
func TestConsumersResumeAtTheirPositions(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		name := whole[rnd.IntN(len(whole))]
		log := captures.Read(t, name+".log.gz")
		want := logLines(log)
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		ids := idsOf(t, log)
		outs := []*collector{new(collector), new(collector)}
		all := both(outs)
		f := New(Options{Log: auditlog.New(path), Tracker: integrity.NewTracker(integrity.Options{}), Out: all, Say: zap.NewNop(), Static: true})
		var cs []Resumed
		var from []int
		for _, o := range outs {
			k, first := rnd.IntN(len(ids)), rnd.IntN(2) == 0
			c := Resumed{Name: "x", ID: ids[k], Known: true, Put: o.Put, First: first}
			if first {
				k--
			}
			from = append(from, k)
			cs = append(cs, c)
		}
		f.Begin()
		// The stream brings the end of the log again.
		logged := bytes.SplitAfter(log, []byte("\n"))
		lines := bytes.SplitAfter(captures.Read(t, name+".string.gz"), []byte("\n"))
		for !bytes.Equal(lines[0], logged[max(0, slices.Max(from))]) {
			lines = lines[1:]
		}
		input := bytes.Join(lines[1+rnd.IntN(len(lines)):], nil)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Resume(cs)
			f.Run(ctx)
		}()
		take(t, f, input, rnd)
		cancel()
		<-done
		f.Finish(time.Now().Add(time.Minute))
		for i, o := range outs {
			got, _ := o.lines()
			compare(t, fmt.Sprintf("%s, seed %d, from %d", name, seed, from[i]), got, want[from[i]+1:], true)
		}
		if t.Failed() {
			return
		}
	}
}

type both []*collector

func (o both) Put(b *record.Batch) {
	for _, c := range o {
		c.Put(b)
	}
}

func (o both) Lost(t integrity.Gap) {
	for _, c := range o {
		c.Lost(t)
	}
}

func idsOf(t testing.TB, log []byte) (ids []record.ID) {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(log))
	var b record.Batch
	for r.Next(&b) == nil {
		for i := range b.Recs {
			ids = append(ids, b.ID(i))
		}
	}
	return ids
}

// TestUndispatchedRecordsAreGivenAtTheEnd: what auditd had logged and not dispatched when it ended
// is given at the end.
func TestUndispatchedRecordsAreGivenAtTheEnd(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 13))
		name := whole[rnd.IntN(len(whole))]
		log := captures.Read(t, name+".log.gz")
		lines := bytes.SplitAfter(captures.Read(t, name+".string.gz"), []byte("\n"))
		out := play(t, bytes.Join(lines[:1+rnd.IntN(len(lines)-1)], nil), log, rnd)
		got, _ := out.lines()
		compare(t, fmt.Sprintf("%s, seed %d", name, seed), got, logLines(log), false)
		if t.Failed() {
			return
		}
	}
}
