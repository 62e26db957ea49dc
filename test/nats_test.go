package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
	"audisp-relay/test/engine"
	"audisp-relay/test/lab"
)

// natsSink is a sink that loses nothing for want of room.
func natsSink(urls []string) string {
	list := ""
	for _, u := range urls {
		list += fmt.Sprintf("%q, ", u)
	}
	return `
loss_markers = true
[spool]
max_size = "1GiB"
[sinks.fleet]
type = "nats"
servers = [` + list + `]
qos = "lossless"
`
}

// fleet is a cluster, and what its stream has of this host in a file.
type fleet struct {
	*live
	cluster *engine.Servers
	admin   *engine.Admin
	reader  *engine.Reader
}

// startFleet starts a cluster of three, or one server where the tests are to be short (a cluster
// takes ten seconds to elect its leaders), and auditd with a relay that delivers there.
func startFleet(t *testing.T) *fleet {
	t.Helper()
	return startFleetAt(t, engine.StartNATS(t, figure(1, 3), ""))
}

func startFleetAt(t *testing.T, cluster *engine.Servers) *fleet {
	t.Helper()
	f := &fleet{cluster: cluster}
	f.admin = engine.NewAdmin(t, f.cluster.URLs())
	f.admin.Make(engine.Records(len(cluster.Nodes)))
	f.reader = engine.NewReader(f.admin, wire.StreamRecords, wire.AllSubjects(wire.Records))
	f.live = startLive(t, natsSink(f.cluster.URLs()), lab.Options{Conf: map[string]string{"max_restarts": "1000"}}, "string")
	return f
}

// compare waits until the stream has all of audit.log, and holds it against that.
func (f *fleet) compare() (rep lab.Report) {
	f.t.Helper()
	out := f.path("stream")
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(300 * time.Millisecond) {
		body, err := f.reader.Read()
		if err == nil {
			err = os.WriteFile(out, body, 0o600)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if rep, err = lab.CompareLog(f.Logs(), []string{out}, lab.Compare{}); err != nil {
			f.t.Fatal(err)
		}
		if rep.Missing+rep.Altered == 0 || time.Now().After(deadline) {
			return rep
		}
	}
}

// whole is nil once all servers have the stream.
func (f *fleet) whole(ctx context.Context) error {
	s, err := f.admin.JS.Stream(ctx, wire.StreamRecords)
	if err != nil {
		return err
	}
	c := s.CachedInfo().Cluster
	if len(f.cluster.Nodes) == 1 {
		return nil
	}
	if c == nil || c.Leader == "" || len(c.Replicas) != 2 || !c.Replicas[0].Current || !c.Replicas[1].Current {
		return errors.New("not all replicas are current")
	}
	return nil
}

// TestLiveKilledRelayAndServersRepeatNothing: kill -9 of the relay and of one server after the
// other under load: the stream has every record of audit.log once.
func TestLiveKilledRelayAndServersRepeatNothing(t *testing.T) {
	f := startFleet(t)
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds := figure(2, 20)
	run := f.StartLoad(lab.Load{Rate: 4000, Duration: time.Duration(rounds) * span(2*time.Second, 4*time.Second)})
	for i := range rounds {
		time.Sleep(time.Duration(rng.IntN(900)) * time.Millisecond)
		f.KillPlugin("relay")
		node := f.cluster.Nodes[i%len(f.cluster.Nodes)]
		node.Kill()
		time.Sleep(time.Second)
		node.Restart()
		f.admin.Try("all replicas are current", f.whole)
	}
	load := run.Wait()
	rep := f.compare()
	if !rep.SameSet() || rep.Duplicate > 0 {
		t.Errorf("seed %d: %v", seed, rep)
	}
	t.Logf("%d kills of the relay and of a server at %.0f events/s: %v", rounds, load.Rate(), rep)
	balanced(t, f.relay().consumer("fleet"))
}

// TestLiveEngineRolledBack: the stores of all servers are put back to a copy some seconds older,
// under load: the relay says so and sends what is lacking again.
func TestLiveEngineRolledBack(t *testing.T) {
	f := startFleet(t)
	for range figure(1, 5) {
		f.Load(lab.Load{Rate: 3000, Duration: time.Second})
		f.compare()
		var putBack []func()
		for _, n := range f.cluster.Nodes {
			n.Stop()
			putBack = append(putBack, n.SaveStore())
		}
		for _, n := range f.cluster.Nodes {
			n.Start()
		}
		f.admin.Try("all replicas are current", f.whole)
		f.Load(lab.Load{Rate: 3000, Duration: 3 * time.Second})
		f.compare()
		for i, n := range f.cluster.Nodes {
			n.Stop()
			putBack[i]()
		}
		for _, n := range f.cluster.Nodes {
			n.Start()
		}
		f.reader = engine.NewReader(f.admin, wire.StreamRecords, wire.AllSubjects(wire.Records)) // it has read what is gone
		if rep := f.compare(); !rep.SameSet() || rep.Duplicate > 0 {
			t.Errorf("%v", rep)
		}
		if len(f.says("error", "the engine has lost what it had acknowledged")) == 0 {
			t.Error("it was not said")
		}
	}
}

// TestLiveNetworkCut: the servers are in a network of their own, which is cut under load so that
// packets are dropped and no connection ends: the stream has every record of audit.log once.
func TestLiveNetworkCut(t *testing.T) {
	onlyInFull(t)
	net := engine.NewNetwork(t)
	f := startFleetAt(t, engine.StartNATSIn(t, net, 3, ""))
	const cuts = 5
	run := f.StartLoad(lab.Load{Rate: 4000, Duration: cuts * 16 * time.Second})
	for range cuts {
		time.Sleep(2 * time.Second)
		net.Cut()
		time.Sleep(12 * time.Second) // longer than an acknowledgement is waited for
		net.Restore()
		time.Sleep(2 * time.Second)
	}
	load := run.Wait()
	rep := f.compare()
	if !rep.SameSet() || rep.Duplicate > 0 {
		t.Errorf("%v", rep)
	}
	t.Logf("%d cuts at %.0f events/s: %v", cuts, load.Rate(), rep)
	balanced(t, f.relay().consumer("fleet"))
}

// TestLiveServersUpgraded: one server after the other stands down under load and comes back, in the first
// round in another version: the stream has every record of audit.log once.
func TestLiveServersUpgraded(t *testing.T) {
	onlyInFull(t)
	f := startFleetAt(t, engine.StartOlderNATS(t, 3))
	const rounds = 4
	run := f.StartLoad(lab.Load{Rate: 4000, Duration: rounds * 15 * time.Second})
	for range rounds {
		for _, node := range f.cluster.Nodes {
			node.Upgrade()
			f.admin.Try("all replicas are current", f.whole)
		}
	}
	load := run.Wait()
	rep := f.compare()
	if !rep.SameSet() || rep.Duplicate > 0 {
		t.Errorf("%v", rep)
	}
	t.Logf("%d rounds over three servers at %.0f events/s: %v", rounds, load.Rate(), rep)
	balanced(t, f.relay().consumer("fleet"))
}

// onlyInFull leaves a test to AUDISP_LIVE_FULL: the package of the sink has a short one of its kind.
func onlyInFull(t *testing.T) {
	t.Helper()
	if figure(0, 1) == 0 {
		t.Skip("takes a minute: AUDISP_LIVE_FULL=1 runs it")
	}
}
