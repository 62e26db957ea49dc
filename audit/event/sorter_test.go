package event

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// sorted is a Sorter and what it has given: the text of each event, "~" after it where its records are
// Late, "=TEXT" where all up to that record was given.
type sorted struct {
	*Sorter
	out []string
}

func newSorted(t testing.TB, o SorterOptions) *sorted {
	s := new(sorted)
	names := make(map[record.ID]string)
	o.Out = func(b *record.Batch) {
		if n := len(b.Recs); n == 0 || b.Recs[n-1].Flags&record.End == 0 {
			t.Fatalf("%d records, not a whole event", n)
		}
		for i := range b.Recs {
			r := &b.Recs[i]
			names[b.ID(i)] = wordOf(b, i)
			if r.Flags&record.End == 0 {
				continue
			}
			word := wordOf(b, i)
			if r.Flags&record.Late != 0 {
				word += "~"
			}
			s.out = append(s.out, word)
		}
	}
	o.Passed = func(id record.ID) {
		name, given := names[id]
		if !given {
			t.Fatalf("the place %+v is of a record that was not given", id)
		}
		s.out = append(s.out, "="+name)
	}
	s.Sorter = NewSorter(o)
	return s
}

// wordOf returns the word that record i was made of.
func wordOf(b *record.Batch, i int) string {
	_, word, _ := strings.Cut(strings.TrimRight(string(b.Bytes(i)), "\n"), "word=")
	return word
}

// events makes events of one record each. A word is an optional node and a colon, an optional letter of
// kinds, a serial, and an optional time after "@", in seconds. "x" is a record without an id.
func events(t testing.TB, words ...string) *record.Batch {
	t.Helper()
	var text strings.Builder
	for _, word := range words {
		node, rest, found := strings.Cut(word, ":")
		if found {
			node = "node=" + node + " "
		} else {
			node, rest = "", word
		}
		kind := "USER_CMD"
		if k, found := kinds[rest[0]]; found {
			kind, rest = k, rest[1:]
		}
		serial, sec, timed := strings.Cut(rest, "@")
		if !timed {
			sec = "1000"
		}
		id := "audit(" + sec + ".000:" + serial + "):"
		if word == "x" {
			id = "lost"
		}
		fmt.Fprintf(&text, "%stype=%s msg=%s word=%s\n", node, kind, id, word)
	}
	b := audittest.Lines(t, text.String())
	for i := range b.Recs {
		b.Recs[i].Flags |= record.End
	}
	return b
}

// one returns the event of record i alone.
func one(b *record.Batch, i int) *record.Batch {
	return &record.Batch{Buf: b.Buf, Recs: b.Recs[i : i+1]}
}

