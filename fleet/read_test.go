package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"audisp-relay/fleet/wire"
)

func packed(t testing.TB, text []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(text, nil)
}

// readAll returns the lines that a query gives, without those that came before.
func readAll(t testing.TB, e *Engine, q Query) (string, ReadCounts) {
	t.Helper()
	var b strings.Builder
	counts, err := e.Read(t.Context(), q, func(batch *Batch) error {
		lines := bytes.SplitAfter(batch.Body, []byte("\n"))
		b.Write(bytes.Join(lines[batch.Repeated:], nil))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), counts
}

func lines(from, to uint64) []byte {
	var b []byte
	for i := from; i <= to; i++ {
		b = fmt.Appendf(b, "record %d\n", i)
	}
	return b
}

// TestReadGivesEachRecordOnce: packed, in parts, twice and in part twice.
func TestReadGivesEachRecordOnce(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	h := newHost(t, e, 1)
	send := func(from, to uint64, encoding string, parts int) {
		head := h.header(to - from + 1)
		head.Seq, head.Encoding = from, encoding
		body := lines(from, to)
		if encoding == wire.Zstd {
			body = packed(t, body)
		}
		for k := range parts {
			if parts > 1 {
				head.Part = wire.Part{K: k + 1, N: parts}
			}
			h.send(head, body[len(body)*k/parts:len(body)*(k+1)/parts])
		}
	}
	send(1, 10, "", 1)
	send(11, 20, wire.Zstd, 1)
	send(11, 20, wire.Zstd, 1)
	send(19, 25, "", 1)
	send(26, 200, wire.Zstd, 3)
	send(201, 210, "", 1)
	other := newHost(t, e, 2)
	other.sink = "second"
	other.batch(3)
	other.checkpoint(wire.ReasonTick, nil)
	settle(t, e)

	got, counts := readAll(t, e, Query{Hosts: []string{h.id}})
	if got != string(lines(1, 210)) || counts.Repeated != 12 || counts.Bad != 0 || counts.Partial != 0 {
		t.Errorf("%+v, %d bytes", counts, len(got))
	}
	got, _ = readAll(t, e, Query{Hosts: []string{other.name}})
	if strings.Count(got, "\n") != 3 || !strings.Contains(got, other.name) {
		t.Errorf("by name: %q", got)
	}
	got, _ = readAll(t, e, Query{Sink: "second"})
	if strings.Count(got, "\n") != 3 {
		t.Errorf("by sink: %q", got)
	}
	got, _ = readAll(t, e, Query{})
	if strings.Count(got, "\n") != 213 {
		t.Errorf("all: %d lines", strings.Count(got, "\n"))
	}
	if got, _ = readAll(t, e, Query{Since: time.Now().Add(time.Hour)}); got != "" {
		t.Errorf("of the future: %q", got)
	}
	if got, _ = readAll(t, e, Query{Until: time.Now().Add(-time.Hour)}); got != "" {
		t.Errorf("of the past: %q", got)
	}
	if got, _ = readAll(t, e, Query{Events: true}); got != "" {
		t.Errorf("events: %q", got)
	}
	if _, err := e.Read(t.Context(), Query{Hosts: []string{"nosuch"}}, nil); err == nil || !strings.Contains(err.Error(), `"nosuch"`) {
		t.Errorf("a host that there is not: %v", err)
	}
	stop := errors.New("stop")
	if _, err := e.Read(t.Context(), Query{}, func(*Batch) error { return stop }); err != stop {
		t.Errorf("an error of the caller's: %v", err)
	}
}

// TestReadBoundsWhatItUnpacks: a body that unpacks to more than wire.MaxBody, damaged ones and parts
// without their others are counted; what comes after is read.
func TestReadBoundsWhatItUnpacks(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	h := newHost(t, e, 1)
	bomb := h.header(1)
	bomb.Encoding = wire.Zstd
	h.send(bomb, packed(t, make([]byte, wire.MaxBody+1)))
	h.send(bomb, []byte("no zstd at all"))
	h.send(bomb, packed(t, lines(1, 1000))[:50])
	strange := h.header(1)
	strange.Encoding = "brotli"
	h.send(strange, nil)
	part := h.header(1)
	part.Part = wire.Part{K: 2, N: 3}
	h.send(part, []byte("x"))
	part.Part.K = 1
	h.send(part, []byte("x"))
	h.publish(wire.Subject(wire.Records, h.id), nil, nil)
	h.seq = 1
	h.batch(2)
	settle(t, e)

	got, counts := readAll(t, e, Query{})
	if strings.Count(got, "\n") != 2 || counts.Bad != 5 || counts.Partial != 2 || counts.Example == "" {
		t.Errorf("%+v, %q", counts, got)
	}
}
