package nats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	servers "audisp-relay/test/engine"
)

// TestServerRestarted: a server that is killed and started again costs nothing and repeats nothing.
func TestServerRestarted(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	r := newRig(t, testConfig(node.URL))
	r.start()
	const rounds, each = 4, 2000
	for i := range rounds {
		r.put(i*each, each/2)
		node.Kill()
		r.put(i*each+each/2, each/2)
		node.Restart()
		r.drained()
	}
	r.exact(admin, rounds*each)
	if c := r.s.Counts(); c.Rollbacks != 0 || c.Unmatched != 0 {
		t.Errorf("%+v", c)
	}
}

// TestClusterLosesNodes: of three servers one at a time is killed, under load.
func TestClusterLosesNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	cluster := servers.StartNATS(t, 3, "")
	admin := servers.NewAdmin(t, cluster.URLs())
	admin.Make(servers.Records(3))
	r := newRig(t, testConfig(cluster.URLs()...))
	r.start()
	const each = 2000
	n := 0
	for _, node := range cluster.Nodes {
		r.put(n, each)
		node.Kill()
		r.put(n+each, each)
		n += 2 * each
		r.drained() // two of three are enough
		node.Restart()
		admin.Try("all replicas are current", func(ctx context.Context) error { return current(ctx, admin) })
	}
	r.exact(admin, n)
	if c := r.s.Counts(); c.Rollbacks != 0 {
		t.Errorf("%+v", c)
	}
}

// current is nil once the stream's leader has followers that have all it has.
func current(ctx context.Context, a *servers.Admin) error {
	s, err := a.JS.Stream(ctx, wire.StreamRecords)
	if err != nil {
		return err
	}
	c := s.CachedInfo().Cluster
	if c == nil || len(c.Replicas) != 2 {
		return jetstream.ErrStreamNotFound
	}
	for _, p := range c.Replicas {
		if !p.Current || p.Offline {
			return jetstream.ErrStreamNotFound
		}
	}
	return nil
}

// TestStorePutBack: the store is replaced by an older copy, as an engine loses what it had
// acknowledged it. It is noticed and sent again, whether the relay runs meanwhile or not.
func TestStorePutBack(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarts), func(t *testing.T) {
			t.Parallel()
			storePutBack(t, restarts)
		})
	}
}

func storePutBack(t *testing.T, restarts bool) {
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	r := newRig(t, testConfig(node.URL))
	r.start()
	r.put(0, 3000)
	r.drained()
	node.Stop()
	putBack := node.SaveStore()
	node.Restart()
	r.put(3000, 2900)
	r.drained()
	r.put(5900, 100) // after a start it is not known whether the last batch was acknowledged: a small one
	r.drained()
	if restarts {
		r.stop()
	}
	node.Stop()
	putBack()
	node.Restart()
	if restarts {
		r.start()
	}
	r.until("the loss is noticed", func() bool { return r.s.Counts().Rollbacks > 0 }) // with nothing to send
	r.put(6000, 1000)
	r.drained()
	r.exact(admin, 7000)
	if c := r.s.Counts(); c.Rollbacks != 1 || c.Lost != 0 || c.Resent < 2900 {
		t.Errorf("%+v", c)
	}
}

// TestFullStream: a full stream is said by name, and takes what has waited when there is room.
func TestFullStream(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	c := servers.Records(1)
	c.MaxMsgs = 3
	admin.Make(c)
	r := newRig(t, testConfig(node.URL))
	r.start()
	r.put(0, 5300)
	r.says("the stream is full", "nats stream edit AUDIT_REC --max-bytes")
	c.MaxMsgs = -1
	admin.Make(c)
	r.drained()
	r.exact(admin, 5300)
}

// TestNoStream: a stream that is not there is said with the command that makes it, and used when
// it comes.
func TestNoStream(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	r := newRig(t, testConfig(node.URL))
	r.put(0, 100)
	r.start()
	r.says("there is no such stream", "nats stream add AUDIT_REC --subjects 'audit.rec.*'")
	c := servers.Records(1)
	c.Discard, c.DenyPurge = jetstream.DiscardOld, false
	admin.Make(c)
	r.drained()
	r.exact(admin, 100)
	r.says("discard: old", "one replica", "--deny-purge")
}

// TestMaxPayloadLowered: a server that takes less than before gets batches in parts.
func TestMaxPayloadLowered(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	cfg := testConfig(node.URL)
	cfg.Compression = "none"
	r := newRig(t, cfg)
	r.start()
	r.put(0, 1000)
	r.drained()
	node.Configure("max_payload: 4096")
	r.until("the server takes less", func() bool { return strings.Contains(node.Log(), "max_payload") })
	r.put(1000, 2000)
	r.drained()
	reader := servers.NewReader(admin, wire.StreamRecords, wire.Subject(wire.Records, r.host.ID))
	got, err := reader.Read()
	if want := sinktest.Lines(0, 3000); err != nil || string(got) != string(want) {
		t.Fatalf("%v: the stream has %d lines", err, strings.Count(string(got), "\n"))
	}
	if last := reader.Heads[len(reader.Heads)-1]; last.Part.N == 0 {
		t.Errorf("no parts: %+v", last)
	}
}

// TestOversizeRecord: a record larger than a message is divided, and is whole after a break.
func TestOversizeRecord(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "max_payload: 8192").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	cfg := testConfig(node.URL)
	cfg.Compression = "none"
	r := newRig(t, cfg)
	r.start()
	long := sinktest.LongLine(300 << 10)
	for _, b := range sinktest.Batches(long, 4096) {
		r.q.Put(&b)
	}
	r.drained()
	got, err := servers.NewReader(admin, wire.StreamRecords, wire.Subject(wire.Records, r.host.ID)).Read()
	if err != nil || string(got) != string(long) {
		t.Errorf("%v: the stream has %d bytes, want %d", err, len(got), len(long))
	}
}

