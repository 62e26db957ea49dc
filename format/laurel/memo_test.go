package laurel

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// TestEventsBeforeDoNotShow: an encoder that has written other events, nearly the same ones among them, writes an
// event as a new one does.
func TestEventsBeforeDoNotShow(t *testing.T) {
	const odd = "0123456789abAF \"'={}(%\x1d\x00\xff-AIDuidg"
	rng := rand.New(rand.NewPCG(3, 14))
	for _, name := range captures.Names(t, "*.string.gz") {
		used := New(Options{})
		events := wholeEvents(captures.Read(t, name))
		for range 4 {
			for _, event := range events {
				b := record.Batch{Buf: bytes.Clone(event.Buf), Recs: event.Recs}
				for range rng.IntN(3) {
					r := &b.Recs[rng.IntN(len(b.Recs))]
					if body := b.Buf[r.Off+uint32(r.Head) : r.Off+r.Len-1]; len(body) > 0 {
						body[rng.IntN(len(body))] = odd[rng.IntN(len(odd))]
					}
				}
				got, want := used.AppendEvent(nil, &b, 0, len(b.Recs)), New(Options{}).AppendEvent(nil, &b, 0, len(b.Recs))
				if !bytes.Equal(got, want) {
					t.Fatalf("%s\na new one: %s", got, want)
				}
			}
		}
	}
}

// TestMemoFitsTheSameRecordOnly: records that end in the same bytes and are not the same otherwise.
func TestMemoFitsTheSameRecordOnly(t *testing.T) {
	const (
		head = "type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=2 success=yes a0=1 ppid=1 pid=2"
		tail = " auid=1 uid=0 tty=pts0 comm=\"a\" exe=\"/b\" key=\"k\""
	)
	for name, list := range map[string][]string{
		"a key is there twice":    {head + tail, head + " uid=0" + tail, head + tail + " uid=0"},
		"one of ours":             {head + tail + " ARGV=1", head + tail + " PPID=1", head + tail},
		"an argument":             {head + tail + " a1=2", head + tail + " a1=2"},
		"a quote is open":         {head + " tty=\"x" + tail, head + tail, head + " tty='x" + tail + "'"},
		"a brace":                 {head + " tty={ x=1" + tail + " }", head + tail},
		"names":                   {head + tail + "\x1dAUID=\"a\"", head + tail + " AUID=\"a\"", head + tail + "\x1dAUID=\"a\""},
		"nothing in front":        {"type=SYSCALL msg=audit(1.000:1): arch=" + tail, head + tail, "type=SYSCALL msg=audit(1.000:1): arch=" + tail},
		"of another type":         {"type=PATH msg=audit(1.000:1): mode=07 a0=1", "type=CWD msg=audit(1.000:1): mode=07 a0=1", "type=SYSCALL msg=audit(1.000:1): mode=07 a0=1"},
		"one that laurel refuses": {head + tail + " x=\"", head + tail + " x=\"", head + " y=\"" + tail},
	} {
		used := New(Options{})
		for _, text := range append(list, list...) {
			for _, b := range wholeEvents([]byte(text + "\n")) {
				got, want := used.AppendEvent(nil, &b, 0, len(b.Recs)), New(Options{}).AppendEvent(nil, &b, 0, len(b.Recs))
				if !bytes.Equal(got, want) {
					t.Errorf("%s: %sa new one: %s", name, got, want)
				}
				checkLines(t, got)
			}
		}
	}
}
