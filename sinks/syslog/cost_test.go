package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

// TestNewestCountsMessagesOfTheLastBytes: how many messages the last bytes that were acknowledged may be.
func TestNewestCountsMessagesOfTheLastBytes(t *testing.T) {
	c := &chunk{}
	for i := range 100 {
		c.buf = append(c.buf, make([]byte, 100)...)
		c.marks = append(c.marks, mark{len(c.buf), i + 1, piece{}})
	}
	var u unacked
	const chunks = 2 * maxPoints // 10 000 bytes each
	for range chunks {
		u.add(c, 100)
		u.settle(2500)
	}
	kept := len(u.ends)
	for _, n := range []int{0, 1, 99, 10_000, 10_001, 1 << 20, maxPoints * pointBytes} {
		got, least := u.newest(n), (n+99)/100
		if got < least || got > least+100 {
			t.Errorf("%d bytes: %d messages, want %d or up to 100 more", n, got, least)
		}
	}
	if got, want := u.newest(math.MaxInt32), 100*chunks-kept; got != want || kept != 25 || len(u.points) > 2*maxPoints {
		t.Errorf("%d messages in all, %d kept, %d points; want %d", got, kept, len(u.points), want)
	}
	u.fresh()
	if got := u.newest(math.MaxInt32); got != 0 {
		t.Errorf("%d messages of a fresh connection", got)
	}
	// What an earlier connection had taken is in doubt when this one has.
	u.settle(0)
	if got := u.newest(1); got != kept {
		t.Errorf("%d messages, want %d", got, kept)
	}
}

// TestCostDependsOnHowAConnectionEnds: what the end of a connection costs depends on how it ended.
func TestCostDependsOnHowAConnectionEnds(t *testing.T) {
	c := &chunk{buf: make([]byte, 1<<20)}
	for i := range 1 << 10 {
		c.marks = append(c.marks, mark{(i + 1) << 10, i + 1, piece{}})
	}
	tests := []struct {
		name            string
		tls             bool
		err             error
		unacked         int
		ago             time.Duration
		again, doubtful int
	}{
		{"reset", false, unix.ECONNRESET, 0, 0, 0, 328},
		{"reset, long ago", true, unix.ECONNRESET, 0, time.Hour, 0, 328},
		{"timeout", true, os.ErrDeadlineExceeded, 10 << 10, 0, 10, 328},
		{"end with something unread", false, errPeerClosed, 1, 0, 1, 328},
		{"end", false, errPeerClosed, 0, 0, 0, 128},
		{"end, long ago", false, errPeerClosed, 0, time.Hour, 0, 0},
		{"cut off", true, errCutOff, 0, 0, 0, 128},
		{"close_notify", true, errPeerClosed, 0, 0, 0, 0},
	}
	for _, tt := range tests {
		s := &streamConn{link: &link{}, sent: &unacked{}, room: 100 << 10}
		if tt.tls {
			s.tls = &tls.Conn{}
		}
		for i := range c.marks { // one by one: then the count is exact but for 4 KiB
			one := &chunk{buf: c.buf[:1<<10], marks: []mark{{1 << 10, i + 1, piece{}}}}
			s.sent.add(one, 1)
			s.sent.settle(tt.unacked)
		}
		s.sent.last = time.Now().Add(-tt.ago)
		again, doubtful := s.cost(tt.err)
		if again != tt.again || doubtful < tt.doubtful || doubtful > tt.doubtful+4 || (tt.doubtful == 0 && doubtful != 0) {
			t.Errorf("%s: %d come again, %d in doubt; want %d, %d", tt.name, again, doubtful, tt.again, tt.doubtful)
		}
	}
}

// badEnd is a conn that breaks.
type badEnd struct{ narrow }

func (badEnd) send(context.Context, *chunk) (int, error) { return 0, unix.ECONNRESET }
func (badEnd) cost(error) (resent, maybeLost int)        { return 2, 3 }

