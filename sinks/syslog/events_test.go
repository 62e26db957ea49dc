package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// lister is an encoder of events that says which records they have, and how
// long the line is to be.
type lister struct{ length int }

func (l lister) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	start := len(dst)
	dst = fmt.Appendf(dst, "{%d %d\x1d", b.Recs[i].Serial, j-i)
	for len(dst)-start < l.length-2 {
		dst = append(dst, byte('a'+(len(dst)-start)%26))
	}
	return append(dst, "}\n"...)
}

func eventEncoder(length int) format.Encoder {
	return format.Encoder{Format: format.Events, NewEvents: func() format.EventEncoder { return lister{length} }}
}

// eventBatch is a batch of events of the given numbers of records.
func eventBatch(sizes ...int) record.Batch {
	var data []byte
	for i, n := range sizes {
		for range n {
			data = fmt.Appendf(data, "type=PATH msg=audit(1700000000.123:%d): x\n", i+1)
		}
	}
	b := sinktest.Batches(data, 64<<10)[0]
	last := -1
	for _, n := range sizes {
		last += n
		b.Recs[last].Flags |= record.End
	}
	return b
}

// partly is a conn that takes so many messages and then fails.
type partly struct {
	most int
	got  []byte
}

var errPartly = errors.New("enough")

func (p *partly) send(_ context.Context, c *chunk) (int, error) {
	n := min(p.most, len(c.marks))
	p.most -= n
	if n > 0 {
		p.got = append(p.got, c.buf[:c.marks[n-1].end]...)
	}
	if n < len(c.marks) {
		return n, errPartly
	}
	return n, nil
}
func (*partly) idle() error      { return nil }
func (*partly) close(bool) error { return nil }

// TestEventsAreDeliveredWhole: an event is one message, and all its records are
// delivered with it: also where the sending breaks after each, and where an event
// has more records than a chunk has room.
func TestEventsAreDeliveredWhole(t *testing.T) {
	for _, length := range []int{20, 40_000} {
		b := eventBatch(3, 1, 4, 1, 5, 9, 2, 6)
		var want []byte
		for i, n := range []int{3, 1, 4, 1, 5, 9, 2, 6} {
			line := lister{length}.AppendEvent(nil, &record.Batch{Recs: []record.Record{{Serial: uint32(i + 1)}}}, 0, n)
			want = append(want, line...)
		}
		for _, most := range []int{1, 2, 3, 100} {
			w := newWriter(Config{Transport: "tcp", Protocol: "rfc3164", Facility: "user", Severity: "info", Tag: "t", MaxMessage: 4 << 20}, eventEncoder(length))
			var got []byte
			rest := b
			for calls := 0; len(rest.Recs) > 0; calls++ {
				c := &partly{most: most}
				w.conn = c
				n, err := w.Write(context.Background(), rest)
				if (err == nil && n != len(rest.Recs)) || calls > 8 {
					t.Fatalf("%d of %d records: %v", n, len(rest.Recs), err)
				}
				if n > 0 && rest.Recs[n-1].Flags&record.End == 0 {
					t.Errorf("delivered up to record %d, in the middle of an event", n)
				}
				rest.Recs = rest.Recs[n:]
				for buf := c.got; len(buf) > 0; {
					msg, more, err := unframe(buf)
					if err != nil {
						t.Fatal(err)
					}
					_, text, _ := bytes.Cut(msg, []byte(" t: "))
					got, buf = append(append(got, text...), '\n'), more
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d at a time: got %.300q, want %.300q", most, got, want)
			}
		}
	}
}

// TestLongEvents: they are continued like records, and not cut where max_message
// lets them be whole.
func TestLongEvents(t *testing.T) {
	tests := []struct {
		transport string
		most      config.Size
		length    int
		want      int // messages
	}{
		{"tcp", 4 << 20, 100_000, 1},
		{"tls", 4 << 20, 1 << 20, 1},
		{"relp", 4 << 20, 1 << 20, 1},
		{"relp", 4 << 20, 4<<20 + 11, 2},
		{"udp", 65_000, 70_001, 2},
		{"local", 128 << 10, 100_000, 1},
		{"local", 0, 100_000, 13},
		{"tcp", 0, 7900, 1},
	}
	for _, tt := range tests {
		w := sinkOf(tt.transport, "rfc5424", "", tt.most, eventEncoder(tt.length))
		w.render.framing = perDatagram
		var c chunk
		w.render.fill(&c, eventBatch(2), 0, piece{})
		var j joiner
		var got []byte
		for _, msg := range messagesOf(t, &w.render, &c) {
			part, text, err := split5424(msg)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err = j.add(part, text); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.marks) != tt.want || len(got) != tt.length-1 || !bytes.Contains(got, []byte{0x1d}) {
			t.Errorf("%s, %d bytes: %d messages, want %d; %d bytes of text", tt.transport, tt.length, len(c.marks), tt.want, len(got))
		}
	}
}

// TestBinaryIsText: a frame is none.
func TestBinaryIsText(t *testing.T) {
	if w := newWriter(Config{}, format.Encoder{Format: format.Binary}); w.render.enc.Format != format.String {
		t.Errorf("format %d", w.render.enc.Format)
	}
}

// TestLongEventsArrive: whole, over every transport that takes them.
func TestLongEventsArrive(t *testing.T) {
	for _, transport := range []string{"tcp", "tls", "relp"} {
		s := newServer(t, "tcp", transport, "rfc5424")
		r := runWith(t, s.config(), eventEncoder(1<<20))
		b := eventBatch(3, 2)
		r.q.Put(&b)
		r.end()
		s.finish()
		var want []byte
		for i, n := range []int{3, 2} {
			want = lister{1 << 20}.AppendEvent(want, &record.Batch{Recs: []record.Record{{Serial: uint32(i + 1)}}}, 0, n)
		}
		if got := s.read(); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes arrived, want %d", transport, len(got), len(want))
		}
	}
}
