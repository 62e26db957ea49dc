package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/host/athand"
	"audisp-relay/host/broker"
)

// dieOver has work on event 1 end the process, as long as that is not poison, while others are at hand, of which one only once.
func dieOver(m *broker.Client, facts Facts, mode string) {
	fd, err := m.Open(Item, OpAtHand, nil, nil)
	must(err)
	if mode == "writes anything and dies" {
		var anything [8192]byte
		for i := range anything {
			anything[i] = byte(i * i / 7)
		}
		if _, err := unix.Pwrite(fd, anything[:4096], 0); err != nil {
			must(err)
		}
		if n, err := unix.Pwrite(fd, anything[:], 0); err == nil && n > 4096 {
			must(fmt.Errorf("it has written %d bytes", n))
		}
		if facts.Ended < 2 {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		return
	}
	page, err := athand.Map(fd, facts.Poison)
	must(err)
	b := &record.Batch{Recs: []record.Record{{Millis: 1000, Serial: 1}, {Millis: 2000, Serial: uint32(10 + facts.Ended)}, {Millis: 3000, Serial: 3}}}
	chance, done, fault := page.Take(), page.Take(), page.Take()
	chance.Hold(b, 1)
	done.Hold(b, 2)
	done.Clear()
	if !fault.Hold(b, 0) {
		os.Exit(2)
	}
}

// TestEventThatEndsWorkersIsPoison: two deaths with it at hand, and not what was at hand by chance, nor what was done.
func TestEventThatEndsWorkersIsPoison(t *testing.T) {
	t.Parallel()
	end, s, logs, err := run(t, "dies over an event", nil)
	if end != Ended || err != nil || s.closed != 3 {
		t.Fatalf("end %d, %v, %d sessions", end, err, s.closed)
	}
	want := athand.ID{Millis: 1000, Serial: 1}
	for n, text := range s.told["facts"] {
		var facts Facts
		if err := json.Unmarshal(text, &facts); err != nil || slices.Equal(facts.Poison, []athand.ID{want}) != (n == 2) || (n < 2 && len(facts.Poison) > 0) {
			t.Errorf("worker %d: %+v, %v", n, facts, err)
		}
	}
	if said := logs.FilterMessageSnippet("event has ended two workers").All(); len(said) != 1 || said[0].ContextMap()["event"] != "1.000:1" {
		t.Errorf("%v", said)
	}
	for n, said := range logs.FilterMessageSnippet("worker has ended").All() {
		want := []any{fmt.Sprintf("2.000:%d", 10+n), "1.000:1"}
		if got, _ := said.ContextMap()["events_at_hand"].([]any); !slices.Equal(got, want) {
			t.Errorf("death %d: %v, want %v", n, got, want)
		}
	}
}

// TestAnythingMayBeAtHand: a worker that was taken over gets so many events left alone, and no more.
func TestAnythingMayBeAtHand(t *testing.T) {
	t.Parallel()
	end, s, _, err := run(t, "writes anything and dies", nil)
	if end != Ended || err != nil || len(s.told["facts"]) != 3 {
		t.Fatalf("end %d, %v, %d workers", end, err, len(s.told["facts"]))
	}
	var facts Facts
	if err := json.Unmarshal(s.told["facts"][2], &facts); err != nil || len(facts.Poison) == 0 || len(facts.Poison) > 64 {
		t.Errorf("%d are poison, %v", len(facts.Poison), err)
	}
}
