package lab

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
)

// maxExamples limits how many lines of a kind a report quotes.
const maxExamples = 5

// maxLine is far above the longest record auditd writes (9 015 bytes).
const maxLine = 1 << 20

// Compare says how a stream is held against audit.log. By default byte for
// byte: with log_format=ENRICHED, or name_format set (auditd ≥ 3.0), that is
// what auditd promises. The fields allow for what it does otherwise.
type Compare struct {
	// Raw: with log_format=RAW and no name the log lacks one trailing space that
	// the stream has.
	Raw bool
	// StripNode drops node=… from both sides: audispd 2.8.5 takes it from its
	// own configuration, auditd from another.
	StripNode bool
	// After and Until, when not empty, limit both sides to the lines after the
	// first one with this text and up to the first one with that text
	// (inclusive): what lies outside was before the consumer connected, or after
	// it was asked to stop. See Auditd.Mark and Drain.
	After, Until string
}

// Report of a comparison. A clean one has OK true: each log line once in
// the stream, in order, and besides them one EOE for each SYSCALL record.
type Report struct {
	LogLines    int // of audit.log within the limits
	StreamLines int // of the stream, EOE included
	EOE         int // EOE records of the stream

	Missing    int // log lines that are not in the stream
	Altered    int // log lines whose type and id are in the stream with another text
	Duplicate  int // stream lines beyond the number the log has
	Extra      int // stream lines, not EOE, that are nothing of the log
	LogOnly    int // log lines that auditd never dispatches (see logOnly); not a fault
	OutOfOrder int // stream lines that stand before one that the log has earlier
	EOEMissing int // events with a SYSCALL record in the stream and no EOE
	EOEExtra   int // EOE records of no such event
	EOECut     int // EOE records that lack so much that they have no id
	Markers    int // the relay's own records of what it lost (op=relay-loss)

	Examples []string // some of each fault
}

// OK reports that nothing is missing, altered, doubled, added or misplaced.
func (r Report) OK() bool {
	return r.Once() && r.EOEMissing+r.EOEExtra+r.Markers == 0
}

// Once reports that the stream has each record of the log once and in order.
// What the log never has is left out: EOE records, which cannot be recovered
// when they are lost, and markers.
func (r Report) Once() bool { return r.SameSet() && r.Duplicate+r.OutOfOrder == 0 }

// SameSet reports that log and stream hold the same records, in whatever
// order and however often; whole EOE records and markers are left out.
func (r Report) SameSet() bool { return r.Missing+r.Altered+r.Extra+r.EOECut == 0 }

// SameSetButFirst is SameSet of a stream that was harmed: a record or two that
// were cut to something that looks whole may be there besides, from before the
// harm was noticed.
func (r Report) SameSetButFirst() bool { return r.Missing+r.Altered == 0 && r.Extra+r.EOECut <= 2 }

func (r Report) String() string {
	s := fmt.Sprintf("log %d lines (%d never dispatched), stream %d with %d EOE: missing %d, altered %d, duplicate %d, "+
		"extra %d, out of order %d, EOE missing %d, EOE extra %d, cut %d, markers %d", r.LogLines, r.LogOnly, r.StreamLines, r.EOE,
		r.Missing, r.Altered, r.Duplicate, r.Extra, r.OutOfOrder, r.EOEMissing, r.EOEExtra, r.EOECut, r.Markers)
	return strings.Join(append([]string{s}, r.Examples...), "\n  ")
}

// seenLine is a line of the log by its hash: how often the stream still owes it, and
// where in the log it stood first. 16 bytes a line, so millions fit.
type seenLine struct {
	owed, times int32
	pos         int64
}

type comparer struct {
	Compare
	seed   maphash.Seed
	log    map[uint64]seenLine
	events map[uint64]int32 // by record id: SYSCALL records less EOE records of the stream
	heads  map[uint64]int32 // by type and id: extra lines of the stream
	quoted map[string]int   // examples per kind
	last   int64            // highest log position the stream has reached
	r      Report
}

// CompareLog holds a consumer's stream against the log auditd wrote. Files are
// read one after the other, oldest first, and may be gzipped (.gz). Lines are
// matched by a 64-bit hash, so that several million need little memory.
func CompareLog(logs, streams []string, c Compare) (Report, error) {
	cmp := &comparer{Compare: c, seed: maphash.MakeSeed(), log: map[uint64]seenLine{},
		events: map[uint64]int32{}, heads: map[uint64]int32{}, quoted: map[string]int{}, last: -1}
	if err := cmp.each(logs, cmp.logLine); err != nil {
		return cmp.r, fmt.Errorf("read log: %w", err)
	}
	if err := cmp.each(streams, cmp.streamLine); err != nil {
		return cmp.r, fmt.Errorf("read stream: %w", err)
	}

	// Once more through the log, for the text of what is owed.
	if err := cmp.each(logs, cmp.owedLine); err != nil {
		return cmp.r, fmt.Errorf("read log: %w", err)
	}
	for _, n := range cmp.heads {
		cmp.r.Extra += int(n)
	}

	for _, n := range cmp.events {
		if n > 0 {
			cmp.r.EOEMissing += int(n)
		} else {
			cmp.r.EOEExtra -= int(n)
		}
	}
	return cmp.r, nil
}

