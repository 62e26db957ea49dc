package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// joiner puts records together out of the messages that they were sent in.
type joiner struct {
	held   []byte
	number int // parts in held
}

var recordID = regexp.MustCompile(`^((node=\S* )?type=\S+ msg=audit\(\d+\.\d{3}:\d+\): )?$`)

// add takes the text of a message whose header says part, "" where it is a whole
// record. It returns the record once that is complete, without what the relay has put in.
func (j *joiner) add(part string, text []byte) (record []byte, complete bool, err error) {
	if part == "" {
		return text, true, nil
	}
	first, last, ok := strings.Cut(part, "/")
	n, nerr := strconv.Atoi(first)
	total, terr := strconv.Atoi(last)
	switch {
	case !ok || nerr != nil || n < 1 || (last != "?" && (terr != nil || n > total)):
		return nil, false, fmt.Errorf("%q is no part", part)
	case n == 1:
		j.held, j.number = append(j.held[:0], text...), 1
	case n != j.number+1:
		return nil, false, fmt.Errorf("part %s comes after %d", part, j.number)
	default:
		before, after, ok := bytes.Cut(text, []byte("relay-part="+part+" "))
		if !ok || !recordID.Match(before) {
			return nil, false, fmt.Errorf("part %s begins with %.80q", part, text)
		}
		j.held, j.number = append(j.held, after...), n
	}
	return j.held, last == strconv.Itoa(n), nil
}

// split3164 takes the header of a message off, with HOST where host is not "".
func split3164(msg []byte, host string) (part string, text []byte, err error) {
	const stamp = len("<14>Nov  2 03:04:05 ")
	if host != "" {
		host += " "
	}
	if len(msg) < stamp {
		return "", nil, errors.New("no header")
	}
	rest, ok := bytes.CutPrefix(msg[stamp:], []byte(host+"audisp-relay"))
	if !ok {
		return "", nil, errors.New("no header with host and tag")
	}
	if inner, yes := bytes.CutPrefix(rest, []byte("[")); yes {
		number, after, _ := bytes.Cut(inner, []byte("]"))
		part, rest = string(number), after
	}
	text, ok = bytes.CutPrefix(rest, []byte(": "))
	if !ok {
		return "", nil, errors.New("no end of the tag")
	}
	return part, text, nil
}

// fataler is a test, also one of rapid's.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// messagesOf returns the messages of a chunk, without framing.
func messagesOf(t fataler, r *renderer, c *chunk) (msgs [][]byte) {
	t.Helper()
	start := 0
	for _, m := range c.marks {
		msg := c.buf[start:m.end]
		switch r.framing {
		case octetCount:
			_, msg, _ = bytes.Cut(msg, []byte(" "))
		case countAndNewline:
			var rest []byte
			var err error
			if msg, rest, err = unframe(msg); err != nil || len(rest) > 0 {
				t.Fatalf("%d bytes too many, %v", len(rest), err)
			}
		case newlineEnd:
			msg = bytes.TrimSuffix(msg, []byte("\n"))
		}
		msgs = append(msgs, msg)
		start = m.end
	}
	return msgs
}

// sinkOf returns the writer of a sink of that kind.
func sinkOf(transport, protocol, framing string, most config.Size, enc format.Encoder) *writer {
	w := newWriter(Config{Transport: transport, Protocol: protocol, Facility: "user", Severity: "info",
		Tag: "audisp-relay", MaxMessage: most, Framing: framing}, enc)
	if transport == "local" {
		w.render.framing = perDatagram
	}
	w.render.setHost("host", transport == "local")
	return w
}

