package fleet

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"audisp-relay/fleet/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant makes a host be in a state, by what it publishes.
var plant = map[State]func(h *host){
	Complete: func(h *host) {
		h.batch(20)
		h.checkpoint(wire.ReasonTick, nil)
		h.batch(3) // after it: the checkpoint is a little old
	},
	Ended: func(h *host) { h.batch(5); h.checkpoint(wire.ReasonEnd, func(c *wire.Checkpoint) { c.Next = c.Time }) },
	Behind: func(h *host) {
		h.batch(5)
		h.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) {
			c.Time, c.Next, c.Ledger.Queued = c.Time.Add(5*time.Minute), c.Next.Add(5*time.Minute), 700
		})
	},
	Lost: func(h *host) {
		h.batch(5)
		h.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) {
			c.Ledger.Lost = map[string]uint64{"queue-full": 7, "upstream": 2, "spool": 0}
		})
	},
	Silent: func(h *host) {
		h.batch(5)
		h.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) { c.Next = c.Time.Add(minInterval) })
	},
	StateLost: func(h *host) {
		h.batch(5)
		h.checkpoint(wire.ReasonStart, nil)
		h.checkpoint(wire.ReasonTick, nil)
		h.epoch, h.seq, h.n = wire.NewEpoch(), 0, 0
		h.batch(4)
		h.checkpoint(wire.ReasonStart, nil)
	},
	RolledBack: func(h *host) {
		h.batch(5)
		h.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) { c.Seq += 5 })
	},
	Missing: func(h *host) {
		h.batch(5)
		h.seq += 4
		h.batch(5)
		h.checkpoint(wire.ReasonTick, nil)
	},
	SharedID: func(h *host) {
		other := *h
		other.epoch = wire.NewEpoch()
		for range 3 {
			for _, one := range []*host{h, &other} {
				one.batch(5)
				one.checkpoint(wire.ReasonTick, nil)
			}
		}
	},
}

// details are words that are in what is said of each state.
var details = map[State]string{
	Behind: "5m", Lost: "7 queue-full, 2 upstream", Silent: "due every 1s", StateLost: "began again at 1", Missing: "records 6 to 9 (4)",
	RolledBack: "up to 10, the stream ends at 5", SharedID: "two hosts have this machine-id", Ended: "in order", NeverSeen: "in the inventory",
}

const (
	fleetSize = 1000
	planted   = 20
)

// publishFleet publishes as fleetSize hosts, planted of which are in each state, and returns the
// state of each by its machine-id, and an inventory of all and of planted hosts more.
func publishFleet(t *testing.T, e *Engine) (map[string]State, *Inventory) {
	want := make(map[string]State)
	var list strings.Builder
	number := 0
	add := func(state State, count int) {
		for range count {
			h := newHost(t, e, number)
			number++
			plant[state](h)
			want[h.id] = state
			fmt.Fprintln(&list, h.id, h.name)
		}
	}
	states := 0
	for state := Ended; state < numStates; state++ {
		if plant[state] != nil {
			add(state, planted)
			states++
		}
	}
	add(Complete, fleetSize-states*planted)
	for i := range planted {
		id := newHost(t, e, fleetSize+i).id
		want[id] = NeverSeen
		fmt.Fprintln(&list, id)
	}
	settle(t, e)
	inventory, err := ReadInventory("list", strings.NewReader(list.String()))
	if err != nil {
		t.Fatal(err)
	}
	return want, inventory
}

// TestAThousandHosts: of 1000 hosts, 20 in each state, verify names each and raises no false alarm;
// status does as well, but for what only a look at all batches shows.
func TestAThousandHosts(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	e := s.withStreams(testLayout)
	want, inventory := publishFleet(t, e)
	time.Sleep(silentAfter*minInterval + time.Second) // the silent ones are silent by then

	for _, full := range []bool{true, false} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		v := NewVerifier(e, Options{Full: full, Behind: time.Minute, Inventory: inventory})
		hosts, sum := look(t, v)
		runtime.GC()
		runtime.ReadMemStats(&after)
		t.Logf("full %v: %d hosts, %d checkpoints, %d batches in %v, %d bytes in the table and its report",
			full, sum.Hosts, sum.Checkpoints, sum.Batches, sum.Took, int64(after.HeapAlloc)-int64(before.HeapAlloc))
		if sum.Hosts != fleetSize || len(sum.Streams) != 0 || sum.Unlisted != 0 {
			t.Errorf("%d hosts, streams %v, %d unlisted", sum.Hosts, sum.Streams, sum.Unlisted)
		}
		compareStates(t, full, want, hosts)

		again, _ := look(t, v) // nothing has come: nothing is said that was not said before
		compareStates(t, full, want, again)
	}
}

