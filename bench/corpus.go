package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"time"

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

// firstSerial is that of the stream's first event; perMilli is how many events a millisecond it has, a little more than any program
// takes. It begins startAfter from when it is made, which takes about as long.
const (
	firstSerial, perMilli = 1_000_000, 300
	startAfter            = 500 * time.Millisecond
)

// makeCorpus repeats the capture up to the wanted number of records. Each
// repetition has fresh serials, so that no program takes its
// events for those of the one before; they are as dense as the kernel's, so that
// none are missing. It is another session, too: who remembers what it has seen
// finds in a repetition what is alike there, not all of it again. Its events are of now, as those
// of auditd are: of others the relay knows no processes, and learns of each call as if it were the first.
//
// Events with an EXECVE record are left out: laurel 0.5.1 keeps a process for
// each of them and its cost grows with the square of their number. On a stream
// that never ends its processes the figure would say nothing else.
// So are auditd's own, which have serials of their own: among the kernel's each would look like a loss.
func makeCorpus(t tester, path string, records int) corpus {
	lines := captureLines(t)
	out, err := os.Create(path)
	lab.Check(t, err, "bulk stream")
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	c := corpus{path: path}
	serials := serials{next: firstSerial, start: time.Now().Add(startAfter).UnixMilli()}

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

// renew makes the corpus once more, with times of now.
func (c corpus) renew(t tester) { makeCorpus(t, c.path, c.records) }

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
	return slices.DeleteFunc(lines, func(line []byte) bool {
		return execs[eventID(line)] || bytes.HasPrefix(line, []byte("type=DAEMON_"))
	})
}

// eventID is what the records of one event share: "SEC.MS:SERIAL".
func eventID(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte("msg=audit("))
	id, _, _ := bytes.Cut(rest, []byte(")"))
	return string(id)
}

// serials gives the events of a repetition new serials, in order and dense, and their times.
type serials struct {
	of    map[string]uint32 // by the event's own
	next  uint32
	start int64 // ms since 1970: the time of the first event
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

// shift gives a record the time and the serial of its event, and moves it round sessions on.
func shift(line []byte, round int, serials *serials) ([]byte, error) {
	const mark = "msg=audit("
	i := bytes.Index(line, []byte(mark))
	if i < 0 {
		return nil, fmt.Errorf("a record of the capture has no id: %q", line)
	}
	head, rest := line[:i+len(mark)], line[i+len(mark):]
	_, rest, ok1 := bytes.Cut(rest, []byte(":"))
	own, rest, ok2 := bytes.Cut(rest, []byte(")"))
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("a record of the capture has no id: %q", line)
	}
	rest = bytes.Replace(rest, []byte(" ses=1 "), fmt.Appendf(nil, " ses=%d ", round+1), 1)
	serial := serials.fresh(string(own))
	millis := serials.start + int64(serial-firstSerial)/perMilli
	return fmt.Appendf(nil, "%s%d.%03d:%d)%s", head, millis/1000, millis%1000, serial, rest), nil
}
