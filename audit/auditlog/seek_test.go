package auditlog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// idOf is the identity of a line.
func idOf(line string) record.ID {
	var b record.Batch
	idSplitter.Cut(&b, copy(idSplitter.Space(), line))
	return b.ID(0)
}

var idSplitter = stream.NewSplitter()

// written is a line of a made-up log and where it is.
type written struct {
	text string
	id   record.ID
	file int // 0 is the oldest
	off  int64
}

// madeUp is how a random log is made.
type madeUp struct {
	numFiles, lines int // lines of a file
	perMilli        int // how many come in a millisecond
	straggle        int // one in so many is older by up to straggleBy ms; 0 for none
	straggleBy      int64
	reboots         int // one in so many lines is followed by one; 0 for none
	clockBack       int64
	node            string
}

// write makes the files in dir, each last written when its last line was.
func (m madeUp) write(t tb, rng *rand.Rand, dir string) (path string, all []written) {
	a := startFake(t, dir, 0)
	defer func() { a.f.Close() }()
	now, serial := int64(1_700_000_000_000), uint32(rng.Uint32N(1000))
	daemon := uint32(rng.Uint32N(10000))
	for file := range m.numFiles {
		var text strings.Builder
		for range m.lines {
			if rng.IntN(max(m.perMilli, 1)) == 0 {
				now += 1 + rng.Int64N(3)
			}
			millis := now
			if m.straggle > 0 && rng.IntN(m.straggle) == 0 {
				millis -= rng.Int64N(m.straggleBy)
			}
			if rng.IntN(3) == 0 {
				serial++
			}
			if m.reboots > 0 && rng.IntN(m.reboots) == 0 {
				serial, now = 1, now+30_000-rng.Int64N(m.clockBack)
			}
			id := fmt.Sprintf("audit(%d.%03d:%d)", millis/1000, millis%1000, serial)
			line := fmt.Sprintf("%stype=PATH msg=%s: item=%d name=%q inode=%d", m.node, id, rng.IntN(2), strings.Repeat("/d", rng.IntN(40)), len(all))
			switch rng.IntN(30) {
			case 0:
				daemon++
				line = fmt.Sprintf("%stype=DAEMON_ROTATE msg=audit(%d.%03d:%d): op=rotate-logs n=%d res=success", m.node, now/1000, now%1000, daemon, len(all))
			case 1:
				line = fmt.Sprintf("garbage %d", len(all))
			}
			line += "\n"
			all = append(all, written{line, idOf(line), file, int64(text.Len())})
			text.WriteString(line)
		}
		a.write(text.String())
		a.must(os.Chtimes(a.path, time.Time{}, time.UnixMilli(now)))
		if file < m.numFiles-1 {
			a.rotate(nil)
		}
	}
	return a.path, all
}

// follows checks that p is the place of line i of all, the end for len(all).
func follows(t tb, l *Reader, p Position, all []written, i int) {
	t.Helper()
	if err := l.Go(p); err != nil {
		t.Fatalf("Go: %v", err)
	}
	text, _, err := nextText(t, l)
	switch {
	case i == len(all) && errors.Is(err, io.EOF):
	case err != nil:
		t.Fatalf("next at line %d of %d: %v", i, len(all), err)
	case i == len(all) || !strings.HasPrefix(text, all[i].text):
		t.Fatalf("the place is before %.150q, want before line %d of %d", text, i, len(all))
	}
}

func TestSeekAfterProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := madeUp{
			numFiles:   rapid.IntRange(1, 6).Draw(rt, "files"),
			lines:      rapid.IntRange(0, 600).Draw(rt, "lines"),
			perMilli:   rapid.SampledFrom([]int{1, 30, 5000}).Draw(rt, "per ms"),
			straggle:   rapid.SampledFrom([]int{0, 2, 50}).Draw(rt, "straggle"),
			straggleBy: rapid.SampledFrom([]int64{10, 600_000}).Draw(rt, "straggle by"),
			reboots:    rapid.SampledFrom([]int{0, 500, 5000}).Draw(rt, "reboots"),
			clockBack:  rapid.SampledFrom([]int64{1, 3_000_000, 1e12}).Draw(rt, "clock back"),
			node:       rapid.SampledFrom([]string{"", "node=web1.example "}).Draw(rt, "node"),
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		path, all := m.write(rt, rng, scratch(t))
		l := New(path)
		defer l.Close()
		if rapid.Bool().Draw(rt, "halve") { // instead of reading whole files
			l.linear, l.probe = 2<<10, 512
		}
		for range min(10, len(all)) {
			i := rng.IntN(len(all))
			p, err := l.SeekAfter(all[i].id)
			if err != nil {
				rt.Fatalf("line %d of %d, %q: %v", i, len(all), all[i].text, err)
			}
			follows(rt, l, p, all, i+1)
		}
		p, err := l.SeekEnd()
		if err != nil {
			rt.Fatalf("SeekEnd: %v", err)
		}
		follows(rt, l, p, all, len(all))
		gone := idOf(fmt.Sprintf("type=CWD msg=audit(%d.000:7): cwd=\"/\"\n", 1_700_000_000+rng.Int64N(100)))
		p, err = l.SeekAfter(gone)
		if !errors.Is(err, ErrGone) && !errors.Is(err, ErrAbsent) {
			rt.Fatalf("SeekAfter of what is not there: %v", err)
		}
		if errors.Is(err, ErrGone) {
			follows(rt, l, p, all, 0)
		}
	})
}