func TestEventsAreSorted(t *testing.T) {
	for _, c := range []struct{ name, in, out string }{
		{"one after the other", "7 8 / 9 / 10", "7 8 9 10"},
		{"a pair", "7 9 8 10", "7 8~ 9 =8 10"},
		{"a pair over batches", "7 / 9 / 8 / 10", "7 8~ 9 =8 10"},
		{"three", "7 10 9 8 11", "7 8~ 9~ 10 =8 11"},
		{"the first is where it begins", "9 7 8 10", "9 7 8 10"},
		{"a gap that stays", "7 9 / 10 / +2499", "7"},
		{"a gap that has stayed", "7 9 / 10 / +2500", "7 9 10 =10"},
		{"two gaps", "7 9 / +1000 / 11 / +1500", "7 9"},
		{"two gaps, the second later", "7 9 / +1000 / 11 / +1500 / +1000", "7 9 11 =11"},
		{"what came after a gap goes with what it follows", "7 9 / +1000 / 10 / +1500", "7 9 10 =10"},
		{"filled in part", "7 10 / 8 / +2500", "7 8~ 10 =8"},
		{"one that came later goes before one that is due", "7 12 / +1000 / 10 / +1500", "7 10~ 12 =10"},
		{"too late", "7 9 / +2500 / 8 10", "7 9 =9 8 10"},
		{"a part of the last event", "7 8 8 9", "7 8 8 9"},
		{"parts of an event that waits", "7 9 9 / 8", "7 8~ 9 9 =8"},
		{"the end", "7 12 10 9 $", "7 9~ 10~ 12 =9"},
		{"the end, after which serials begin again", "7 9 $ 3 5 4 $", "7 9 =9 3 4~ 5 =4"},

		{"over the end of 32 bits", "4294967294 0 4294967295 1", "4294967294 4294967295~ 0 =4294967295 1"},
		{"over the end of 32 bits, too late", "0 4294967295 1", "0 4294967295 1"},
		{"half of all serials ahead", "7 2147483654 / 8 $", "7 8~ 2147483654 =8"},

		{"two nodes", "a:7 b:3 a:8 b:4 a:9", "a:7 b:3 a:8 b:4 a:9"},
		{"a gap of one node", "a:7 b:3 a:9 / b:4 b:5 / a:8 / b:6", "a:7 b:3 b:4~ b:5~ a:8~ a:9 =a:8 b:6"},
		{"gaps of both", "a:7 b:3 / a:9 b:5 / b:4 / a:8", "a:7 b:3 b:4~ b:5~ a:8~ a:9 =a:8"},
		{"gaps of both, at the end", "a:7 b:3 / a:9 / b:5 / a:11 $", "a:7 b:3 a:9 a:11~ b:5 =a:11"},
		{"no node is a node", "7 a:3 9 a:4 8", "7 a:3 a:4~ 8~ 9 =8"},

		{"auditd's own", "7 D9000 9 D9001 D3 / 8", "7 D9000 D9001~ D3~ 8~ 9 =8"},
		{"without id", "7 x 9 x / 8", "7 x x~ 8~ 9 =8"},
		{"without id, while one waits", "7 9 / x", "7 x~"},

		{"another boot", "5000@1000 5001@1001 1@1100 2@1100 4@1101 3@1100", "5000@1000 5001@1001 1@1100 2@1100 3@1100~ 4@1101 =3@1100"},
		{"another boot, one waits", "5000@1000 5002@1001 1@1100 2@1100", "5000@1000 5002@1001 =5002@1001 1@1100 2@1100"},
		{"older, but not newer", "5000@1000 1@1009 5001@1010", "5000@1000 1@1009 5001@1010"},
		{"newer, but not old enough", "1024@1000 1@1100 1025@1010 1027@1200 1026@1200", "1024@1000 1@1100 1025@1010 1026@1200~ 1027@1200 =1026@1200"},
		{"auditd's start", "5000 5002 / H77 / 3 5 4", "5000 5002 =5002 H77 3 4~ 5 =4"},
		{"another node's start", "a:7 b:7 a:9 / b:H77 / b:3 a:8", "a:7 b:7 b:H77~ b:3~ a:8~ a:9 =a:8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSorted(t, SorterOptions{})
			now := audittest.Epoch
			var words []string
			add := func() {
				s.Add(events(t, words...), now)
				words = nil
			}
			for _, w := range strings.Fields(c.in) {
				switch {
				case w == "/":
					add()
				case w == "$":
					add()
					s.Flush()
				case w[0] == '+':
					ms, err := strconv.Atoi(w[1:])
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(time.Duration(ms) * time.Millisecond)
					s.Expire(now)
				default:
					words = append(words, w)
				}
			}
			add()
			if got := strings.Join(s.out, " "); got != c.out {
				t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.out)
			}
		})
	}
}