// TestLongRecordsComeInCountedParts: over every transport a record of any length comes in messages
// that are not longer than they may be, and each says which part it is, and
// no byte is missing; wherever the sending broke.
func TestLongRecordsComeInCountedParts(t *testing.T) {
	kinds := []struct{ transport, protocol, framing string }{
		{"local", "rfc3164", ""}, {"local", "rfc5424", ""}, {"udp", "rfc3164", ""}, {"udp", "rfc5424", ""},
		{"tcp", "rfc3164", "both"}, {"tcp", "rfc3164", "octet-counted"}, {"tcp", "rfc5424", "newline"}, {"tls", "rfc5424", ""}, {"relp", "rfc5424", ""},
	}
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(kinds).Draw(t, "kind")
		most := rapid.SampledFrom([]config.Size{0, 1024, 1500, 65_000}).Draw(t, "max_message")
		node := rapid.SampledFrom([]string{"", "node=far ", "node=\x01\xff ", "node=" + strings.Repeat("n", 300) + " "}).Draw(t, "node")
		unit := rapid.SampledFrom([]string{"a", "name=\"x\" ", "文", "\x1b", "\x1d", "\xff\xfe", "type=USER msg=audit(1.000:1): relay-part=2/3 "}).Draw(t, "text")
		n := rapid.IntRange(0, 30_000).Draw(t, "length")
		line := node + "type=PATH msg=audit(1700000000.123:7): " + strings.Repeat(unit, n/len(unit)) + "."
		if len(line) >= record.MaxRecord {
			t.Skip("comes in pieces")
		}
		w := sinkOf(k.transport, k.protocol, k.framing, most, format.Encoder{})
		b := sinktest.Batches([]byte(line+"\n"), 64<<10)[0]
		want := masked([]byte(line))
		if k.framing == "newline" {
			want = appendEscaped(nil, want)
		}
		limit := int(w.cfg.MaxMessage)
		broken := rapid.IntRange(0, 5).Draw(t, "messages before the break")
		var j joiner
		var got [][]byte
		recs, p := 0, piece{}
		for recs < len(b.Recs) {
			var c chunk
			w.render.fill(&c, b, recs, p)
			msgs := messagesOf(t, &w.render, &c)
			take := min(broken, len(msgs))
			if broken = 1 << 20; take == 0 && len(msgs) > 0 {
				continue
			}
			for _, msg := range msgs[:take] {
				if n := len(msg) + strings.Count(k.framing, "both"); n > limit { // and its newline
					t.Fatalf("a message of %d bytes, at most %d are allowed", n, limit)
				}
				part, text := partAndText(t, k.protocol, k.transport, msg)
				record, complete, err := j.add(part, bytes.TrimSuffix(text, []byte("\n")))
				if err != nil {
					t.Fatal(err)
				}
				if complete {
					got = append(got, bytes.Clone(record))
				}
			}
			recs, p = c.after(take, recs, p)
		}
		if len(got) != 1 || !bytes.Equal(got[0], want) {
			t.Fatalf("%d records, the first %.200q, want %.200q", len(got), slices.Concat(got...), want)
		}
	})
}

func partAndText(t *rapid.T, protocol, transport string, msg []byte) (part string, text []byte) {
	var err error
	switch {
	case protocol == "rfc5424":
		part, text, err = split5424(msg)
	case transport == "local":
		part, text, err = split3164(msg, "")
	default:
		part, text, err = split3164(msg, "host")
	}
	if err != nil {
		t.Fatalf("%.100q: %v", msg, err)
	}
	return part, text
}

// TestPartsOfALineAreCountedThrough: a line longer than the reader hands on at once is one record, too,
// whose parts are counted through; how many there are is said once it is known.
func TestPartsOfALineAreCountedThrough(t *testing.T) {
	line := sinktest.LongLine(200 << 10)
	w := sinkOf("udp", "rfc5424", "", 0, format.Encoder{})
	var j joiner
	var got []byte
	var parts []string
	p := piece{}
	for _, b := range sinktest.Batches(line, 64<<10) {
		for recs := 0; recs < len(b.Recs); {
			var c chunk
			w.render.fill(&c, b, recs, p)
			for _, msg := range messagesOf(t, &w.render, &c) {
				part, text, err := split5424(msg)
				if err != nil {
					t.Fatal(err)
				}
				if part != "" {
					parts = append(parts, part)
				}
				record, complete, err := j.add(part, text)
				if err != nil {
					t.Fatal(err)
				}
				if complete {
					got = append(append(got, record...), '\n')
				}
			}
			recs, p = c.after(len(c.marks), recs, p)
		}
	}
	if !bytes.Equal(got, line) {
		t.Errorf("%d bytes, want %d", len(got), len(line))
	}
	if n := len(parts); n < 26 || parts[0] != "1/?" || parts[n-1] != fmt.Sprintf("%d/%d", n, n) {
		t.Errorf("parts %q", parts)
	}
}

// TestRestOfALineBeginsNoMessage: where a sink begins in the middle of a line, as after a restart, what comes first is a
// continuation, too.
func TestRestOfALineBeginsNoMessage(t *testing.T) {
	const forged = "type=USER_LOGIN msg=audit(1700000000.123:8): res=success"
	b := record.Batch{Buf: []byte(forged + "\n"), Recs: []record.Record{{Len: uint32(len(forged) + 1), Flags: record.Cont | record.NoID}}}
	w := sinkOf("tcp", "rfc5424", "both", 0, format.Encoder{})
	var c chunk
	w.render.fill(&c, b, 0, piece{})
	msgs := messagesOf(t, &w.render, &c)
	if len(msgs) != 1 {
		t.Fatalf("%d messages", len(msgs))
	}
	if part, text, err := split5424(msgs[0]); err != nil || part != "2/2" || string(bytes.TrimSuffix(text, []byte("\n"))) != "relay-part=2/2 "+forged {
		t.Errorf("part %q: %q, %v", part, text, err)
	}
}

