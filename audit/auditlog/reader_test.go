package auditlog

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
)

func TestLineTornAtEveryByte(t *testing.T) {
	line := logLine(7, 90)
	for k := range len(line) {
		a := startFake(t, t.TempDir(), 5)
		l := New(a.path)
		a.write(logLine(1, 80) + line[:k])
		same(t, "before", poll(t, l), logLine(1, 80))
		a.write(line[k:])
		same(t, "after", poll(t, l), line)
		l.Close()
	}
}

func TestTornLineOfARotatedFileIsHandedOn(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	l := New(a.path)
	defer l.Close()
	a.write(logLine(1, 80) + "type=PATH msg=audit(1700000000.001:2): item=0 na")
	same(t, "live", poll(t, l), logLine(1, 80))
	a.rotate(nil)
	a.write(logLine(2, 80))
	same(t, "rotated", poll(t, l), "type=PATH msg=audit(1700000000.001:2): item=0 na\n"+logLine(2, 80))
	same(t, "again", poll(t, l), "")
}

func TestLongLineInPieces(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	l := New(a.path)
	defer l.Close()
	want := logLine(1, record.MaxRecord*5+17) + logLine(2, 100)
	a.write(want)
	same(t, "whole", poll(t, l), want)
	// Exactly a piece long, without newline, then rotated.
	torn := strings.Repeat("y", record.MaxRecord)
	a.write(torn)
	got := poll(t, l)
	a.rotate(nil)
	a.write(logLine(3, 80))
	same(t, "torn", got+poll(t, l), torn+"\n"+logLine(3, 80))
}

func TestBinaryStartIsLines(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	l := New(a.path)
	defer l.Close()
	want := "\x00\x00\x00\x00\x10\x00\x00\x00\x14\x05\x00\x00\x10\x00\x00\x00\n" + logLine(1, 80) + strings.Repeat("\x00", 5000) + "\n" + logLine(2, 80)
	a.write(want)
	same(t, "NULs", poll(t, l), want)
}

func TestRotationAtEveryStep(t *testing.T) {
	for _, numLogs := range []int{2, 3, 5, 0} {
		a := startFake(t, t.TempDir(), numLogs)
		l := New(a.path)
		var got, want strings.Builder
		n := 0
		write := func() {
			n++
			a.write(logLine(n, 100))
			want.WriteString(logLine(n, 100))
		}
		for range 12 {
			write()
			a.rotate(func() { got.WriteString(poll(t, l)) })
			write()
		}
		got.WriteString(poll(t, l))
		same(t, "all", got.String(), want.String())
		l.Close()
	}
}

func TestSeveralRotationsBetweenPolls(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	l := New(a.path)
	defer l.Close()
	var want string
	for n := range 40 {
		a.write(logLine(n, 100))
		want += logLine(n, 100)
		if n%10 == 9 {
			same(t, "four rotations", poll(t, l), want)
			want = ""
		}
		if n%10 < 4 {
			a.rotate(nil)
		}
	}
}

// The file that is read and the next ones are deleted by rotations before
// reading comes to them: what is held open is read nevertheless.
func TestDeletedFilesAreFinished(t *testing.T) {
	a := startFake(t, t.TempDir(), 2)
	l := New(a.path)
	defer l.Close()
	a.write(logLine(0, 600<<10)) // more than two reads
	want := logLine(0, 600<<10)
	first, _, err := nextText(t, l)
	if err != nil {
		t.Fatal(err)
	}
	got := first
	for n := 1; n < 7; n++ {
		a.rotate(nil)
		a.write(logLine(n, 600<<10))
		want += logLine(n, 600<<10)
		text, _, err := nextText(t, l) // looks, and reads a part
		if err != nil {
			t.Fatal(err)
		}
		got += text
	}
	same(t, "deleted", got+poll(t, l), want)
}

func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