// TestSorterCounts: what came too late, and what is held.
func TestSorterCounts(t *testing.T) {
	s := newSorted(t, SorterOptions{})
	b := events(t, "7", "6", "9", "D3")
	s.Add(b, audittest.Epoch)
	want := SorterCounts{Late: 1, Held: 1, HeldBytes: int(b.Recs[2].Len) + recordSize}
	if got := s.Counts(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s.Turn() != 4 || s.Given(3) || !s.Given(2) {
		t.Errorf("%d events have come, the first 3 are given: %v", s.Turn(), s.Given(3))
	}
	s.Flush()
	if got := s.Counts(); got != (SorterCounts{Late: 1}) || !s.Given(4) {
		t.Errorf("after the end %+v", got)
	}
}

// TestSorterIsBounded: beyond its bounds the event goes that has waited longest, and what stands before it.
func TestSorterIsBounded(t *testing.T) {
	size := len(events(t, "99998").Buf) + recordSize
	for name, c := range map[string]struct{ max, held int }{"bytes": {3*size + 1, 3}, "events": {math.MaxInt, MaxSorted}} {
		words := []string{"10000"}
		for k := range c.held + 1 {
			words = append(words, strconv.Itoa(99_998-2*k))
		}
		b := events(t, words...)
		s := newSorted(t, SorterOptions{MaxBytes: c.max})
		for i := range c.held + 1 {
			s.Add(one(b, i), audittest.Epoch)
		}
		if n := s.Counts(); n.Held != c.held || len(s.out) != 1 {
			t.Fatalf("%s: %+v, %d given", name, n, len(s.out))
		}
		// The oldest has the highest serial, so all others go before it.
		s.Add(one(b, c.held+1), audittest.Epoch)
		if n := s.Counts(); n != (SorterCounts{}) {
			t.Errorf("%s: %+v", name, n)
		}
		if got := withoutPlaces(s.out); !slices.IsSorted(got) || len(got) != len(words) {
			t.Errorf("%s: %d given of %d", name, len(got), len(words))
		}
	}
}

// withoutPlaces returns the words of the events alone.
func withoutPlaces(out []string) (words []string) {
	for _, w := range out {
		if w[0] != '=' {
			words = append(words, strings.TrimSuffix(w, "~"))
		}
	}
	return words
}

// TestSorterForgetsNodes: more than it knows cost no more memory, and no event.
func TestSorterForgetsNodes(t *testing.T) {
	s := newSorted(t, SorterOptions{})
	s.Add(events(t, "held:7", "held:9"), audittest.Epoch)
	const many = 3 * maxSequences
	var words, gaps []string
	for n := range many {
		words = append(words, fmt.Sprintf("n%d:5", n))
	}
	s.Add(events(t, words...), audittest.Epoch)
	if len(s.nodes) != maxSequences || len(s.out) != many+1 {
		t.Errorf("%d nodes are known, %d events given", len(s.nodes), len(s.out))
	}
	s.Add(events(t, "held:8"), audittest.Epoch)
	if got := withoutPlaces(s.out[many+1:]); !slices.Equal(got, []string{"held:8", "held:9"}) {
		t.Errorf("the node of which an event is held was forgotten: %v", got)
	}

	// While each of those known holds an event, a further node's go as they come.
	s = newSorted(t, SorterOptions{})
	for n := range maxSequences {
		gaps = append(gaps, fmt.Sprintf("n%d:5", n), fmt.Sprintf("n%d:7", n))
	}
	s.Add(events(t, gaps...), audittest.Epoch)
	s.out = nil
	s.Add(events(t, "more:7", "more:6"), audittest.Epoch)
	if got := strings.Join(s.out, " "); got != "more:7~ more:6~" || len(s.nodes) != maxSequences {
		t.Errorf("%s; %d nodes", got, len(s.nodes))
	}
}

// TestSortedWithinTheWait: events that come in any order, none later than SortWait after those it belongs
// before, are given in the order of their serials, each once. The oracle is slices.Sort.
func TestSortedWithinTheWait(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type arrival struct {
			node   string
			serial uint32
			at     time.Duration
		}
		var all []arrival
		want := make(map[string][]string)
		for _, node := range []string{"", "a:", "b:"}[:rapid.IntRange(1, 3).Draw(rt, "nodes")] {
			first := rapid.SampledFrom([]uint32{1, 70_000, math.MaxUint32 - 20}).Draw(rt, "first")
			at := time.Duration(0)
			for n := range rapid.Uint32Range(1, 60).Draw(rt, "events") {
				at += time.Duration(rapid.IntRange(0, 200).Draw(rt, "ms")) * time.Millisecond
				late := time.Duration(0)
				if n > 0 { // the first one says where it begins
					late = time.Duration(rapid.IntRange(0, int(SortWait/time.Millisecond)-1).Draw(rt, "late")) * time.Millisecond
				}
				want[node] = append(want[node], fmt.Sprint(node, first+n))
				if n == 0 || rapid.IntRange(0, 9).Draw(rt, "lost") > 0 {
					all = append(all, arrival{node, first + n, at + late})
				} else {
					want[node] = want[node][:len(want[node])-1]
				}
			}
		}
		slices.SortStableFunc(all, func(x, y arrival) int { return cmp.Compare(x.at, y.at) })

		s := newSorted(t, SorterOptions{})
		tick := time.Duration(0)
		for len(all) > 0 {
			for ; tick < all[0].at; tick += 100 * time.Millisecond {
				s.Expire(audittest.Epoch.Add(tick))
			}
			n := rapid.IntRange(1, len(all)).Draw(rt, "batch")
			var list []string
			for i := 0; i < n && all[i].at == all[0].at; i++ {
				list = append(list, fmt.Sprint(all[i].node, all[i].serial))
			}
			s.Add(events(t, list...), audittest.Epoch.Add(all[0].at))
			all = all[len(list):]
		}
		s.Flush()

		got := make(map[string][]string)
		for _, w := range withoutPlaces(s.out) {
			node, _, found := strings.Cut(w, ":")
			if found {
				node += ":"
			} else {
				node = ""
			}
			got[node] = append(got[node], w)
		}
		for node, list := range want {
			if !slices.Equal(got[node], list) {
				rt.Fatalf("node %q:\n got %v\nwant %v", node, got[node], list)
			}
		}
		if n := s.Counts(); n != (SorterCounts{}) {
			rt.Fatalf("%+v", n)
		}
	})
}

