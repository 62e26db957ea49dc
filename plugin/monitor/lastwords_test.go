package monitor

import (
	"strings"
	"testing"
	"time"
)

// TestLastWordsWaitForNobody: a stderr that takes nothing keeps no worker from being followed by another.
func TestLastWordsWaitForNobody(t *testing.T) {
	stuck := make(chan struct{})
	l, theirs, err := newLastWords(func([]byte) { <-stuck })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.WriteString("panic: nobody reads it\n"); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if said := l.end(); said != "" {
		t.Errorf("%q", said)
	}
	close(stuck)
	<-l.done
}

func TestLastWords(t *testing.T) {
	for _, tt := range []struct{ writes, want string }{
		{"", ""}, {"nothing bad\n", ""},
		{"something\npanic: of it\n\ngoroutine 1", `"panic: of it\n\ngoroutine 1"`},
		{"panic: \x1b[31m \u009b31m \u202e\u2028 \xff\x00", `"panic: \x1b[31m \u009b31m \u202e\u2028 \xff\x00"`},
		{strings.Repeat("line\n", maxKept) + "fatal error: out of memory\n" + strings.Repeat("x", 2*maxKept), "out of memory"},
	} {
		l, theirs, err := newLastWords(func([]byte) {})
		if err != nil {
			t.Fatal(err)
		}
		for rest := tt.writes; rest != ""; rest = rest[min(len(rest), 1000):] {
			if _, err := theirs.WriteString(rest[:min(len(rest), 1000)]); err != nil {
				t.Fatal(err)
			}
		}
		theirs.Close()
		if got := l.end(); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) || len(got) > 2*maxSaid {
			t.Errorf("%.40q: %.80q", tt.writes, got)
		}
	}
}

// TestWordsArePassedOnSlowly: a worker that writes without end fills no journal; what a panic says is passed on as a whole.
func TestWordsArePassedOnSlowly(t *testing.T) {
	now := time.Unix(1000, 0)
	l := lastWords{room: maxPassed, at: now}
	passed := 0
	for range 1000 {
		passed += l.passed(4<<10, now)
	}
	if passed != maxPassed {
		t.Errorf("%d bytes are passed on at once", passed)
	}
	for range 100 {
		now = now.Add(time.Second)
		passed += l.passed(1<<20, now)
	}
	if want := maxPassed + 100*passedPerSecond; passed != want {
		t.Errorf("%d bytes after 100 s, want %d", passed, want)
	}
	if n := l.passed(1<<20, now.Add(time.Hour)); n != maxPassed {
		t.Errorf("%d bytes an hour later", n)
	}
}
