package spool

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// writeForEver is the child of TestAKillCostsNothingStored: it appends frames and says of each what
// is stored, until it is killed.
func writeForEver(dir string) {
	fail := func(err error) {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	s, err := Open(Options{Dir: dir, MaxSize: 1 << 30, SegmentSize: 1 << 20})
	if err != nil {
		fail(err)
	}
	for next := s.Next(); ; {
		n := 1 + rand.IntN(100)
		f, err := s.Append(next, batch(next, n))
		if err != nil {
			fail(err)
		}
		next = f.end()
		os.Stdout.WriteString(strconv.FormatUint(next, 10) + "\n")
	}
}

// TestAKillCostsNothingStored: kill -9 while writing loses nothing that Append has taken, over
// several runs in one directory.
func TestAKillCostsNothingStored(t *testing.T) {
	dir := t.TempDir()
	var acked uint64
	for range 4 {
		acked = killed(t, dir, 100+rand.IntN(200))
		s := open(t, dir, nil)
		next := uint64(0)
		for _, f := range s.Frames() {
			if f.First != next {
				t.Fatalf("frame %d follows %d", f.First, next)
			}
			check(t, s, f)
			next = f.end()
		}
		if next < acked {
			t.Fatalf("stored up to %d, %d was said to be", next, acked)
		}
		if d := s.Damage(); d.Frames != 0 || d.Uncounted > 4 || s.Next() != next {
			t.Fatalf("damage %+v, next %d after %d", d, s.Next(), next)
		}
		kill(s)
	}
}

// killed runs a writer, kills it after so many frames, and returns what it said
// last.
func killed(t *testing.T, dir string, frames int) (acked uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_WRITER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == frames {
			cmd.Process.Kill()
		}
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		if v, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			acked = max(acked, v)
		}
	}
	cmd.Wait() // killed
	return acked
}
