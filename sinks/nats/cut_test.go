package nats

import (
	"testing"
	"time"

	"audisp-relay/format"
	"audisp-relay/sinks"
	servers "audisp-relay/test/engine"
)

// hasty are times for a test in which nothing answers.
func hasty() times {
	return times{dial: 150 * time.Millisecond, ping: 100 * time.Millisecond, ask: 150 * time.Millisecond, ack: 200 * time.Millisecond,
		minReconnect: 5 * time.Millisecond, maxReconnect: 50 * time.Millisecond}
}

// TestNetworkCut: a network that drops all packets closes no connection. It is noticed by what is
// not answered, records or pings, and each record is stored once, whether what was on its way
// is lost or comes late, after the new connection.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	p := newProxy(t, node.URL)
	r := newRig(t, testConfig(p.url()))
	r.s = testSink(r.cfg, r.host, r.dir, format.Encoder{})
	r.s.place.times = hasty()
	r.stop = runSink(r.s, r.q)
	t.Cleanup(r.stop)

	n := 0
	put := func(lines int) {
		r.put(n, lines)
		n += lines
	}
	for _, c := range []struct{ idle, lost bool }{{}, {lost: true}, {idle: true, lost: true}} {
		put(200)
		if c.idle {
			r.drained()
		}
		p.hold()
		if !c.idle {
			put(200)
		}
		r.until("the cut is noticed", func() bool { return r.s.Status().Degraded })
		put(200)
		p.resume(c.lost)
		r.drained()
		r.until("the sink is well", func() bool { return !r.s.Status().Degraded })
	}
	r.exact(admin, n)
	if c := r.s.Counts(); c.Rollbacks != 0 || c.Unmatched != 0 || c.Foreign != 0 {
		t.Errorf("%+v", c)
	}
}

// TestServerUpgraded: a server that stands down for another version, and the next one, with the same
// store, get each record once, under load.
func TestServerUpgraded(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	servers.NewAdmin(t, []string{node.URL}).Make(servers.Records(1))
	r := newRig(t, testConfig(node.URL))
	r.start()
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for !sinks.IsClosed(stop) {
			r.put(n, 50)
			n += 50
			time.Sleep(5 * time.Millisecond)
		}
		done <- n
	}()
	r.until("the first server has batches", func() bool { return r.s.Counts().Batches > 0 })
	node.StandDown()
	node.Restart()
	before := r.s.Counts().Batches
	r.until("the second one has batches", func() bool { return r.s.Counts().Batches > before })
	close(stop)
	n := <-done
	r.drained()
	r.exact(servers.NewAdmin(t, []string{node.URL}), n)
	if c := r.s.Counts(); c.Rollbacks != 0 || c.Unmatched != 0 || c.Foreign != 0 {
		t.Errorf("%+v", c)
	}
}
