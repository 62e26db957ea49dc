package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
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
	for _, partitions := range []int{0, 4} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
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
			checkHost(t, s, partitions)
			checkReader(t, s.dial(as("reader")))
		})
	}
}

// hostUser is a host's connection, for one question at a time.
type hostUser struct {
	t      *testing.T
	nc     *nats.Conn
	js     jetstream.JetStream
	refuse atomic.Pointer[context.CancelCauseFunc] // ends the question with the server's refusal
}

func dialHost(t *testing.T, s *server) *hostUser {
	t.Helper()
	u := &hostUser{t: t}
	var err error
	u.nc, err = nats.Connect(s.url(), nats.UserInfo("host", "secret"), nats.CustomInboxPrefix("_INBOX_"+hostA),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { (*u.refuse.Load())(err) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.nc.Close)
	if u.js, err = jetstream.New(u.nc); err != nil {
		t.Fatal(err)
	}
	return u
}

// ask returns what the server refuses, which it never answers, or the error of the question.
func (u *hostUser) ask(question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(u.t.Context(), 30*time.Second)
	defer cancel()
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	u.refuse.Store(&refuse)
	err := question(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (u *hostUser) send(subject string, head wire.Header) error {
	return u.ask(func(ctx context.Context) error {
		_, err := u.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: head.Map(), Data: []byte("x\n")})
		return err
	})
}

func (u *hostUser) get(stream, subject string) error {
	return u.ask(func(ctx context.Context) error {
		m, err := u.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream+"."+subject, nil)
		if err == nil && m.Header.Get("Nats-Subject") != subject {
			err = fmt.Errorf("%v", m.Header)
		}
		return err
	})
}

// checkHost: a host publishes as itself and reads its own last batch, and nothing of another.
func checkHost(t *testing.T, s *server, partitions int) {
	t.Helper()
	const other = "ffffffffffffffffffffffffffffffff"
	u := dialHost(t, s)
	h := newHost(t, nil, 1)
	h.id = hostA
	for _, kind := range []string{wire.Records, wire.Events, wire.Checkpoints} {
		if err := u.send(wire.Subject(kind, hostA), h.header(1)); err != nil {
			t.Errorf("a host may not publish %s: %v", kind, err)
		}
	}
	if err := u.send(wire.Subject(wire.Records, other), h.header(1)); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("a host may publish as another: %v", err)
	}

	stream, subject := wire.StreamRecords, wire.Subject(wire.Records, hostA)
	if partitions > 0 {
		n := wire.Partition(hostA, partitions)
		stream, subject = wire.StreamOf(n), wire.PartSubject(wire.Records, n, hostA)
	}
	if err := u.get(stream, subject); err != nil {
		t.Errorf("a host may not read its own last batch: %v", err)
	}
	if err := u.get(stream, strings.Replace(subject, hostA, other, 1)); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("a host may read those of another: %v", err)
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
	refused := func(what string, change func(context.Context) error) { // ask notes what the server refuses
		err := e.ask(t.Context(), what, change)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			t.Errorf("a reader may %s: %v", what, err)
		}
	}
	refused("publish", func(ctx context.Context) error {
		_, err := e.js.Publish(ctx, wire.Subject(wire.Records, hostA), nil)
		return err
	})
	refused("delete a stream", func(ctx context.Context) error { return e.js.DeleteStream(ctx, wire.StreamEvents) })
}

// TestApplyChangesNothingThatIsThere: a second time nothing is made; what differs is said.
func TestApplyChangesNothingThatIsThere(t *testing.T) {
	t.Parallel()
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
