package recovery

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/event"
	"audisp-relay/stream"
)

// call is the SYSCALL record of an event, and its end.
func call(millis int64, serial uint32) string {
	id := fmt.Sprintf("msg=audit(%d.%03d:%d):", millis/1000, millis%1000, serial)
	return "type=SYSCALL " + id + ` arch=c000003e syscall=2 success=no exit=-2 a0=1 a1=2 a2=3 a3=4 items=0 ppid=1 pid=2 auid=1 uid=0 comm="x" exe="/x" key=(null)` + "\n" +
		"type=PROCTITLE " + id + " proctitle=\"x\"\ntype=EOE " + id + " \n"
}

// batchOf is the records of a text.
func batchOf(text string) *stream.Batch {
	var b stream.Batch
	sp := stream.NewSplitter()
	sp.Cut(&b, copy(sp.Space(), text))
	b.Buf = append([]byte(nil), b.Buf...)
	return &b
}

// TestTheTimeOfAnEventIsNotThatOfItsWriting: where the log begins to lead does not go
// by the time of one event, which may have waited for hours, nor by a clock that was
// wrong.
func TestTheTimeOfAnEventIsNotThatOfItsWriting(t *testing.T) {
	now := time.Now().UnixMilli()
	const hour, year = 3_600_000, 365 * 24 * 3_600_000
	events := func(from, to uint32, millis int64) (text string) {
		for n := from; n <= to; n++ {
			text += call(millis, n)
		}
		return text
	}
	for name, c := range map[string]struct {
		stream   string
		min, max int64 // of where the log begins to lead, from now
		quiet    time.Duration
	}{
		"an old event before a quiet second":     {events(1, 50, now) + call(now-5*hour, 51), -61_000, 0, 2 * time.Second},
		"many old events":                        {events(1, 50, now) + events(51, 90, now-5*hour), -61_000, 0, 2 * time.Second},
		"an event of 1970":                       {events(1, 50, now) + call(0, 51), -61_000, 0, 2 * time.Second},
		"an event of the future":                 {events(1, 50, now) + call(now+year, 51), -61_000, 0, 2 * time.Second},
		"a clock set back":                       {events(1, 600, now+hour) + events(601, 1300, now), -61_000, 0, 2 * time.Second},
		"a clock set back a moment ago":          {events(1, 600, now+hour) + events(601, 602, now), -61_000, 0, 2 * time.Second},
		"a hole in front of an old event":        {events(1, 50, now) + call(now-5*hour, 53), -61_000, 0, 1200 * time.Millisecond},
		"a hole after the clock was set back":    {events(1, 600, now+hour) + events(601, 1300, now) + call(now, 1302), -61_000, 0, 1200 * time.Millisecond},
		"a hole just after it was set back":      {events(1, 600, now+hour) + call(now, 602), -61_000, 0, 1200 * time.Millisecond},
		"an old event without its end":           {events(1, 50, now) + strings.Split(call(now-5*hour, 51), "\n")[1] + "\n" + call(now, 52), -61_000, 0, 1200 * time.Millisecond},
		"an old event that is cut":               {events(1, 50, now) + call(now-5*hour, 51)[:200] + "\n" + call(now, 52), -61_000, 0, 0},
		"a hole after the stream stood for long": {events(1, 50, now-hour) + events(52, 60, now), -hour - 2000, -hour + 2000, 1200 * time.Millisecond},
	} {
		f := New(Options{Log: NewLog("/nonexistent"), Tracker: event.NewTracker(event.Options{}), Out: new(collector), Say: zap.NewNop()})
		for text := c.stream; text != ""; { // as it comes: some at a time
			n := min(len(text), 4096)
			n += strings.IndexByte(text[n-1:], '\n')
			f.Take(batchOf(text[:n]))
			text = text[n:]
		}
		if c.quiet > 0 {
			f.look(time.Now().Add(c.quiet), false)
		}
		if f.entry == nil {
			t.Errorf("%s: the log does not lead", name)
			continue
		}
		if at := f.entry.millis - now; at < c.min || at > c.max+1000 {
			t.Errorf("%s: searched from %d ms on, want %d to %d", name, at, c.min, c.max)
		}
	}
}

// TestSearchesAreBounded: no more than so many bytes before the log's end are looked
// at, and it is said when that leaves something out.
func TestSearchesAreBounded(t *testing.T) {
	a := startFake(t, t.TempDir(), 9)
	lines := 0
	for range 4 {
		for range 500 {
			a.write(record(lines, 200))
			lines++
		}
		a.rotate(nil)
	}
	for range 100 {
		a.write(record(lines, 200))
		lines++
	}
	l := NewLog(a.path)
	defer l.Close()
	for _, c := range []struct {
		back   int64
		millis int
		first  int
		cut    bool
	}{
		{0, -1, 0, false}, {1 << 30, -1, 0, false}, {200 * 50, -1, lines - 50, true}, {200*50 + 7, -1, lines - 50, true},
		{200 * 100, -1, lines - 100, true}, {200 * 350, -1, lines - 350, true}, {200 * 1999, -1, lines - 1999, true}, {200 * 2100, -1, 0, false},
		{200 * 350, lines - 20 + 2000, lines - 20, false},
	} {
		p, cut, err := l.SeekTime(1_700_000_000_000+int64(c.millis), c.back)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Go(p); err != nil {
			t.Fatal(err)
		}
		if got := poll(t, l); !strings.HasPrefix(got, record(c.first, 200)) || cut != c.cut {
			t.Errorf("%d bytes back, from %d on: %.50q, cut %v; want line %d, %v", c.back, c.millis, got, cut, c.first, c.cut)
		}
	}
}

// TestALineOfTheFutureLeadsNoSearchAstray: a line with a time that nobody can have
// written yet, as one that a program forges may have.
func TestALineOfTheFutureLeadsNoSearchAstray(t *testing.T) {
	now := time.Now().UnixMilli()
	const lines, step = 3000, 100
	line := func(millis int64, n int) string {
		return fmt.Sprintf("type=USER msg=audit(%d.%03d:%d): pid=1 msg='%0200d'\n", millis/1000, millis%1000, n, n)
	}
	at := func(n int) int64 { return now - int64(lines-n)*step }
	for name, forged := range map[string][]int{"one early": {3}, "one in the middle": {lines / 2}, "one late": {lines - 3}, "many": {1, 500, 501, 1499, 1500, 2000, 2999}} {
		var text strings.Builder
		for n := range lines {
			for _, k := range forged {
				if n == k {
					text.WriteString(line(now+1<<40, 4_000_000_000))
				}
			}
			text.WriteString(line(at(n), n))
		}
		path := t.TempDir() + "/audit.log"
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		l := NewLog(path)
		l.linear, l.probe = 16<<10, 4<<10
		for n := 0; n < lines; n += 97 {
			p, _, err := l.SeekTime(at(n)+seekMargin, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Go(p); err != nil {
				t.Fatal(err)
			}
			if got, _, _ := nextText(t, l); !strings.HasPrefix(got, line(at(n), n)) {
				t.Errorf("%s, line %d: goes to %.60q", name, n, got)
			}
			if _, err = l.SeekAfter(idOf(line(at(n), n))); err != nil {
				t.Errorf("%s, line %d: %v", name, n, err)
			}
		}
		l.Close()
	}
}
