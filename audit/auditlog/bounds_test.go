package auditlog

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSearchesAreBounded: no more than so many bytes before the log's end are looked
// at, and it is said when that leaves something out.
func TestSearchesAreBounded(t *testing.T) {
	a := startFake(t, t.TempDir(), 9)
	lines := 0
	for range 4 {
		for range 500 {
			a.write(logLine(lines, 200))
			lines++
		}
		a.rotate(nil)
	}
	for range 100 {
		a.write(logLine(lines, 200))
		lines++
	}
	l := New(a.path)
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
		if got := poll(t, l); !strings.HasPrefix(got, logLine(c.first, 200)) || cut != c.cut {
			t.Errorf("%d bytes back, from %d on: %.50q, cut %v; want line %d, %v", c.back, c.millis, got, cut, c.first, c.cut)
		}
	}
}

// TestALineOfTheFutureLeadsNoSearchAstray: a line with a time that no record can have
// written yet, as one that a program forges may have.
func TestALineOfTheFutureLeadsNoSearchAstray(t *testing.T) {
	now := time.Now().UnixMilli()
	const lines, step = 3000, 100
	line := func(millis int64, n uint32) string {
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
			text.WriteString(line(at(n), uint32(n)))
		}
		path := t.TempDir() + "/audit.log"
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		l := New(path)
		l.linear, l.probe = 16<<10, 4<<10
		for n := 0; n < lines; n += 97 {
			p, _, err := l.SeekTime(at(n)+seekMargin, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Go(p); err != nil {
				t.Fatal(err)
			}
			if got, _, _ := nextText(t, l); !strings.HasPrefix(got, line(at(n), uint32(n))) {
				t.Errorf("%s, line %d: goes to %.60q", name, n, got)
			}
			if _, err = l.SeekAfter(idOf(line(at(n), uint32(n)))); err != nil {
				t.Errorf("%s, line %d: %v", name, n, err)
			}
		}
		l.Close()
	}
}
