package syslog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gosyslog "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

// fixed is when the messages of these tests are sent.
var fixed = time.Date(2026, 11, 2, 3, 4, 5, 60_700, time.FixedZone("", 3600))

// newRenderer returns the renderer of a sink of that kind, on a host of that name.
func newRenderer(transport, protocol, host string) *renderer {
	w := newWriter(Config{
		Transport: transport, Protocol: protocol, Facility: "user", Severity: "info", Tag: "audisp-relay",
	}, format.Encoder{})
	w.render.setHost(host, transport == "local")
	w.render.stamp(fixed)
	return &w.render
}

// message returns the one message that line becomes.
func message(r *renderer, line string) string {
	var c chunk
	for _, b := range sinktest.Batches([]byte(line), 64<<10) {
		for i := range b.Recs {
			c.recs = i
			r.add(&c, b, piece{})
		}
	}
	return string(c.buf)
}

func TestMessageLayouts(t *testing.T) {
	const line = "type=SYSCALL msg=audit(1700000000.123:78): a=\xff\x00\x1dA=\"x\"\x1dB\n"
	const text = "type=SYSCALL msg=audit(1700000000.123:78): a=\xff\x00 A=\"x\"\x1dB"
	tests := []struct{ transport, protocol, want string }{
		{"local", "rfc3164", "<14>Nov  2 03:04:05 audisp-relay: " + text + "\n"},
		{"udp", "rfc3164", "<14>Nov  2 03:04:05 host audisp-relay: " + text},
		{"tcp", "rfc3164", "95 <14>Nov  2 03:04:05 host audisp-relay: " + text + "\n"},
		{"local", "rfc5424", "<14>1 2026-11-02T03:04:05.000060+01:00 host.example.org audisp-relay - SYSCALL - " + text},
		{"udp", "rfc5424", "<14>1 2026-11-02T03:04:05.000060+01:00 host.example.org audisp-relay - SYSCALL - " + text},
		{"tcp", "rfc5424", "137 <14>1 2026-11-02T03:04:05.000060+01:00 host.example.org audisp-relay - SYSCALL - " + text + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.transport+" "+tt.protocol, func(t *testing.T) {
			got := message(newRenderer(tt.transport, tt.protocol, "host.example.org"), line)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHostnameFieldOfEachProtocol(t *testing.T) {
	tests := []struct{ name, short, whole string }{
		{"alpha", "alpha", "alpha"},
		{"alpha.example.org", "alpha", "alpha.example.org"},
		{"", "localhost", "-"},
		{" \n\x7f", "localhost", "-"},
		{"a b", "ab", "ab"},
		{strings.Repeat("x", 300), strings.Repeat("x", 300), strings.Repeat("x", 255)},
	}
	for _, tt := range tests {
		var short, whole, none renderer
		whole.rfc5424 = true
		short.setHost(tt.name, false)
		whole.setHost(tt.name, false)
		none.setHost(tt.name, true)
		if short.host != tt.short || whole.host != tt.whole || none.host != "" {
			t.Errorf("%q gives %q, %q, %q; want %q, %q and none", tt.name, short.host, whole.host, none.host, tt.short, tt.whole)
		}
	}
}

// TestHeaderFollowsTheClock: the cached header follows the clock, within a second and beyond.
func TestHeaderFollowsTheClock(t *testing.T) {
	r := newRenderer("udp", "rfc5424", "h")
	for _, d := range []time.Duration{0, 939_939 * time.Microsecond, time.Second, time.Hour, 24 * time.Hour} {
		now := fixed.Add(d)
		r.stamp(now)
		want := "<14>1 " + now.Format("2006-01-02T15:04:05.000000Z07:00") + " h audisp-relay - "
		if string(r.head) != want {
			t.Errorf("after %v: %q, want %q", d, r.head, want)
		}
	}
}

// TestDroppedRecordsCount: a record that this consumer does not get is dealt with.
func TestDroppedRecordsCount(t *testing.T) {
	eoe := "type=EOE msg=audit(1700000000.123:81): \n"
	b := sinktest.Batches([]byte(eoe+"type=CWD msg=audit(1700000000.123:82): a\n"+eoe+eoe), 64<<10)[0]
	r := newRenderer("udp", "rfc3164", "h")
	r.enc.DropEOE = true
	var c chunk
	r.fill(&c, b, 0, piece{})
	if recs, _ := c.after(len(c.marks), 0, piece{}); len(c.marks) != 1 || recs != 4 {
		t.Errorf("%d messages deal with %d records, want 1 and 4", len(c.marks), recs)
	}
}

// split5424 takes the header off with a parser that is not ours.
func split5424(msg []byte) (part string, text []byte, err error) {
	m, err := rfc5424.NewParser().Parse(msg)
	if err != nil {
		return "", nil, err
	}
	s := m.(*rfc5424.SyslogMessage)
	if s.Timestamp == nil || s.Hostname == nil || s.Appname == nil || s.StructuredData != nil || *s.Priority != 14 {
		return "", nil, fmt.Errorf("header not understood: %+v", s)
	}
	if s.ProcID != nil {
		part = *s.ProcID
	}
	if s.Message != nil {
		text = []byte(*s.Message)
	}
	return part, text, nil
}

// oracle3164 returns the text of a message, by a parser that is not ours.
func oracle3164(msg []byte) (text []byte, err error) {
	m, err := rfc3164.NewParser(rfc3164.WithEmbeddedNewlines()).Parse(msg)
	if err != nil {
		return nil, err
	}
	s := m.(*rfc3164.SyslogMessage)
	if s.Timestamp == nil || s.Hostname == nil || s.Appname == nil || *s.Appname != "audisp-relay" || *s.Priority != 14 {
		return nil, fmt.Errorf("header not understood: %+v", s)
	}
	if s.Message != nil {
		text = []byte(*s.Message)
	}
	return text, nil
}

// FuzzMessages: whatever stands in a record, the messages made of it are
// understood by another parser, octet counts are right, and the text can be put together
// again: only the first 0x1D is a space.
func FuzzMessages(f *testing.F) {
	for _, line := range bytes.SplitAfter(sinktest.OddLines(), []byte("\n")) {
		f.Add(line, uint16(8000))
	}
	f.Add([]byte("type=UNKNOWN[1399] msg=audit(1.000:1): \x1d\x1d\x1d"), uint16(7))
	f.Add(bytes.Repeat([]byte("x\x00"), 9000), uint16(300))
	f.Fuzz(func(t *testing.T, line []byte, limit uint16) {
		for _, protocol := range []string{"rfc5424", "rfc3164"} {
			r := newRenderer("tcp", protocol, "host")
			r.limit = max(int(limit), 16)
			var framed, want, got []byte
			p := piece{}
			for _, b := range sinktest.Batches(line, 64<<10) {
				for recs := 0; recs < len(b.Recs); {
					var c chunk
					r.fill(&c, b, recs, p)
					recs, p = c.after(len(c.marks), recs, p)
					framed = append(framed, c.buf...)
				}
				for i := range b.Recs {
					want = append(want, masked(bytes.TrimSuffix(r.enc.Append(nil, b, i), []byte("\n")))...)
				}
			}
			var j joiner
			for len(framed) > 0 {
				msg, rest, err := unframe(framed)
				if err != nil {
					t.Fatal(err)
				}
				framed = rest
				part, text, err := split5424(msg)
				if protocol == "rfc3164" { // the other parser does not take all bytes as text
					part, text, err = split3164(msg, "host")
				}
				if err != nil {
					t.Fatalf("%s %q: %v", protocol, msg, err)
				}
				record, complete, err := j.add(part, text)
				if err != nil {
					t.Fatal(err)
				}
				if complete {
					got = append(got, record...)
				}
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s: got back %q, want %q", protocol, got, want)
			}
		}
	})
}

// masked is text as it stands in a message.
func masked(text []byte) []byte { return bytes.Replace(text, []byte{0x1D}, []byte{' '}, 1) }

// unframe cuts one octet-counted message off, and the newline at its end.
func unframe(b []byte) (msg, rest []byte, err error) {
	digits, rest, ok := bytes.Cut(b, []byte(" "))
	n := 0
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	if !ok || len(digits) == 0 || digits[0] == '0' || n < 1 || n > len(rest) || rest[n-1] != '\n' {
		return nil, nil, fmt.Errorf("not octet-counted: %.80q", b)
	}
	return rest[:n-1], rest[n:], nil
}

// TestRFC3164TextIsUnderstood: ordinary records, by the independent parser.
func TestRFC3164TextIsUnderstood(t *testing.T) {
	r := newRenderer("udp", "rfc3164", "host")
	data := captures.Read(t, "audit-3.0.9-enriched.string.gz")
	for _, line := range bytes.SplitAfter(data, []byte("\n"))[:lines(data)] {
		text, err := oracle3164([]byte(message(r, string(line))))
		if want := masked(bytes.TrimSuffix(line, []byte("\n"))); err != nil || !bytes.Equal(text, want) {
			t.Fatalf("%q becomes %q: %v", line, text, err)
		}
	}
}

// TestOctetCountingIsUnderstood: a run of messages, cut by the independent parser.
func TestOctetCountingIsUnderstood(t *testing.T) {
	data := append(sinktest.OddLines(), captures.Read(t, "audit-3.0.9-node.string.gz")...)
	r := newRenderer("tcp", "rfc5424", "host")
	var framed, want []byte
	records := 0
	for _, b := range sinktest.Batches(data, 64<<10) {
		for recs := 0; recs < len(b.Recs); {
			var c chunk
			r.fill(&c, b, recs, piece{})
			recs = c.recs
			framed = append(framed, c.buf...)
		}
		for i := range b.Recs {
			want = append(want, masked(b.Bytes(i))...)
			records++
		}
	}
	var got []byte
	n := 0
	octetcounting.NewParser(gosyslog.WithMaxMessageLength(16<<10), gosyslog.WithListener(func(res *gosyslog.Result) {
		if res.Error != nil {
			t.Errorf("message %d: %v", n, res.Error)
			return
		}
		n++
		if m := res.Message.(*rfc5424.SyslogMessage).Message; m != nil {
			got = append(got, *m...) // with the newline
		}
	})).Parse(bytes.NewReader(framed))
	if n != records || !bytes.Equal(got, want) {
		t.Errorf("%d messages of %d, text equal: %v", n, records, bytes.Equal(got, want))
	}
}

func TestPriorityOfNames(t *testing.T) {
	for names, want := range map[[2]string]int{
		{"user", "info"}: 14, {"kern", "emerg"}: 0, {"ftp", "crit"}: 90, {"local0", "err"}: 131, {"local7", "debug"}: 191, {"authpriv", "warning"}: 84,
	} {
		if got := priority(names[0], names[1]); got != want {
			t.Errorf("%v = %d, want %d", names, got, want)
		}
	}
}

// TestNoAllocationPerRecord: of the sink's own work. Sending costs a fixed few
// per chunk at most.
func TestNoAllocationPerRecord(t *testing.T) {
	for _, protocol := range []string{"rfc3164", "rfc5424"} {
		r := newRenderer("tcp", protocol, "host")
		var b record.Batch
		for _, x := range sinktest.Batches(sinktest.Lines(0, 200), 64<<10) {
			b = x
		}
		var c chunk
		if n := testing.AllocsPerRun(100, func() { r.fill(&c, b, 0, piece{}) }); n > 2 {
			t.Errorf("%s: %v allocations for %d records", protocol, n, len(b.Recs))
		}
	}
}
