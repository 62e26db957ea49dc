package syslog

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// hostOf returns the HOSTNAME of a message, by a parser that is not ours.
func hostOf(t *testing.T, msg []byte) string {
	t.Helper()
	m, err := rfc5424.NewParser().Parse(msg)
	if err != nil {
		t.Fatalf("%.200q: %v", msg, err)
	}
	return *m.(*rfc5424.SyslogMessage).Hostname
}

// TestNodeBecomesHostname: what is taken out of the text is the HOSTNAME, and can be taken for nothing else.
func TestNodeBecomesHostname(t *testing.T) {
	const text = "type=CWD msg=audit(1700000000.123:78): node=x"
	const newHead, oldHead = "<14>1 2026-11-02T03:04:05.000060+01:00 HOST audisp-relay - CWD - ", "<14>Nov  2 03:04:05 HOST audisp-relay: "
	for _, tt := range []struct {
		line, node            string
		whole, short, without string // HOSTNAME in RFC 5424 and 3164, and the text
	}{
		{text, "", "this.example", "this", text},
		{text, "given.example", "given.example", "given.example", text},
		{"node=far.example " + text, "given", "far.example", "far.example", text},
		{"node=2001:db8::1 " + text, "", "2001:db8::1", "2001-db8--1", text},
		{"node=sshd[1]: " + text, "", "sshd[1]:", "sshd-1--", text},
		{"node=a\tb\xff\x00c\x7f " + text, "", "a-b--c-", "a-b--c-", text},
		{"node= " + text, "", "this.example", "this", text},
		{"node=" + strings.Repeat("n", 300) + " " + text, "", strings.Repeat("n", 255), strings.Repeat("n", 255), text},
		{"node=far node=two " + text, "", "this.example", "this", "node=far node=two " + text},
		{"node=far garbage", "", "this.example", "this", "node=far garbage"},
	} {
		for _, protocol := range []string{"rfc5424", "rfc3164"} {
			w := newWriter(Config{Transport: "udp", Protocol: protocol, Facility: "user", Severity: "info", Tag: "audisp-relay"},
				format.Encoder{StripNode: true, Node: tt.node})
			w.render.setHost("this.example", false)
			w.render.stamp(fixed)
			want := strings.Replace(newHead, "HOST", tt.whole, 1) + tt.without
			if protocol == "rfc3164" {
				want = strings.Replace(oldHead, "HOST", tt.short, 1) + tt.without
			} else if !strings.Contains(tt.without, text[:20]) || strings.HasPrefix(tt.without, "node=") {
				want = strings.Replace(want, " CWD ", " - ", 1)
			}
			if got := message(&w.render, tt.line+"\n"); got != want {
				t.Errorf("%.80q, %s:\n got %q\nwant %q", tt.line, protocol, got, want)
			}
		}
	}
}

// FuzzHostname: whatever a host calls itself, nothing in HOSTNAME ends it or makes a TAG of it.
func FuzzHostname(f *testing.F) {
	f.Add([]byte("far.example"))
	f.Add([]byte("sshd[1]:\n\x00\xff\x7f -_~"))
	f.Add(bytes.Repeat([]byte("n"), 300))
	of3164, of5424 := regexp.MustCompile(`^[A-Za-z0-9._-]*$`), regexp.MustCompile(`^[!-~]*$`)
	f.Fuzz(func(t *testing.T, name []byte) {
		short, whole := appendHostname(nil, name, false), appendHostname(nil, name, true)
		if size := min(len(name), maxHost); len(short) != size || len(whole) != size || !of3164.Match(short) || !of5424.Match(whole) {
			t.Errorf("%q becomes %q and %q", name, short, whole)
		}
	})
}

