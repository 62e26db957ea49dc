package fleet

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
)

// permissions writes users of a server's configuration, all with the same password.
func permissions(users map[string]Permission) string {
	var b strings.Builder
	b.WriteString("authorization { users: [\n  { user: admin, password: secret }\n")
	for name, p := range users {
		fmt.Fprintf(&b, "  { user: %q, password: secret, permissions: { publish: { allow: [%s] }, subscribe: { allow: [%s] } } }\n", name, quoted(p.Publish), quoted(p.Subscribe))
	}
	return b.String() + "] }\n"
}

func quoted(list []string) string { return `"` + strings.Join(list, `", "`) + `"` }

// TestPermissionsAreEnoughAndNoMore: with the permissions that init shows a host can publish as
// itself and read its own last message, and nothing of others; a reader can verify and cannot write.
func TestPermissionsAreEnoughAndNoMore(t *testing.T) {
	const other = "ffffffffffffffffffffffffffffffff"
	for _, partitions := range []int{0, 4} {
		layout := testLayout
		layout.Partitions = partitions
		conf := permissions(map[string]Permission{"host": layout.HostPermission(hostA), "reader": layout.ReaderPermission()})
		for from, to := range layout.Mappings() {
			conf += fmt.Sprintf("mappings { %q: %q }", from, to)
		}
		s := startServer(t, conf)
		file := t.TempDir() + "/password"
		writeFile(t, file, "secret")
		as := func(user string) Access { return Access{User: user, PasswordFile: file} }
		if _, _, err := s.dial(as("admin")).Apply(t.Context(), layout); err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect(s.url(), nats.UserInfo("host", "secret"), nats.CustomInboxPrefix("_INBOX_"+hostA))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()

		h := newHost(t, s.dial(as("admin")), 1)
		h.id = hostA
		head := h.header(1)
		send := func(subject string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			js, err := jetstream.New(nc)
			if err != nil {
				return err
			}
			_, err = js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: head.Map(), Data: []byte("x\n")})
			return err
		}
		for _, kind := range []string{wire.Records, wire.Events, wire.Checkpoints} {
			if err := send(wire.Subject(kind, hostA)); err != nil {
				t.Errorf("%d partitions: a host may not publish %s: %v", partitions, kind, err)
			}
		}
		if err := send(wire.Subject(wire.Records, other)); err == nil {
			t.Errorf("%d partitions: a host may publish as another", partitions)
		}

		stream, subject := wire.StreamRecords, wire.Subject(wire.Records, hostA)
		if partitions > 0 {
			n := wire.Partition(hostA, partitions)
			stream, subject = wire.StreamOf(n), wire.PartSubject(wire.Records, n, hostA)
		}
		get := func(subject string) error {
			m, err := nc.Request("$JS.API.DIRECT.GET."+stream+"."+subject, nil, 5*time.Second)
			if err == nil && m.Header.Get("Nats-Subject") != subject {
				err = fmt.Errorf("%v", m.Header)
			}
			return err
		}
		if err := get(subject); err != nil {
			t.Errorf("%d partitions: a host may not read its own last batch: %v", partitions, err)
		}
		if get(strings.Replace(subject, hostA, other, 1)) == nil {
			t.Errorf("%d partitions: a host may read those of another", partitions)
		}
		checkReader(t, s.dial(as("reader")))
	}
}

// checkReader: a reader verifies and reads, and changes nothing.
func checkReader(t *testing.T, e *Engine) {
	t.Helper()
	sum, err := NewVerifier(e, Options{Full: true}).Look(t.Context(), func(Host) error { return nil })
	if err != nil || sum.Batches != 2 {
		t.Errorf("a reader may not verify: %+v, %v", sum, err)
	}
	if _, err := e.Read(t.Context(), Query{Hosts: []string{hostA}}, func(*Batch) error { return nil }); err != nil {
		t.Errorf("a reader may not read: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := e.js.Publish(ctx, wire.Subject(wire.Records, hostA), nil); err == nil {
		t.Error("a reader may publish")
	}
	if err := e.js.DeleteStream(ctx, wire.StreamEvents); err == nil {
		t.Error("a reader may delete a stream")
	}
}

// TestApplyChangesNothingThatIsThere: a second time nothing is made; what differs is said.
func TestApplyChangesNothingThatIsThere(t *testing.T) {
	e := startServer(t, "").dial(Access{})
	made, differ, err := e.Apply(t.Context(), testLayout)
	if err != nil || len(made) != 3 || len(differ) != 0 {
		t.Fatalf("%v, %v, %v", made, differ, err)
	}
	made, differ, err = e.Apply(t.Context(), testLayout)
	if err != nil || len(made) != 0 || len(differ) != 0 {
		t.Errorf("again: %v, %v, %v", made, differ, err)
	}
	other := testLayout
	other.MaxAge *= 2
	made, differ, err = e.Apply(t.Context(), other)
	if err != nil || len(made) != 0 || len(differ) != 3 || !strings.Contains(differ[0], "stream AUDIT_REC: max_age is 24h0m0s, would be 48h0m0s") {
		t.Errorf("another layout: %v, %q, %v", made, differ, err)
	}
	info, err := e.stream(t.Context(), wire.StreamRecords)
	if err != nil || info.Config.MaxAge != testLayout.MaxAge || !info.Config.DenyDelete || !info.Config.DenyPurge {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestLayoutCheck(t *testing.T) {
	for _, l := range []Layout{
		{Partitions: 1, Replicas: 3, MaxAge: time.Hour, MaxBytes: -1}, {Partitions: -1, Replicas: 3, MaxAge: time.Hour, MaxBytes: -1},
		{Partitions: 5000, Replicas: 3, MaxAge: time.Hour, MaxBytes: -1}, {Replicas: 2, MaxAge: time.Hour, MaxBytes: -1},
		{Replicas: 3, MaxBytes: -1}, {Replicas: 3, MaxAge: time.Hour}, {Replicas: 3, MaxAge: time.Hour, MaxBytes: -2},
	} {
		if l.Check() == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if err := (Layout{Partitions: 32, Replicas: 3, MaxAge: time.Hour, MaxBytes: 1 << 30}).Check(); err != nil {
		t.Error(err)
	}
}