// KEEP_LOGS keeps any number of files; few of them are open at a time.
func TestFewOfManyFilesAreHeldOpen(t *testing.T) {
	dir := t.TempDir()
	a := startFake(t, dir, 0)
	l := New(a.path)
	same(t, "empty", poll(t, l), "")
	var want, got string
	for n := range 40 {
		a.write(logLine(n, 100))
		want += logLine(n, 100)
		a.rotate(nil)
	}
	for len(got) < len(want) {
		text, _, err := nextText(t, l)
		if err != nil {
			t.Fatal(err)
		}
		got += text
		if n := openFiles(t, dir); n > maxAhead+2 { // one is the writer's
			t.Errorf("%d files open", n)
		}
	}
	same(t, "all", got, want)
	if _, err := l.SeekAfter(idOf(logLine(3, 100))); err != nil {
		t.Error(err)
	}
	l.Close()
	a.must(a.f.Close())
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files open after Close", n)
	}
}

// More files after the current one than are held open, and the first that is
// not is deleted: that is reported, and nothing else is missing.
func TestDeletedBeyondWhatIsHeld(t *testing.T) {
	a := startFake(t, t.TempDir(), 12)
	l := New(a.path)
	defer l.Close()
	write := func(from, to int) (all string) {
		for n := from; n < to; n++ {
			a.write(logLine(n, 200<<10)) // more than one read takes with the next
			all += logLine(n, 200<<10)
			a.rotate(nil)
		}
		return all
	}
	same(t, "empty", poll(t, l), "")
	want := write(0, 11) // the current one and ten after it, then the empty one
	got, _, err := nextText(t, l)
	if err != nil {
		t.Fatal(err)
	}
	write(11, 21) // 0 to 9 are deleted, of which 1 to 8 are held
	more, err := pollErr(t, l)
	if !errors.Is(err, ErrSkipped) {
		t.Fatalf("error %v", err)
	}
	size := len(logLine(0, 200<<10))
	same(t, "held", got+more, want[:9*size])
	rest := poll(t, l)
	same(t, "after", rest[:size], logLine(10, 200<<10))
	if len(rest) != 11*size {
		t.Errorf("%d bytes after the skip, want %d", len(rest), 11*size)
	}
}