// TestSorterLosesNothing: whatever serials, times and nodes come, each event is given once and byte by
// byte, and what a position may name never stands after an event that is not given.
func TestSorterLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		came, given := make([]string, 0, 100), make(map[string]bool)
		safe := func(word string) { // all up to this one was given
			for _, w := range came[:slices.Index(came, word)] {
				if !given[w] {
					rt.Fatalf("a position says %s, but %s, which came before, is held", word, w)
				}
			}
		}
		words := make(map[record.ID]string)
		s := NewSorter(SorterOptions{
			MaxBytes: rapid.IntRange(1, 4000).Draw(rt, "bytes"),
			Out: func(b *record.Batch) {
				for i := range b.Recs {
					word := wordOf(b, i)
					if given[word] || !slices.Contains(came, word) {
						rt.Fatalf("%q is given twice, or never came", word)
					}
					given[word], words[b.ID(i)] = true, word
				}
				for i := range b.Recs {
					if b.Recs[i].Loggable() {
						safe(wordOf(b, i))
					}
				}
			},
		})
		s.o.Passed = func(id record.ID) { safe(words[id]) }

		now := audittest.Epoch
		for n := range rapid.IntRange(1, 100).Draw(rt, "events") {
			serial := rapid.OneOf(rapid.Uint32Range(1, 30), rapid.Uint32Range(math.MaxUint32-5, math.MaxUint32), rapid.Uint32()).Draw(rt, "serial")
			kind := rapid.SampledFrom([]string{"USER_CMD", "USER_CMD", "USER_CMD", "DAEMON_START", "DAEMON_END"}).Draw(rt, "type")
			node := rapid.SampledFrom([]string{"", "", "node=a "}).Draw(rt, "node")
			word := strconv.Itoa(n)
			b := audittest.Lines(t, fmt.Sprintf("%stype=%s msg=audit(%d.000:%d): word=%s\n", node, kind, rapid.IntRange(1000, 1030).Draw(rt, "sec"), serial, word))
			b.Recs[0].Flags |= record.End
			if rapid.IntRange(0, 5).Draw(rt, "late") == 0 {
				b.Recs[0].Flags |= record.Late // of the Assembler
			}
			came = append(came, word)
			s.Add(b, now)
			clear(b.Buf)
			if rapid.IntRange(0, 5).Draw(rt, "wait") == 0 {
				now = now.Add(time.Second)
				s.Expire(now)
			}
			if held := s.Counts(); held.HeldBytes > s.o.MaxBytes || len(given)+held.Held != len(came) {
				rt.Fatalf("%d came, %d were given; %+v", len(came), len(given), held)
			}
		}
		s.Flush()
		if n := s.Counts(); len(given) != len(came) || n.Held != 0 || n.HeldBytes != 0 || len(s.nodes) != 0 {
			rt.Fatalf("%d came, %d were given; %+v", len(came), len(given), n)
		}
	})
}

// TestSorterDoesNotCopyWhatIsInOrder: batches of events in order are given as they are, without an allocation.
func TestSorterDoesNotCopyWhatIsInOrder(t *testing.T) {
	var words []string
	for serial := range 50 {
		words = append(words, strconv.Itoa(serial+1))
	}
	b := events(t, words...)
	calls := 0
	s := NewSorter(SorterOptions{Out: func(got *record.Batch) {
		if calls++; len(got.Recs) != len(b.Recs) || !bytes.Equal(got.Buf, b.Buf) {
			t.Errorf("%d of %d records at once", len(got.Recs), len(b.Recs))
		}
	}})
	s.Add(b, audittest.Epoch)
	n := testing.AllocsPerRun(50, func() {
		for i := range b.Recs {
			b.Recs[i].Serial += uint32(len(b.Recs))
		}
		s.Add(b, audittest.Epoch)
	})
	if n > 0 || calls != 52 {
		t.Errorf("%v allocations for each of %d batches", n, calls)
	}
}
