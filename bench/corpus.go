package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"

	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// capture is where the bulk stream comes from: what a real auditd 3.0.9 wrote
// to a plugin.
const capture = "audit-3.0.9-enriched.string.gz"

// corpus is the bulk stream: a file of records like those of a busy day.
type corpus struct {
	path    string
	records int
}

// makeCorpus repeats the capture up to the wanted number of records. Each
// repetition is later and has fresh serials, so that no program takes its
// events for those of the one before; they are as dense as the kernel's, so that
// none are missing. It is another session, too: who remembers what it has seen
// finds in a repetition what is alike there, not all of it again.
//
// Events with an EXECVE record are left out: laurel 0.5.1 keeps a process for
// each of them and its cost grows with the square of their number. On a stream
// that never ends its processes the figure would say nothing else.
func makeCorpus(t tester, path string, records int) corpus {
	lines := captureLines(t)
	out, err := os.Create(path)
	lab.Check(t, err, "bulk stream")
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	c := corpus{path: path}
	serials := serials{next: 1_000_000}

	for round := 0; c.records < records; round++ {
		serials.of = make(map[string]uint32)
		for _, line := range lines {
			moved, err := shift(line, round, &serials)
			lab.Check(t, err, "bulk stream")
			w.Write(moved) // an error stays until Flush
			c.records++
		}
	}
	lab.Check(t, w.Flush(), "bulk stream")
	return c
}

// tester is what the corpus is made for: a case of the bench, or a test.
type tester interface {
	lab.TB
	Fatal(args ...any)
}

func captureLines(t tester) [][]byte {
	lines := bytes.SplitAfter(captures.Read(t, capture), []byte("\n"))
	lines = lines[:len(lines)-1]
	execs := map[string]bool{}
	for _, line := range lines {
		if bytes.HasPrefix(line, []byte("type=EXECVE ")) {
			execs[eventID(line)] = true
		}
	}
	return slices.DeleteFunc(lines, func(line []byte) bool { return execs[eventID(line)] })
}

// eventID is what the records of one event share: "SEC.MS:SERIAL".
func eventID(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte("msg=audit("))
	id, _, _ := bytes.Cut(rest, []byte(")"))
	return string(id)
}

// serials gives the events of a repetition new serials, in order and dense.
type serials struct {
	of   map[string]uint32 // by the event's own
	next uint32
}

func (s *serials) fresh(own string) uint32 {
	n, ok := s.of[own]
	if !ok {
		n = s.next
		s.of[own] = n
		s.next++
	}
	return n
}

// shift moves a record round hours on, as the capture spans less than one, and as many sessions.
func shift(line []byte, round int, serials *serials) ([]byte, error) {
	const mark = "msg=audit("
	i := bytes.Index(line, []byte(mark))
	if i < 0 {
		return nil, fmt.Errorf("a record of the capture has no id: %q", line)
	}
	head, rest := line[:i+len(mark)], line[i+len(mark):]
	sec, rest, ok1 := bytes.Cut(rest, []byte("."))
	ms, rest, ok2 := bytes.Cut(rest, []byte(":"))
	serial, rest, ok3 := bytes.Cut(rest, []byte(")"))
	s, err := strconv.ParseInt(string(sec), 10, 64)
	if !ok1 || !ok2 || !ok3 || err != nil {
		return nil, fmt.Errorf("a record of the capture has no id: %q", line)
	}
	rest = bytes.Replace(rest, []byte(" ses=1 "), fmt.Appendf(nil, " ses=%d ", round+1), 1)
	return fmt.Appendf(nil, "%s%d.%s:%d)%s", head, s+int64(round)*3600, ms, serials.fresh(string(serial)), rest), nil
}