// While the clock goes forward the place is the first line within the margin,
// however old the stragglers are.
func TestSeekTimeProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := madeUp{
			numFiles:   rapid.IntRange(1, 6).Draw(rt, "files"),
			lines:      rapid.IntRange(1, 1000).Draw(rt, "lines"),
			perMilli:   rapid.SampledFrom([]int{1, 30, 5000}).Draw(rt, "per ms"),
			straggle:   rapid.SampledFrom([]int{0, 2, 50}).Draw(rt, "straggle"),
			straggleBy: 600_000,
		}
		halve := rapid.Bool().Draw(rt, "halve")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		path, all := m.write(rt, rng, scratch(t))
		l := New(path)
		defer l.Close()
		if halve {
			l.linear, l.probe = 16<<10, 4<<10
		}
		for range 10 {
			millis := all[rng.IntN(len(all))].id.Millis + rng.Int64N(5000) - 1000
			want := 0
			for want < len(all) && (all[want].id.Type == 0 || all[want].id.Millis < millis-seekMargin) {
				want++
			}
			p, _, err := l.SeekTime(millis, 0)
			if err != nil {
				rt.Fatalf("SeekTime: %v", err)
			}
			follows(rt, l, p, all, want)
		}
	})
}

func TestSeekTimeMargin(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	for _, ms := range []int{0, 999, 1000, 1001, 3000, 3001} {
		a.write(logLine(ms, 100))
	}
	l := New(a.path)
	defer l.Close()
	for _, c := range []struct{ millis, first int }{{0, 0}, {2999, 999}, {3000, 1000}, {3001, 1001}, {3002, 3000}, {5001, 3001}} {
		p, _, err := l.SeekTime(1_700_000_000_000+int64(c.millis), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Go(p); err != nil {
			t.Fatal(err)
		}
		if got := poll(t, l); !strings.HasPrefix(got, logLine(c.first, 100)) {
			t.Errorf("time %d: first is %.60q, want that of %d", c.millis, got, c.first)
		}
	}
	p, _, err := l.SeekTime(1_700_000_000_000+5002, 0)
	if err != nil {
		t.Fatal(err)
	}
	end, err := l.SeekEnd()
	if err != nil || p != end {
		t.Errorf("later than all: %v, the end is %v, %v", p, end, err)
	}
}

// A file with an old time of last writing, as a copy may have, is not passed over.
func TestSeekDoesNotTrustFileTimes(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	a.write(logLine(1, 100) + logLine(10_000, 100))
	a.must(os.Chtimes(a.path, time.Time{}, time.UnixMilli(1_000_000_000_000)))
	l := New(a.path)
	defer l.Close()
	p, _, err := l.SeekTime(1_700_000_010_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(len(logLine(1, 100))); p.Off != want {
		t.Errorf("place %v, want offset %d", p, want)
	}
}

func TestSeekEndKeepsATornLine(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	line := logLine(2, 5000)
	a.write(logLine(1, 100) + line[:4096])
	l := New(a.path)
	defer l.Close()
	p, err := l.SeekEnd()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Go(p); err != nil {
		t.Fatal(err)
	}
	same(t, "torn", poll(t, l), "")
	a.write(line[4096:])
	same(t, "complete", poll(t, l), line)
}

// A torn last line: in audit.log it is not there yet, in a rotated file it is.
func TestSeekAfterATornLine(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	line := logLine(2, 300)
	a.write(logLine(1, 100) + strings.TrimSuffix(line, "\n"))
	l := New(a.path)
	defer l.Close()
	if p, err := l.SeekAfter(idOf(line)); !errors.Is(err, ErrAbsent) || p.Off != 100 {
		t.Errorf("live: %v, %v", p, err)
	}
	a.rotate(nil)
	a.write(logLine(3, 100))
	p, err := l.SeekAfter(idOf(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Go(p); err != nil {
		t.Fatal(err)
	}
	same(t, "after it", poll(t, l), logLine(3, 100))
}

// Seeking while following disturbs neither, and places hold over rotations.
func TestSeekWhileFollowing(t *testing.T) {
	a := startFake(t, t.TempDir(), 4)
	l := New(a.path)
	defer l.Close()
	var want, got strings.Builder
	places := map[Position]string{}
	for n := range 60 {
		a.write(logLine(n, 200) + logLine(n+1000, 100)[:50])
		want.WriteString(logLine(n, 200))
		got.WriteString(poll(t, l))
		p, err := l.SeekAfter(idOf(logLine(max(0, n-7), 200)))
		if err == nil {
			places[p] = logLine(max(0, n-7)+1000, 100)
		} else if n < 9 || !errors.Is(err, ErrGone) {
			t.Errorf("line %d: %v", n-7, err)
		}
		a.write(logLine(n+1000, 100)[50:])
		want.WriteString(logLine(n+1000, 100))
		if n%5 == 4 {
			a.rotate(nil)
		}
	}
	got.WriteString(poll(t, l))
	same(t, "followed", got.String(), want.String())
	found := 0
	for p, line := range places {
		err := l.Go(p)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found++
		if text := poll(t, l); !strings.HasPrefix(text, line) {
			t.Errorf("at %v: %.80q, want %q", p, text, line)
		}
	}
	if found < 8 { // three full files are left, less the lag
		t.Errorf("only %d of %d places are left", found, len(places))
	}
}

// Inodes are used again: a new audit.log often gets that of the file its
// rotation deleted. Places must not be confused by it, with no file open.
func TestInodeUsedAgain(t *testing.T) {
	a := startFake(t, t.TempDir(), 2)
	l := New(a.path)
	defer l.Close()
	var last Position
	for n := range 10 {
		a.write(logLine(n, 100))
		p, err := l.SeekEnd()
		if err != nil {
			t.Fatal(err)
		}
		if !last.Less(p) {
			t.Errorf("file %d: %v is not after %v", n, p, last)
		}
		last = p
		a.rotate(nil)
	}
}

// What auditd keeps as shipped, 5 files of 8 MiB with thousands of lines in the
// same ms: a place in each part is found again.
func TestSeekAfterFullSize(t *testing.T) {
	path, _, _, _ := fiveFiles(t)
	l := New(path)
	defer l.Close()
	var b record.Batch
	places := map[record.ID]Position{} // after the line
	for n := 0; ; n++ {
		p, err := l.Next(&b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i := n % len(b.Recs); n%16 == 0 {
			places[b.ID(i)] = p.At(&b, i+1)
		}
	}
	if len(places) < 10 {
		t.Fatalf("only %d places to seek", len(places))
	}
	for id, want := range places {
		got, err := l.SeekAfter(id)
		if err != nil || got.Off != want.Off || got.gen != want.gen {
			t.Errorf("record %d: place %v, %v; want %v", id.Serial, got, err, want)
		}
	}
}

func TestPositionAt(t *testing.T) {
	a := startFake(t, t.TempDir(), 2)
	a.write(logLine(1, 100) + logLine(2, 200) + logLine(3, 300))
	l := New(a.path)
	defer l.Close()
	var b record.Batch
	p, err := l.Next(&b)
	if err != nil || len(b.Recs) != 3 {
		t.Fatalf("%d records, %v", len(b.Recs), err)
	}
	for i, want := range []int64{0, 100, 300, 600} {
		if got := p.At(&b, i); got.Off != want || (want > 0 && !p.Less(got)) {
			t.Errorf("record %d at %v, want offset %d", i, got, want)
		}
	}
}

// TestBefore: the lines in front of a place, in an older file too, without the rest of one.
func TestBefore(t *testing.T) {
	path, all := madeUp{numFiles: 3, lines: 40, perMilli: 2}.write(t, rand.New(rand.NewPCG(5, 0)), t.TempDir())
	l := New(path)
	defer l.Close()
	for _, k := range []int{0, 1, 39, 40, 41, 45, 80, 100, 119} {
		var b record.Batch
		place, err := l.SeekAt(all[k].id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		size := 0
		err = l.Before(place, 3000, func(b *record.Batch, i int) {
			got = append(got, string(b.Bytes(i)))
			size += len(b.Bytes(i))
		})
		if err != nil {
			t.Fatal(err)
		}
		if most := min(k, 5); len(got) < most || size > 3000 {
			t.Errorf("line %d: %d lines of %d bytes", k, len(got), size)
		}
		for i, line := range got {
			if want := all[k-len(got)+i].text; strings.TrimSpace(line) != strings.TrimSpace(want) {
				t.Errorf("line %d: got %q, want %q", k, line, want)
			}
		}
		if err := l.Go(place); err != nil {
			t.Fatal(err)
		}
		if at, err := l.Next(&b); err != nil || at != place {
			t.Errorf("line %d: continued at %v, not %v: %v", k, at, place, err)
		}
	}
}