// TestCostIsReported: also when the next connection is made at once, in the log, with
// totals, and in the status.
func TestCostIsReported(t *testing.T) {
	s := newServer(t, "tcp", "tcp", "rfc5424")
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	defer w.Close()
	core, logs := observer.New(zap.WarnLevel)
	w.log = zap.New(core)
	for range 2 {
		w.disconnect(true)
		w.conn, w.since = &badEnd{}, time.Time{}
		if err := write(w); err != nil {
			t.Fatal(err)
		}
	}
	var st sinks.Status
	if w.Extra(&st); st.Details.(*Details).Repeated != 4 || st.Details.(*Details).Doubtful != 6 {
		t.Errorf("%+v", st)
	}
	for i, e := range logs.All() {
		want := map[string]any{"error": unix.ECONNRESET.Error(), "sent_again": int64(2), "perhaps_lost": int64(3),
			"total_sent_again": uint64(2 + 2*i), "total_perhaps_lost": uint64(3 + 3*i)}
		if d := cmp.Diff(want, e.ContextMap()); d != "" {
			t.Error(d)
		}
	}
	if logs.Len() != 2 {
		t.Errorf("%d log lines", logs.Len())
	}
}

// refusing is a conn whose server wants something done.
type refusing struct{ narrow }

func (refusing) send(context.Context, *chunk) (int, error) {
	return 0, advise(errors.New("disk full"), "see the server's log")
}

// TestRefusalsAreReported: another connection at once would not help.
func TestRefusalsAreReported(t *testing.T) {
	s := newServer(t, "tcp", "tcp", "rfc5424")
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	w.conn = &refusing{}
	if err := write(w); err == nil || !strings.HasSuffix(err.Error(), "disk full: see the server's log") || w.conn != nil {
		t.Error(err)
	}
}

// TestDoubtIsOfOneConnection: what an earlier one was read from is out of it.
func TestDoubtIsOfOneConnection(t *testing.T) {
	s := newServer(t, "tcp", "tcp", "rfc5424")
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	defer w.Close()
	for _, b := range sinktest.Batches(sinktest.Lines(0, 100), 64<<10) {
		if _, err := w.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "acknowledgement", func() bool { return w.conn.idle() == nil && w.sent.total.messages == 100 && lines(s.read()) == 100 })
	if err := w.Reopen(); err != nil || w.maybeLost.Load() != 0 {
		t.Errorf("%v, %d messages in doubt of a connection that was ended when all was acknowledged", err, w.maybeLost.Load())
	}
	s.close()
	s.open()
	w.since = time.Time{}
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	if n := w.sent.total.messages; n > 1 {
		t.Errorf("%d messages of the connection before", n)
	}
}

// TestEndInTheMiddleIsInDoubt: what the kernel still has for a server that does not read, when its connection is
// closed in order.
func TestEndInTheMiddleIsInDoubt(t *testing.T) {
	gate := make(chan struct{})
	w := misfit(t, func(c net.Conn) { <-gate })
	defer close(gate)
	w.timeout = 50 * time.Millisecond
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	c := w.conn.(*streamConn)
	for err := error(nil); err == nil; {
		_, err = c.link.Write(make([]byte, 64<<10))
	}
	c.timeout = hang        // it is slow, not dead
	w.sent.add(&w.chunk, 1) // as if that had been a message
	if err := w.Reopen(); err != nil || w.conn != nil || w.maybeLost.Load() != 1 || w.resent.Load() != 0 || len(w.sent.ends) != 0 {
		t.Errorf("%v, %d perhaps lost, %d sent again", err, w.maybeLost.Load(), w.resent.Load())
	}
}

// TestSinkThatEndsAloneWaitsForAcks: at a reload a server that is slow has the time to take what it was sent, which nobody would
// send again; at the end of the plugin it has not.
func TestSinkThatEndsAloneWaitsForAcks(t *testing.T) {
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	w := misfit(t, func(c net.Conn) {
		<-gate
		io.Copy(io.Discard, c)
	})
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	c := w.conn.(*streamConn)
	c.timeout = 50 * time.Millisecond
	for err := error(nil); err == nil; {
		_, err = c.link.Write(make([]byte, 64<<10))
	}
	c.timeout, c.torn = hang, false
	w.sent.add(&w.chunk, 1) // as if that had been a message

	ctx, cancel := context.WithCancelCause(context.Background())
	if cancel(sinks.ErrTimeUp); sinks.EndsAlone(ctx) || sinks.EndsAlone(context.Background()) {
		t.Error("it ends alone with the plugin, or although it goes on")
	}
	reloaded, end := context.WithCancel(context.Background())
	if end(); !sinks.EndsAlone(reloaded) {
		t.Error("it does not end alone at a reload")
	}
	if w.TakeTime(); w.acks <= ackTime {
		t.Errorf("it takes %v", w.acks)
	}

	w.acks = hang // whatever else this machine does
	open()
	if err := w.Close(); err != nil || w.maybeLost.Load() != 0 {
		t.Errorf("%v, %d perhaps lost", err, w.maybeLost.Load())
	}
}