// TestPermissions: what a user lacks is said, with what to permit. With exactly that it works.
func TestPermissions(t *testing.T) {
	t.Parallel()
	const users = `authorization { users: [
  { user: admin, password: admin }
  { user: relay, password: secret, permissions: { publish: [PUBLISH], subscribe: ["_INBOX_HOST.>"] } } ] }`
	node := servers.StartNATS(t, 1, "authorization { users: [ { user: admin, password: admin } ] }").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL}, nats.UserInfo("admin", "admin"))
	admin.Make(servers.Records(1))
	cfg := testConfig(node.URL)
	cfg.User, cfg.PasswordFile = "relay", filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(cfg.PasswordFile, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, cfg)
	permit := func(publish ...string) {
		node.Configure(strings.NewReplacer("HOST", r.host.ID, "PUBLISH", strings.Join(publish, ", ")).Replace(users))
	}
	position, subject := `"$JS.API.DIRECT.GET.AUDIT_REC.audit.rec.HOST"`, `"audit.rec.HOST"`
	permit(position)
	r.put(0, 100)
	r.start()
	r.says("connect to NATS", "see creds_file")

	if err := os.WriteFile(cfg.PasswordFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.s.Reopen()
	r.says("the server does not permit it", "audit.rec."+r.host.ID)
	permit(strings.ReplaceAll(position, "HOST", r.host.ID), strings.ReplaceAll(subject, "HOST", r.host.ID))
	r.drained()
	r.exact(admin, 100)
}

// TestCredentialsRenewed: a token that the server does not accept any more is replaced in its
// file: the next connection uses it, without a reload.
func TestCredentialsRenewed(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, `authorization { token: "one" }`).Nodes[0]
	cfg := testConfig(node.URL)
	cfg.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(cfg.TokenFile, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	servers.NewAdmin(t, []string{node.URL}, nats.Token("one")).Make(servers.Records(1))
	r := newRig(t, cfg)
	r.start()
	r.put(0, 100)
	r.drained()
	node.Stop()
	node.Configure(`authorization { token: "two" }`)
	node.Restart()
	r.put(100, 100)
	r.says("see creds_file")
	if err := os.WriteFile(cfg.TokenFile, []byte("two, and longer"[:3]), 0o600); err != nil {
		t.Fatal(err)
	}
	r.drained()
	r.exact(servers.NewAdmin(t, []string{node.URL}, nats.Token("two")), 200)
}

// TestAnswerOfAnotherIsNoAcknowledgement: what else listens to the subjects of a host may answer, and
// does not make a batch or a checkpoint one that is stored.
func TestAnswerOfAnotherIsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	p := newPlace(testConfig(node.URL), newHostID(), zap.NewNop())
	defer p.Close()
	if err := p.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []string{"", "{}", "null", "[1]", `{"seq":0}`, `{"seq":-1}`, `{"stream":"x"}`, "+OK"} {
		sub, err := admin.JS.Conn().Subscribe("audit.*.*", func(m *nats.Msg) { m.Respond([]byte(answer)) })
		if err == nil {
			err = admin.JS.Conn().Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"checkpoint": p.Announce(t.Context(), []byte("{}")),
			"batch":      p.publish(t.Context(), wire.Header{}, []byte("x")),
		} {
			if known, ok := errors.AsType[sinks.Advised](err); !ok || known.Advice() == "" || !strings.Contains(err.Error(), "no acknowledgement") {
				t.Errorf("%s answered with %q: %v", what, answer, err)
			}
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoWriters: another relay with the same id is said, and both deliver all.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	a, b := newRig(t, testConfig(node.URL)), newRig(t, testConfig(node.URL))
	b.host = a.host
	a.start()
	a.put(0, 100)
	a.drained()
	b.start()
	for i := range 5 {
		b.put(i*100, 100)
		b.drained()
		a.put(100+i*100, 100)
		a.drained()
	}
	if a.s.Counts().Foreign == 0 || b.s.Counts().Foreign == 0 {
		t.Errorf("one does not notice the other: %+v, %+v", a.s.Counts(), b.s.Counts())
	}
}

// TestOneEventAMessage: with a format of events each can be a message of its own.
func TestOneEventAMessage(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL})
	c := servers.Records(1)
	c.Name, c.Subjects = wire.StreamEvents, []string{wire.AllSubjects(wire.Events)}
	admin.Make(c)
	cfg := testConfig(node.URL)
	cfg.Each = true
	host := newHostID()
	s := testSink(cfg, host, t.TempDir(), format.Encoder{Format: format.Events, NewEvents: sinktest.NewEvents})
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true, Whole: true}})
	defer q.Shutdown()
	stop := runSink(s, q)
	defer stop()
	const events = 50
	for i := range events {
		b := sinktest.Event(i, 3, 0)
		q.Put(&b)
	}
	r := &rig{t: t, q: q, s: s}
	r.drained()
	reader := servers.NewReader(admin, wire.StreamEvents, wire.Subject(wire.Events, host.ID))
	if _, err := reader.Read(); err != nil || len(reader.Heads) != events {
		t.Fatalf("%v: %d messages, want %d", err, len(reader.Heads), events)
	}
	for i, h := range reader.Heads {
		if h.Seq != uint64(i+1) || h.Count != 1 {
			t.Errorf("message %d: %+v", i, h)
		}
	}
}