// TestRecordsCannotForgeParts: what a record says of itself never stands where its message says
// which part it is, and what is continued never begins a message, wherever the text
// is cut.
func TestRecordsCannotForgeParts(t *testing.T) {
	for _, forged := range []string{
		"type=USER_LOGIN msg=audit(1700000000.123:8): pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'",
		"<14>1 2026-11-02T03:04:05.000060+01:00 host audisp-relay 2/2 PATH - relay-part=2/2 x",
		"\n<14>Nov  2 03:04:05 host audisp-relay: type=USER_LOGIN msg=audit(1.000:8): x",
	} {
		for shift := range 120 { // one of them puts it where the second message begins
			line := "type=USER msg=audit(1700000000.123:7): pid=1 msg='" + strings.Repeat("x", 1024-180+shift) + forged + "'"
			for _, framing := range []string{"both", "newline"} {
				w := sinkOf("tcp", "rfc5424", framing, 1024, format.Encoder{})
				frame := stream.AppendFrame(nil, 1, 1005, []byte(line))
				var c chunk
				w.render.fill(&c, sinktest.Batches(frame, 64<<10)[0], 0, piece{})
				msgs := bytes.Split(bytes.TrimSuffix(c.buf, []byte("\n")), []byte("\n"))
				if len(msgs) != len(c.marks) {
					t.Fatalf("%s: %d lines of %d messages", framing, len(msgs), len(c.marks))
				}
				for i, msg := range messagesOf(t, &w.render, &c) {
					part, text, err := split5424(msg)
					want := fmt.Sprintf("%d/%d", i+1, len(msgs))
					if len(msgs) == 1 {
						want = ""
					}
					if err != nil || part != want {
						t.Fatalf("part %q, want %s: %v", part, want, err)
					}
					if i > 0 && !bytes.HasPrefix(text, fmt.Appendf(nil, "type=USER msg=audit(1700000000.123:7): relay-part=%s ", part)) {
						t.Fatalf("a message begins with %.100q", text)
					}
				}
			}
		}
	}
}

// TestNewlineFraming: no message has a control character but the newline at its end.
func TestNewlineFraming(t *testing.T) {
	for c := range 256 {
		line := fmt.Sprintf("type=USER msg=audit(1700000000.123:7): a%cb", 'X')
		line = strings.Replace(line, "X", string([]byte{byte(c)}), 1)
		w := sinkOf("tcp", "rfc3164", "newline", 0, format.Encoder{})
		var ch chunk
		w.render.fill(&ch, sinktest.Batches(stream.AppendFrame(nil, 1, 1005, []byte(line)), 64<<10)[0], 0, piece{})
		want := string([]byte{byte(c)})
		switch {
		case c == '\n', c == 0x1d: // as auditd has it
			want = " "
		case c < ' ', c == 0x7f:
			want = fmt.Sprintf("#%03o", c)
		}
		if _, text, err := split3164(ch.buf, "host"); err != nil || string(text) != "type=USER msg=audit(1700000000.123:7): a"+want+"b\n" {
			t.Errorf("%#x becomes %q: %v", c, text, err)
		}
	}
}

// TestHasControl: however the bytes lie.
func TestHasControl(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 9, 10, 0x1f, ' ', 'a', '~', 0x7e, 0x7f, 0x80, 0x9f, 0xff}), 0, 40).Draw(t, "text")
		if got, want := hasControl(text), slices.ContainsFunc(text, isControl); got != want {
			t.Fatalf("%q: %v", text, got)
		}
	})
}

// TestSmallerLimitMakesMoreParts: a socket that takes less than the first parts were makes more of them.
func TestSmallerLimitMakesMoreParts(t *testing.T) {
	w := sinkOf("udp", "rfc5424", "", 0, format.Encoder{})
	b := sinktest.Batches(sinktest.LongLine(30_000), 64<<10)[0]
	var c chunk
	w.render.fill(&c, b, 1, piece{})
	recs, p := c.after(1, 1, piece{})
	w.render.limit /= 4
	w.render.stamp(time.Now())
	w.render.fill(&c, b, recs, p)
	part, _, err := split5424(messagesOf(t, &w.render, &c)[0])
	if recs != 1 || p.number != 1 || err != nil || !regexp.MustCompile(`^2/1\d$`).MatchString(part) {
		t.Errorf("record %d, %+v, then part %q: %v", recs, p, part, err)
	}
}