func compareStates(t *testing.T, full bool, want map[string]State, got map[string]Host) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("full %v: %d lines, want %d", full, len(got), len(want))
	}
	wrong := 0
	for key, h := range got {
		state := want[h.Host]
		detail := details[state]
		if !full && state == Missing {
			state, detail = Complete, "" // the hole is between two batches
		}
		text := ""
		for _, f := range h.Findings {
			text += f.Text + "; "
		}
		if h.State != state || !strings.Contains(text, detail) || (state == Complete && len(h.Findings) > 0) {
			if wrong++; wrong < 10 {
				t.Errorf("full %v: %s is %v (%s), want %v", full, key, h.State, text, state)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("full %v: %d of %d are wrong", full, wrong, len(got))
	}
}

// with is another sink of the same host, of that name and kind.
func (h *host) with(sink, kind string) *host {
	other := *h
	other.sink, other.kind, other.epoch, other.seq, other.n = sink, kind, wire.NewEpoch(), 0, 0
	return &other
}

// TestSeveralSinksOfAHost: whichever has sent the host's last checkpoint, each is judged by its own, and
// one that was renamed has ended.
func TestSeveralSinksOfAHost(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	first := newHost(t, e, 1)
	second := first.with("events", wire.Events)
	renamed := newHost(t, e, 2)
	tick := func(count uint64) {
		for _, h := range []*host{first, second} {
			h.batch(count)
			h.checkpoint(wire.ReasonTick, nil)
		}
	}
	tick(5)
	renamed.batch(5)
	renamed.checkpoint(wire.ReasonTick, nil)
	renamed.checkpoint(wire.ReasonEnd, func(c *wire.Checkpoint) { c.Next = c.Time })
	now := renamed.with("new", wire.Records)
	now.batch(3)
	now.checkpoint(wire.ReasonStart, nil)
	settle(t, e)

	want := map[string]State{first.id + "siem": Complete, first.id + "events": Complete, renamed.id + "siem": Ended, renamed.id + "new": Complete}
	verifiers := map[string]*Verifier{
		"status": NewVerifier(e, Options{}), "verify": NewVerifier(e, Options{Full: true}), "since": NewVerifier(e, Options{Full: true, Since: time.Now().Add(-time.Hour)}),
	}
	judge := func(round string) (seen map[string]time.Time) {
		seen = make(map[string]time.Time)
		for name, v := range verifiers {
			hosts, sum := look(t, v)
			for key, state := range want {
				if h := hosts[key]; h.State != state || (state == Complete && len(h.Findings) > 0) {
					t.Errorf("%s, %s: %s is %+v, want %v", name, round, key, h, state)
				}
			}
			if len(hosts) != len(want) || sum.Findings != 0 {
				t.Errorf("%s, %s: %d lines, %+v", name, round, len(hosts), sum)
			}
			seen[name] = hosts[first.id+"siem"].Checkpoint
		}
		return seen
	}
	before := judge("first look")
	tick(7)
	settle(t, e)
	for name, at := range judge("second look") {
		if !at.After(before[name]) {
			t.Errorf("%s: the last checkpoint of a sink that is not the host's last stays that of %v", name, at)
		}
	}
}

// TestAScanOutlivesTheServer: the server is killed and started again while a stream is read; each
// message comes once and in order.
func TestAScanOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	e := s.withStreams(testLayout)
	const count = 4000
	h := newHost(t, e, 1)
	for range count {
		h.batch(1)
	}
	settle(t, e)
	info, err := e.stream(t.Context(), wire.StreamRecords)
	if err != nil || info.State.Msgs != count {
		t.Fatalf("%+v, %v", info, err)
	}

	next, kills := uint64(1), 0
	r := scanRange{stream: wire.StreamRecords, from: 1, to: info.State.LastSeq, headers: true}
	read, err := e.scan(t.Context(), r, func(m message) error {
		if m.seq != next {
			return fmt.Errorf("message %d came, want %d", m.seq, next)
		}
		next++
		if m.seq%1500 == 0 {
			s.stop()
			s.start()
			kills++
		}
		return nil
	})
	if err != nil || read != count || next != count+1 || kills != 2 {
		t.Errorf("read %d of %d with %d kills: %v", read, count, kills, err)
	}
}