// each calls fn with every line within the limits.
func (c *comparer) each(paths []string, fn func(line []byte)) error {
	inside, ended := c.After == "", false
	err := eachLine(paths, func(line []byte) bool {
		switch {
		case !inside:
			inside = bytes.Contains(line, []byte(c.After))
			return true
		case c.StripNode && bytes.HasPrefix(line, []byte("node=")):
			_, line, _ = bytes.Cut(line, []byte(" "))
		}
		fn(line)
		ended = c.Until != "" && bytes.Contains(line, []byte(c.Until))
		return !ended
	})
	if err == nil && !inside {
		return fmt.Errorf("%v: no line with the start mark %q", paths, c.After)
	}
	if err == nil && c.Until != "" && !ended {
		c.quote("unended", []byte(fmt.Sprintf("%v: no line with the end mark %q", paths, c.Until)))
	}
	return err
}

func (c *comparer) logLine(line []byte) {
	h := c.hash(line)
	s, ok := c.log[h]
	if !ok {
		s.pos = int64(c.r.LogLines)
	}
	s.owed++
	s.times++
	c.log[h] = s
	c.r.LogLines++
}

func (c *comparer) streamLine(line []byte) {
	c.r.StreamLines++
	switch id := recordID(line); recordType(line) {
	case "EOE":
		c.r.EOE++
		if len(id) == 0 {
			c.count(&c.r.EOECut, "EOE without id", line)
		} else {
			c.events[c.hash(id)]--
		}
		return
	case "SYSCALL":
		c.events[c.hash(id)]++
	}
	if isMarker(line) {
		c.count(&c.r.Markers, "marker", line)
		return
	}

	if c.Raw {
		line = bytes.TrimSuffix(line, []byte(" "))
	}
	h := c.hash(line)
	s, ok := c.log[h]
	switch {
	case !ok:
		c.heads[c.hash(recordHead(line))]++
		c.quote("extra or altered", line)
		return
	case s.owed == 0:
		c.count(&c.r.Duplicate, "duplicate", line)
		return
	}

	s.owed--
	c.log[h] = s
	if s.times > 1 {
		return // which of the equal lines it is cannot be said
	}
	if s.pos < c.last {
		c.count(&c.r.OutOfOrder, "out of order", line)
	}
	c.last = max(c.last, s.pos)
}

// owedLine sorts a log line that the stream does not have: the stream may have
// its head with another text.
func (c *comparer) owedLine(line []byte) {
	h := c.hash(line)
	s := c.log[h]
	if s.owed == 0 {
		return
	}
	s.owed--
	c.log[h] = s
	head := c.hash(recordHead(line))
	switch {
	case c.heads[head] > 0:
		c.heads[head]--
		c.count(&c.r.Altered, "altered, in the log", line)
	case logOnly(line):
		c.r.LogOnly++
	default:
		c.count(&c.r.Missing, "missing", line)
	}
}

func (c *comparer) hash(text []byte) uint64 { return maphash.Bytes(c.seed, text) }

// count counts a fault, and quotes some of its kind.
func (c *comparer) count(n *int, kind string, line []byte) {
	*n++
	c.quote(kind, line)
}

func (c *comparer) quote(kind string, line []byte) {
	if c.quoted[kind]++; c.quoted[kind] > maxExamples {
		return
	}
	if len(line) > 300 {
		line = append(line[:300:300], "…"...)
	}
	c.r.Examples = append(c.r.Examples, fmt.Sprintf("%s: %q", kind, line))
}

// logOnly reports the records that auditd writes to its log and never dispatches:
// DAEMON_CONFIG of a successful reload (all versions) and DAEMON_ROTATE of
// 2.8.5.
func logOnly(line []byte) bool {
	switch recordType(line) {
	case "DAEMON_CONFIG":
		return bytes.Contains(line, []byte("op=reconfigure")) && bytes.Contains(line, []byte("res=success"))
	case "DAEMON_ROTATE":
		return true
	}
	return false
}

// recordType is the type of a text record, "" where there is none.
func recordType(line []byte) string {
	rest := line
	if bytes.HasPrefix(rest, []byte("node=")) {
		_, rest, _ = bytes.Cut(rest, []byte(" "))
	}
	rest, ok := bytes.CutPrefix(rest, []byte("type="))
	if !ok {
		return ""
	}
	typ, _, _ := bytes.Cut(rest, []byte(" "))
	return string(typ)
}

// recordID is the "SEC.MS:SERIAL" of a record, empty where there is none.
func recordID(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte("msg=audit("))
	id, _, ok := bytes.Cut(rest, []byte(")"))
	if !ok {
		return nil
	}
	return id
}

// recordHead is the record up to the end of its id, the whole of it where
// there is none.
func recordHead(line []byte) []byte {
	if i := bytes.IndexByte(line, ')'); i >= 0 {
		return line[:i]
	}
	return line
}

// eachLine calls fn with the lines of the files, without their newline, until
// it returns false. The line is valid until fn returns. A last line without
// newline counts.
func eachLine(paths []string, fn func(line []byte) bool) error {
	for _, path := range paths {
		more, err := fileLines(path, fn)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}

func fileLines(path string, fn func(line []byte) bool) (more bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		zr, err := gzip.NewReader(f)
		if err != nil {
			return false, err
		}
		defer zr.Close()
		r = zr
	}

	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 && (err == nil || err == io.EOF) {
			if !fn(bytes.TrimSuffix(line, []byte("\n"))) {
				return false, nil
			}
		}
		switch {
		case err == io.EOF:
			return true, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return false, fmt.Errorf("a line is longer than %d bytes", maxLine)
		case err != nil:
			return false, err
		}
	}
}