// Rotations continue while files are listed and opened.
func TestRotationMeanwhile(t *testing.T) {
	a := startFake(t, t.TempDir(), 30)
	l := New(a.path)
	defer l.Close()
	var want strings.Builder
	var read atomic.Int64 // lines
	done, failed := make(chan struct{}), make(chan struct{})
	defer func() { close(failed); <-done }()
	go func() {
		defer close(done)
		for n := range 1000 {
			line := logLine(n, 100)
			want.WriteString(line)
			if _, err := a.f.WriteString(line); err != nil {
				t.Error(err)
				return
			}
			if n%4 == 3 {
				a.rotate(nil)
				time.Sleep(time.Millisecond)
			}

			// The file of the oldest unread line must still be there, however slow the reader is.
			for int64(n)-read.Load() > 4*20 {
				select {
				case <-failed:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}
	}()
	var got strings.Builder
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		text, err := pollErr(t, l)
		got.WriteString(text)
		read.Add(int64(strings.Count(text, "\n")))
		if err != nil {
			t.Fatalf("after %d bytes: %v", got.Len(), err)
		}
		if _, err := l.SeekEnd(); err != nil {
			t.Fatalf("SeekEnd: %v", err)
		}
	}
	same(t, "all", got.String(), want.String())
}

// What a listing sees of a file that is renamed meanwhile: it is there twice.
func TestAFileSeenTwiceIsReadOnce(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	a.write(logLine(1, 100))
	a.rotate(nil)
	a.write(logLine(2, 100))
	a.must(os.Link(a.rotated(1), a.rotated(2)))
	l := New(a.path)
	defer l.Close()
	same(t, "once", poll(t, l), logLine(1, 100)+logLine(2, 100))
}

func TestSkippedFilesAreReported(t *testing.T) {
	a := startFake(t, t.TempDir(), 3)
	l := New(a.path)
	defer l.Close()
	a.write(logLine(0, 100))
	same(t, "first", poll(t, l), logLine(0, 100))
	for n := 1; n < 8; n++ {
		a.write(logLine(n, 100))
		a.rotate(nil)
	}
	a.write(logLine(8, 100))
	// Of the file that was open the end is still had; 2 to 5 are deleted.
	got, err := pollErr(t, l)
	same(t, "before", got, logLine(1, 100))
	if !errors.Is(err, ErrSkipped) {
		t.Errorf("error %v", err)
	}
	same(t, "after", poll(t, l), logLine(6, 100)+logLine(7, 100)+logLine(8, 100))
}

// Any schedule of writing, rotating and reading: all lines in order, once; some
// may be missing only where ErrSkipped says so. Every place can be gone to.
func TestFollowProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		numLogs := rapid.SampledFrom([]int{2, 3, 5, 0}).Draw(rt, "num_logs")
		a := startFake(rt, scratch(t), numLogs)
		defer func() { a.f.Close() }()
		l := New(a.path)
		defer l.Close()
		var want []string // lines, with their newline
		next, torn := 0, ""
		rotations, may, skipped := 0, false, false
		read := func() bool {
			text, place, err := nextText(rt, l)
			if errors.Is(err, ErrSkipped) {
				if !may {
					rt.Fatalf("skipped without need: %v", err)
				}
				skipped = true
				return true
			}
			if errors.Is(err, io.EOF) {
				return false
			}
			if err != nil {
				rt.Fatalf("Next: %v", err)
			}
			for skipped && len(want) > 0 && !strings.HasPrefix(text, want[0]) && !strings.HasPrefix(want[0], text) {
				want = want[1:]
			}
			skipped = false
			want = consume(rt, text, want)
			// The same place again.
			if err := l.Go(place); err != nil {
				rt.Fatalf("Go(%v): %v", place, err)
			}
			again, at, err := nextText(rt, l)
			if err != nil || at != place || !strings.HasPrefix(again, text) {
				rt.Fatalf("again at %v: %q at %v, %v; was %q", place, again, at, err, text)
			}
			want = consume(rt, again[len(text):], want)
			return true
		}
		read() // it begins with the oldest file there is now
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"write", "write", "tear", "rotate", "read", "drain"}).Draw(rt, "step") {
			case "write":
				for range rapid.IntRange(1, 8).Draw(rt, "lines") {
					line := logLine(next, rapid.SampledFrom([]int{0, 200, 9000, 70000}).Draw(rt, "size"))
					next++
					a.write(line)
					want, torn = append(want, torn+line), ""
				}
			case "tear":
				// No two are equal: after ErrSkipped the first of them would be taken for the second.
				part := "t" + strconv.Itoa(next) + logLine(next, 100)[:rapid.IntRange(0, 97).Draw(rt, "torn")]
				next++
				a.write(part)
				torn += part
			case "rotate":
				a.rotate(nil)
				if torn != "" {
					want, torn = append(want, torn+"\n"), ""
				}
				if rotations++; numLogs > 0 && rotations >= numLogs {
					may = true
				}
			case "read":
				read()
			case "drain":
				for read() {
				}
				rotations = 0
			}
		}
		for read() {
		}
		if len(want) > 0 && !skipped {
			rt.Fatalf("%d lines are missing at the end, the first is %.100q", len(want), want[0])
		}
	})
}

// consume checks that text is the first of the lines and returns the others.
func consume(t tb, text string, want []string) []string {
	t.Helper()
	for text != "" {
		if len(want) == 0 {
			t.Fatalf("more than was written: %.200q", text)
		}
		if !strings.HasPrefix(text, want[0]) {
			// A long line may come in pieces over several batches.
			if strings.HasPrefix(want[0], text) && !strings.HasSuffix(text, "\n") {
				want[0] = want[0][len(text):]
				return want
			}
			t.Fatalf("got %.200q, want %.200q", text, want[0])
		}
		text, want = text[len(want[0]):], want[1:]
	}
	return want
}