// TestEmptyStreams: streams without a message are no error, and hosts of the inventory are missing.
func TestEmptyStreams(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	inventory, err := ReadInventory("list", strings.NewReader("# all\n"+hostA+" a\n\nonly-a-name\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{true, false} {
		hosts, sum := look(t, NewVerifier(e, Options{Full: full, Inventory: inventory}))
		if len(hosts) != 2 || sum.Findings != 2 || hosts[hostA].State != NeverSeen || hosts[""].Name != "only-a-name" {
			t.Errorf("full %v: %+v, %+v", full, hosts, sum)
		}
	}
}

// TestBlind: what keeps a look from saying anything is an error that names it and what to do.
func TestBlind(t *testing.T) {
	t.Parallel()
	password := func(name string) string {
		return fmt.Sprintf("{ user: %s, password: secret, permissions: { publish: { allow: [%s] }, subscribe: { allow: [%q] } } }",
			name, map[string]string{"none": `"nothing"`, "half": `"$JS.API.STREAM.INFO.AUDIT_CKPT"`}[name], inboxPrefix+".>")
	}
	s := startServer(t, "authorization { users: [ { user: admin, password: secret }, "+password("none")+", "+password("half")+" ] }")
	file := t.TempDir() + "/password"
	writeFile(t, file, "secret\n")
	as := func(user string) Access { return Access{User: user, PasswordFile: file} }
	lookAs := func(user string) error {
		_, err := NewVerifier(s.dial(as(user)), Options{}).Look(t.Context(), func(Host) error { return nil })
		return err
	}

	want := func(what string, err error, words ...string) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %q, want it to say %q", what, err, word)
			}
		}
	}
	want("no streams", lookAs("admin"), s.url(), wire.StreamCheckpoints, "fleet init --apply")
	want("no permission", lookAs("none"), "$JS.API.STREAM.INFO.AUDIT_CKPT", "fleet init")
	if _, _, err := s.dial(as("admin")).Apply(t.Context(), testLayout); err != nil {
		t.Fatal(err)
	}
	want("half a permission", lookAs("half"), "$JS.API.STREAM.LIST", "fleet init")
	writeFile(t, file, "wrong\n")
	_, err := Dial(Access{URL: s.url(), User: "admin", PasswordFile: file})
	want("wrong password", err, s.url(), "check --creds")
	s.stop()
	_, err = Dial(Access{URL: "nats://someone:secret@" + s.address()})
	want("no server", err, s.url(), "check the address")
}

// TestHostileStreams: whatever is in the streams is counted, bounded and without control characters.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	e := startServer(t, "").withStreams(testLayout)
	good := newHost(t, e, 1)
	plant[Complete](good)
	bad := newHost(t, e, 2)
	bad.batch(1)
	bad.checkpoint(wire.ReasonTick, nil)
	for i, head := range []nats.Header{
		nil, {"Audit-Host": {"x"}}, {"Audit-Host": {bad.id, "y"}, "Audit-Seq": {"9"}}, good.header2(),
	} {
		bad.publish(wire.Subject(wire.Records, bad.id), head, []byte{byte(i)})
	}
	for _, text := range []string{"", "{", `{"v":1}`, strings.Repeat("[", 100_000), "\x1b]0;title\x07"} {
		bad.publish(wire.Subject(wire.Checkpoints, bad.id), nil, []byte(text))
	}
	bad.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) { c.Host = good.id })
	bad.checkpoint(wire.ReasonTick, func(c *wire.Checkpoint) { c.Name = "a\x1b[31mb" })
	settle(t, e)

	for _, full := range []bool{true, false} {
		hosts, sum := look(t, NewVerifier(e, Options{Full: full}))
		if h := hosts[good.id+"siem"]; h.State != Complete || h.Name != good.name {
			t.Errorf("full %v: the good host is %+v", full, h)
		}
		var b strings.Builder
		for _, h := range hosts {
			h.WriteText(&b)
			h.WriteJSON(&b)
		}
		sum.WriteText(&b)
		sum.WriteJSON(&b)
		if strings.ContainsAny(b.String(), "\x1b\x07\x00") {
			t.Errorf("full %v: %q", full, b.String())
		}
		if len(sum.Streams) == 0 || sum.Findings < 1 {
			t.Errorf("full %v: nothing is said of the streams: %+v", full, sum)
		}
	}
}

// header2 is the header of another batch of a host, with its id.
func (h *host) header2() nats.Header {
	head := h.header(1)
	return head.Map()
}

// TestPartitions: the server's mapping spreads hosts as wire.Partition says, and a look finds them
// all, also those that were in the one stream before.
func TestPartitions(t *testing.T) {
	t.Parallel()
	layout := testLayout
	layout.Partitions = 4
	mapping := ""
	for from, to := range layout.Mappings() {
		mapping = fmt.Sprintf("mappings { %q: %q }", from, to)
	}
	e := startServer(t, mapping).withStreams(layout)
	perStream := make(map[string]uint64)
	for i := range 40 {
		h := newHost(t, e, i)
		plant[Complete](h)
		perStream[wire.StreamOf(wire.Partition(h.id, 4))] += 2
	}
	settle(t, e)
	for name, count := range perStream {
		info, err := e.stream(t.Context(), name)
		if err != nil || info.State.Msgs != count {
			t.Errorf("%s: %+v, %v; want %d messages", name, info, err, count)
		}
	}
	hosts, sum := look(t, NewVerifier(e, Options{Full: true}))
	if len(hosts) != 40 || sum.Findings != 0 {
		t.Errorf("%d hosts, %+v", len(hosts), sum)
	}
}

// TestALookEndsWithItsContext: also while the server is away.
func TestALookEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	e := s.withStreams(testLayout)
	s.stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := NewVerifier(e, Options{}).Look(ctx, func(Host) error { return nil }); err == nil {
		t.Error("a look at a server that is away has succeeded")
	}
}