// TestLocalMessagesHaveNoHostname: RFC 3164 on a local socket has no place for a name.
func TestLocalMessagesHaveNoHostname(t *testing.T) {
	const text = "type=CWD msg=audit(1700000000.123:78): x\n"
	w := newWriter(Config{Transport: "local", Protocol: "rfc3164", Facility: "user", Severity: "info", Tag: "audisp-relay"},
		format.Encoder{StripNode: true, Node: "given"})
	w.render.setHost("this", true)
	w.render.stamp(fixed)
	if got, want := message(&w.render, "node=far "+text), "<14>Nov  2 03:04:05 audisp-relay: "+text; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEveryPartHasTheHostname: of a long record, and of a line in pieces, wherever sending breaks.
func TestEveryPartHasTheHostname(t *testing.T) {
	head := "type=PATH msg=audit(1700000000.123:7): name="
	long := head + strings.Repeat("x", 200<<10)
	stream := "node=far " + long + "\n" + "node=near " + head + strings.Repeat("y", 20_000) + "\n" + head + "z\n"
	for _, most := range []int{1, 3, 1 << 20} {
		w := sinkOf("udp", "rfc5424", "", 0, format.Encoder{StripNode: true})
		got := make(map[string][]byte)
		var j joiner
		p := piece{}
		for _, b := range sinktest.Batches([]byte(stream), 256<<10) {
			for recs := 0; recs < len(b.Recs); {
				var c chunk
				w.render.fill(&c, b, recs, p)
				msgs := messagesOf(t, &w.render, &c)
				msgs = msgs[:min(most, len(msgs))]
				for _, msg := range msgs {
					part, text, err := split5424(msg)
					if err != nil {
						t.Fatal(err)
					}
					if bytes.Contains(text, []byte("node=")) {
						t.Fatalf("%.100q", text)
					}
					record, complete, err := j.add(part, text)
					if err != nil {
						t.Fatal(err)
					}
					if host := hostOf(t, msg); complete {
						got[host] = append(got[host], record...)
					} else if host == "host" {
						t.Fatalf("part %s has this machine's name", part)
					}
				}
				recs, p = c.after(len(msgs), recs, p)
			}
		}
		for host, want := range map[string]string{"far": long, "near": head + strings.Repeat("y", 20_000), "host": head + "z"} {
			if string(got[host]) != want {
				t.Errorf("%d messages at a time: %d bytes of %s, want %d", most, len(got[host]), host, len(want))
			}
		}
		if p != (piece{}) {
			t.Errorf("%+v is left", p)
		}
	}
}

// TestPartsHaveTheNameThatIsAdded: each part of a record begins as the record does.
func TestPartsHaveTheNameThatIsAdded(t *testing.T) {
	line := "type=PATH msg=audit(1700000000.123:7): name=" + strings.Repeat("x", 20_000) + "\n"
	w := sinkOf("udp", "rfc5424", "", 0, format.Encoder{Node: "given"})
	var c chunk
	w.render.fill(&c, sinktest.Batches([]byte(line), 64<<10)[0], 0, piece{})
	msgs := messagesOf(t, &w.render, &c)
	for _, msg := range msgs {
		if _, text, err := split5424(msg); err != nil || !bytes.HasPrefix(text, []byte("node=given type=PATH msg=audit(1700000000.123:7): ")) || hostOf(t, msg) != "host" {
			t.Errorf("%.150q: %v", msg, err)
		}
	}
	if len(msgs) != 3 {
		t.Errorf("%d messages", len(msgs))
	}
}

// TestHostnameCostsNoAllocation: whichever hosts the records are of.
func TestHostnameCostsNoAllocation(t *testing.T) {
	w := sinkOf("tcp", "rfc5424", "both", 0, format.Encoder{StripNode: true})
	b := sinktest.Batches([]byte(strings.Repeat("node=a type=CWD msg=audit(1.000:1): x\nnode=bb type=CWD msg=audit(1.000:2): x\n", 100)), 64<<10)[0]
	var c chunk
	if n := testing.AllocsPerRun(100, func() { w.render.fill(&c, b, 0, piece{}) }); n > 2 || len(c.marks) != 200 {
		t.Errorf("%v allocations for %d records", n, len(c.marks))
	}
}

// TestEventsHaveTheHostname: the name that the event has in a field is the HOSTNAME too.
func TestEventsHaveTheHostname(t *testing.T) {
	enc := format.Encoder{Format: format.Events, NewEvents: sinktest.NewEvents, StripNode: true}
	w := sinkOf("udp", "rfc5424", "", 0, enc)
	b := sinktest.Batches([]byte("node=far type=CWD msg=audit(1.000:1): x\n"), 64<<10)[0]
	b.Recs[0].Flags |= record.End
	var c chunk
	w.render.fill(&c, b, 0, piece{})
	if host := hostOf(t, messagesOf(t, &w.render, &c)[0]); host != "far" {
		t.Errorf("HOSTNAME %s", host)
	}
}
