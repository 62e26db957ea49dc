package nats

import (
	"testing"

	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	servers "audisp-relay/test/engine"
)

// TestConformance: a stream of a real server gets every record, whole and in order, none twice,
// whatever happens to the way there.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	sinktest.Run(t, sinktest.Target{Place: func(t *testing.T) sinktest.Place {
		p := newProxy(t, node.URL)
		host, dir := newHostID(), t.TempDir()
		reader := servers.NewReader(admin, wire.StreamRecords, wire.Subject(wire.Records, host.ID))
		return sinktest.Place{
			New: func(enc format.Encoder) sinks.Sink { return testSink(testConfig(p.url()), host, dir, enc) },
			Read: func() []byte {
				body, err := reader.Read()
				if err != nil {
					t.Error(err)
				}
				return body
			},
			Break:  p.cut,
			Repair: p.listen,
			Stall:  p.hold,
			Resume: p.pass,
		}
	}})
}
