package nodes

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host"
)

// world is what a nodes learns.
type world struct {
	hostname string
	fqd      map[string]string // without an entry the name server fails
	auditd   host.NodeInfo
	orphan   bool // no auditd is there
	asked    int
}

var errAway = errors.New("the name server is away")

func (w *world) nodes(t *testing.T, log *zap.Logger) *Nodes {
	n := &Nodes{log: log, known: make(map[nodeKey]*entry),
		hostname: func() (string, error) { return w.hostname, nil },
		resolve: func(_ context.Context, _, host string) (string, error) {
			w.asked++
			if name := w.fqd[host]; name != "" {
				return name, nil
			}
			return "", errAway
		},
		auditd: func(int) (host.NodeInfo, error) {
			if w.orphan {
				return host.NodeInfo{}, errAway
			}
			return w.auditd, nil
		},
	}
	n.ctx, n.end = context.WithCancel(context.Background())
	n.host = w.hostname
	n.local = n.findLocal(false)
	t.Cleanup(n.Close)
	return n
}

// TestNamesAreLookedUpAgain: while a look-up has failed, when the host is called
// otherwise, and at a HUP; in encoders that are in use. A name server that is away takes
// no name away.
func TestNamesAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{hostname: "a", fqd: map[string]string{}}
		core, logs := observer.New(zap.InfoLevel)
		n := w.nodes(t, zap.New(core))
		enc := format.Encoder{Host: n.Of(config.Sink{NameFormat: "fqd"})}
		short := n.Of(config.Sink{NameFormat: "hostname"})
		second := func() { time.Sleep(time.Second); n.Follow(time.Now()); synctest.Wait() }
		expect := func(when, fqd, host string) {
			t.Helper()
			b := *audittest.Lines(t, "type=CWD msg=audit(1.000:1): x\n")
			if got := string(enc.Append(nil, b, 0)); got != "node="+fqd+" type=CWD msg=audit(1.000:1): x\n" || short.Load().Node != host {
				t.Errorf("%s: %q, %q", when, got, short.Load().Node)
			}
		}
		expect("the name server is away at the start", "a", "a")
		for range 60 {
			second()
		}
		if got := logs.FilterMessage("node name").Len(); got != 1 || w.asked > 7 {
			t.Errorf("a failure is said %d times, the name server asked %d times", got, w.asked)
		}
		w.fqd["a"] = "a.example"
		for range 11 {
			second()
		}
		expect("it works", "a.example", "a")
		asked := w.asked
		for range 100 {
			second()
		}
		if w.asked != asked {
			t.Error("asked without a reason")
		}
		w.fqd["a"] = "a.elsewhere"
		n.LookUp()
		synctest.Wait()
		expect("HUP", "a.elsewhere", "a")
		delete(w.fqd, "a")
		n.LookUp()
		synctest.Wait()
		expect("HUP while the name server is away", "a.elsewhere", "a")
		w.hostname = "b"
		second()
		expect("another host name, which the name server does not know", "b", "b")
		w.fqd["b"] = "b.example"
		for range 11 {
			second()
		}
		expect("and then it does", "b.example", "b")
	})
}

// TestLocalNodeFollowsAuditd: whose records those of a node are goes by what auditd hands on, not by
// what the host is called.
func TestLocalNodeFollowsAuditd(t *testing.T) {
	for _, tt := range []struct {
		w     world
		local string
	}{
		{world{auditd: host.NodeInfo{Format: "hostname"}}, users.EveryNode},
		{world{auditd: host.NodeInfo{Format: "user", Name: "me"}}, users.EveryNode},
		{world{auditd: host.NodeInfo{Format: "hostname", Others: true}}, "a"},
		{world{auditd: host.NodeInfo{Format: "user", Name: "me", Others: true}}, "me"},
		{world{auditd: host.NodeInfo{Format: "fqd", Others: true}, fqd: map[string]string{"a": "a.example"}}, "a.example"},
		{world{auditd: host.NodeInfo{Format: "none", Others: true}}, ""},
		{world{orphan: true}, "a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			tt.w.hostname = "a"
			n := tt.w.nodes(t, zap.NewNop())
			time.Sleep(time.Second)
			n.Follow(time.Now())
			synctest.Wait()
			if got := n.Local(); got != tt.local {
				t.Errorf("%+v: %q, want %q", tt.w.auditd, got, tt.local)
			}
		})
	}
}

func TestNodeNameOfEachFormat(t *testing.T) {
	n := New(os.Getpid(), zap.NewNop())
	defer n.Close()
	host, _ := os.Hostname()
	for _, c := range []struct{ format, name, want string }{
		{"none", "x", ""}, {"", "", ""}, {"user", "me", "me"}, {"hostname", "", host},
	} {
		if got, err := n.nodeName(nodeKey{c.format, c.name}); got != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.format, got, err)
		}
	}
	for _, format := range []string{"fqd", "numeric"} { // whether they resolve or not
		if got, _ := n.nodeName(nodeKey{format, ""}); got == "" {
			t.Errorf("%s gives no name", format)
		}
	}
}
