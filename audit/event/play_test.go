package event

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// given is an event that an Assembler has given: its records' texts, and flags.
type given struct {
	recs          []string
	partial, late bool
}

// catcher takes what an Assembler gives and checks the form of it.
type catcher struct {
	t      testing.TB
	events []given
	calls  int
}

func (c *catcher) out(b *record.Batch) {
	c.t.Helper()
	c.calls++
	var e given
	for i := range b.Recs {
		r := &b.Recs[i]
		late := r.Flags&record.Late != 0
		if len(e.recs) > 0 && late != e.late {
			c.t.Fatalf("some records of an event are Late: %q", e.recs)
		}
		e.recs, e.late = append(e.recs, string(b.Bytes(i))), late
		if e.partial = r.Flags&record.Partial != 0; e.partial && r.Flags&record.End == 0 {
			c.t.Fatalf("Partial without End: %q", b.Bytes(i))
		}
		if r.Flags&record.End != 0 {
			c.events = append(c.events, e)
			e = given{}
		}
	}
	if len(b.Recs) == 0 || len(e.recs) > 0 {
		c.t.Fatalf("a batch of %d records ends within an event", len(b.Recs))
	}
}

// add gives a a copy of b, which is destroyed after that, and looks what has
// happened to it.
func (c *catcher) add(a *Assembler, b *record.Batch, now time.Time) {
	c.t.Helper()
	x := new(record.Batch)
	for i, r := range b.Recs {
		r.Off = uint32(len(x.Buf))
		x.Buf, x.Recs = append(x.Buf, b.Bytes(i)...), append(x.Recs, r)
	}
	buf, recs := bytes.Clone(x.Buf), slices.Clone(x.Recs)
	a.Add(x, now)
	const may = record.End | record.Partial | record.Late
	for i := range recs {
		recs[i].Flags |= may
		x.Recs[i].Flags |= may
	}
	if !bytes.Equal(buf, x.Buf) || !slices.Equal(recs, x.Recs) {
		c.t.Fatal("Add has changed more of the batch than flags")
	}
	clear(x.Buf)
	clear(x.Recs)
}

// holdsNothing looks whether anything is left of events that were given.
func holdsNothing(a *Assembler) bool {
	return a.all == eventList{} && a.quiet == eventList{} && a.titled == eventList{} && a.soon == eventList{} && a.byKey == [heldBuckets]*pendingEvent{} &&
		a.byNode == [titleBuckets]*pendingEvent{} && a.open == 0 && a.bytes == 0
}

// kinds are the letters for types of records in the tests below.
var kinds = map[byte]string{
	'S': "SYSCALL", 'P': "PATH", 'C': "CWD", 'T': "PROCTITLE", 'E': "EOE", 'U': "USER_CMD", 'D': "DAEMON_ROTATE", 'L': "LOGIN",
	'A': "AVC", 'G': "CONFIG_CHANGE", 'K': "KERNEL", 'F': "NETFILTER_PKT", 'N': "MAC_UNLBL_STCADD", 'Q': "SECCOMP", 'B': "ANOM_ABEND",
	'I': "INTEGRITY_DATA", 'R': "USER", 'V': "ANOM_LOGIN_TIME", 'W': "URINGOP", 'Y': "UNKNOWN[1399]",
	'M': "UNKNOWN[1420]", 'O': "CONTAINER_OP", 'Z': "SERVICE_START", 'H': "DAEMON_START",
}

// play gives an Assembler a stream in short form: words of an optional node and a colon, a letter
// of kinds, and a serial; "x" is a line without an id, "m" a marker, "/" ends a
// batch, "+MS" lets time pass and calls Expire, "$" flushes.
func play(t *testing.T, o AssemblerOptions, script string) (string, AssemblerCounts) {
	t.Helper()
	c := &catcher{t: t}
	o.Out = c.out
	a := NewAssembler(o)
	now := audittest.Epoch
	words := make(map[string]string)
	b := new(record.Batch)
	flush := func() {
		if len(b.Recs) > 0 {
			c.add(a, b, now)
		}
		b = new(record.Batch)
	}
	for i, w := range strings.Fields(script) {
		switch {
		case w == "/":
			flush()
		case w == "$":
			flush()
			a.Flush()
		case w[0] == '+':
			flush()
			ms, err := strconv.Atoi(w[1:])
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Duration(ms) * time.Millisecond)
			a.Expire(now)
		default:
			one := audittest.Lines(t, textOf(w, i))
			if w == "m" {
				one.Recs[0].Flags |= record.Marker
			}
			r := one.Recs[0]
			words[string(one.Bytes(0))] = w
			r.Off = uint32(len(b.Buf))
			b.Buf = append(b.Buf, one.Bytes(0)...)
			b.Recs = append(b.Recs, r)
		}
	}
	flush()
	var list []string
	for _, e := range c.events {
		var s []string
		for _, text := range e.recs {
			s = append(s, words[text])
		}
		line := strings.Join(s, " ")
		if e.late {
			line += "~"
		}
		if e.partial {
			line += "!"
		}
		list = append(list, line)
	}
	return strings.Join(list, " | "), a.Counts()
}

// textOf returns the line of a word, which is unlike those of all others.
func textOf(w string, i int) string {
	node := ""
	if k := strings.IndexByte(w, ':'); k >= 0 {
		node, w = "node="+w[:k]+" ", w[k+1:]
	}
	if w == "x" {
		return fmt.Sprintf("%stype=SYSCALL msg=lost %d\n", node, i)
	}
	if w == "m" {
		return fmt.Sprintf("type=DAEMON_ERR msg=audit(1000.000:1): op=relay-loss number=%d\n", i)
	}
	body := fmt.Sprintf(" number=%d", i)
	if w[0] == 'Z' {
		body = fmt.Sprintf(" pid=1 uid=0 auid=4294967295 ses=4294967295 subj=? msg='number=%d'", i)
	}
	if w[0] == 'E' {
		body = strings.Repeat(" ", i+1) // bare, and unlike others nevertheless
	}
	return fmt.Sprintf("%stype=%s msg=audit(1000.000:%s):%s\n", node, kinds[w[0]], w[1:], body)
}
