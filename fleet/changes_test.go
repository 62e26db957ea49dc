package fleet

import (
	"strings"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
)

// TestAStreamThatGoesBack: a stream that ends before where it was read to is a finding, and so is
// one that was made again.
func TestAStreamThatGoesBack(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	h := newHost(t, e, 1)
	plant[Complete](h)
	settle(t, e)
	v := NewVerifier(e, Options{Full: true})
	look(t, v)
	if err := e.js.DeleteStream(t.Context(), wire.StreamRecords); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Apply(t.Context(), testLayout); err != nil {
		t.Fatal(err)
	}
	_, sum := look(t, v)
	if len(sum.Streams) != 1 || !strings.Contains(sum.Streams[0].Text, "older copy") {
		t.Errorf("%+v", sum.Streams)
	}
}

// TestDeletedMessages: a stream from which a message was deleted says so.
func TestDeletedMessages(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	e := s.dial(Access{})
	for _, cfg := range testLayout.Streams() {
		cfg.DenyDelete, cfg.DenyPurge = false, false
		if _, err := e.js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(t, e, 1)
	for range 5 {
		h.batch(2)
	}
	h.checkpoint(wire.ReasonTick, nil)
	settle(t, e)
	stream, err := e.js.Stream(t.Context(), wire.StreamRecords)
	if err == nil {
		err = stream.DeleteMsg(t.Context(), 3)
	}
	if err != nil {
		t.Fatal(err)
	}
	hosts, sum := look(t, NewVerifier(e, Options{Full: true}))
	if got := hosts[h.id+"siem"]; got.State != Missing || len(got.Holes) != 1 || got.Holes[0].From != 5 || got.Holes[0].To != 6 {
		t.Errorf("%+v", got)
	}
	if len(sum.Streams) != 1 || !strings.Contains(sum.Streams[0].Text, "1 messages were deleted") {
		t.Errorf("%+v", sum.Streams)
	}
}

// TestSinceLeavesOutWhatWasBefore: holes, losses and states that were lost before are no findings,
// those since are.
func TestSinceLeavesOutWhatWasBefore(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	lose := func(h *host, count uint64) {
		h.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) { c.Ledger.Lost = map[string]uint64{"queue-full": count} })
	}
	hosts := make(map[string]*host)
	for i, name := range []string{"hole", "state", "loss", "more"} {
		h := newHost(t, e, i)
		hosts[name] = h
		h.batch(2)
		lose(h, 0)
	}
	hosts["hole"].seq += 3
	hosts["hole"].batch(1)
	h := hosts["state"]
	h.epoch, h.seq, h.n = wire.NewEpoch(), 0, 0
	h.batch(1)
	lose(h, 0)
	lose(hosts["loss"], 5)
	lose(hosts["more"], 5)
	quiet := newHost(t, e, 9)
	plant[Complete](quiet)
	settle(t, e)
	time.Sleep(100 * time.Millisecond)
	since := time.Now()
	for _, h := range hosts {
		h.batch(1)
	}
	lose(hosts["loss"], 5)
	lose(hosts["more"], 5)
	lose(hosts["more"], 9)
	settle(t, e)

	all, _ := look(t, NewVerifier(e, Options{Full: true}))
	later, _ := look(t, NewVerifier(e, Options{Full: true, Since: since}))
	for name, want := range map[string][2]State{
		"hole": {Missing, Complete}, "state": {StateLost, Complete}, "loss": {Lost, Complete}, "more": {Lost, Lost},
	} {
		key := hosts[name].id + "siem"
		if all[key].State != want[0] || later[key].State != want[1] {
			t.Errorf("%s: %+v, since then %+v; want %v", name, all[key], later[key], want)
		}
	}
	if got := later[quiet.id+"siem"]; got.State != Complete {
		t.Errorf("a host that has sent nothing since: %+v", got)
	}
	if got := later[hosts["more"].id+"siem"].Lost["queue-full"]; got != 4 {
		t.Errorf("%d lost since then", got)
	}
}