// TestCancelledWriteLetsGo: of a connection in the middle of something, and loses nothing of RELP. A write that is
// cancelled before it has begun keeps the connection; so the time is doubled until one was stuck.
func TestCancelledWriteLetsGo(t *testing.T) {
	for _, transport := range []string{"tcp", "tls", "relp"} {
		s := newServer(t, "tcp", transport, "rfc5424")
		w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
		if err := write(w); err != nil {
			t.Fatal(err)
		}
		s.gate.Lock()
		b := sinktest.Batches(sinktest.Lines(0, 1000), 64<<10)[0]
		for d := 20 * time.Millisecond; w.conn != nil; d *= 2 {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			var err error
			for err == nil {
				_, err = w.Write(ctx, b)
			}
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %v", transport, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", transport, err)
		}
		if n := w.maybeLost.Load(); n > 0 && transport == "relp" {
			t.Errorf("%d messages of RELP perhaps lost", n)
		}
		s.gate.Unlock()
	}
}

// TestEndedContextWritesNothing: whatever the timing.
func TestEndedContextWritesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 {
		r, _ := session(t)
		if n, err := r.write(ctx, []byte("x")); n != 0 || err == nil {
			t.Fatal(n, err)
		}
	}
}

// TestLossesOfBrokenTLSAreReported: what a server had taken and not read is reported to be in
// doubt, and what it had not taken comes again.
func TestLossesOfBrokenTLSAreReported(t *testing.T) {
	const records = 60_000 // more than the buffers of both sides
	s := newServer(t, "tcp", "tls", "rfc5424")
	r := run(t, s.config())
	r.put(sinktest.Lines(0, 10))
	eventually(t, "arrival", func() bool { return lines(s.read()) == 10 })
	s.gate.Lock()
	r.put(sinktest.Lines(10, records-10))
	last := uint64(0)
	eventually(t, "full buffers", func() bool {
		n := r.q.Counts().Queued
		same := n == last && n < records-10
		last = n
		time.Sleep(50 * time.Millisecond)
		return same
	})
	s.close()
	s.gate.Unlock()
	s.open()
	r.end()
	s.finish()
	missing := records
	seen := map[string]bool{}
	for line := range strings.Lines(string(s.read())) {
		if !seen[line] {
			missing--
		}
		seen[line] = true
	}
	st := r.sink.Status()
	if missing == 0 || uint64(missing) > st.Details.(*Details).Doubtful || st.Details.(*Details).Repeated == 0 {
		t.Errorf("%d missing, %d reported to be in doubt, %d sent again", missing, st.Details.(*Details).Doubtful, st.Details.(*Details).Repeated)
	}
	t.Logf("%d missing, %d reported to be in doubt, %d sent again", missing, st.Details.(*Details).Doubtful, st.Details.(*Details).Repeated)
}

// TestReopenTriesAMissedServerAtOnce, also one whose connection is too new to be trusted; another has nothing to
// find out.
func TestReopenTriesAMissedServerAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		conn  conn
		since time.Duration
		pause time.Duration
		tries bool
	}{
		{"missed", nil, 0, time.Hour, true}, {"just back", &narrow{}, 0, 0, true}, {"there", &narrow{}, time.Hour, 0, false}, {"idle", nil, 0, 0, false},
	} {
		w := newWriter(Config{Transport: "tcp", Address: "server:601"}, format.Encoder{})
		w.conn, w.since = tt.conn, time.Now().Add(-tt.since)
		if tt.pause > 0 {
			w.missed.at = time.Now().Add(tt.pause)
		}
		err := w.Reopen()
		if tries := !w.missed.at.IsZero() && !w.missed.at.After(time.Now()); err != nil || tries != tt.tries {
			t.Errorf("%s: %v, next attempt at %v", tt.name, err, w.missed.at)
		}
	}
}
