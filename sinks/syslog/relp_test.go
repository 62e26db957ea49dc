package syslog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// FuzzRELPServer: whatever a server says, to open or to messages, the client ends
// with what was acknowledged and has kept little of it.
func FuzzRELPServer(f *testing.F) {
	for _, s := range []string{"", "200 OK", string(answer(2, "200 OK")) + string(answer(4, "200")) + string(answer(3, "200 x\ny")),
		"0 serverclose 0\n", string(answer(3, "200 OK")) + string(answer(3, "200 OK")), string(answer(2, "500 no")),
		string(answer(0, "200 OK")), "0 hint 3 abc\n", "2 hint 0\n", string(answer(1, openAnswer))} {
		f.Add(false, []byte(s))
		f.Add(true, []byte(s))
	}
	f.Fuzz(func(t *testing.T, open bool, said []byte) {
		if len(said) > 100<<10 {
			return // the socket would not take it
		}
		r, server := session(t)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer r.Close()
		wg.Go(func() {
			in := bufio.NewReader(server)
			if open {
				server.Write(answer(1, openAnswer))
				readClientFrame(in)
				readClientFrame(in)
			}
			server.Write(said)
			server.(*net.UnixConn).CloseWrite()
		})
		ctx := context.Background()
		n, err := 0, r.open(ctx, hang)
		if err == nil {
			n, err = r.send(ctx, messages(3))
		}
		if acks := bytes.Count(said, []byte("200")); (err == nil && n != 3) || n > 3 || n > acks {
			t.Errorf("%d delivered with %d acknowledgements: %v", n, acks, err)
		}
		if again, doubtful := r.cost(err); n+again > 3 || doubtful != 0 {
			t.Errorf("%d delivered, %d come again, %d doubtful", n, again, doubtful)
		}
		if cap(r.in) > 128<<10 {
			t.Errorf("%d bytes are kept of what the server says", cap(r.in))
		}
	})
}

// TestRELPSession: numbers continue after the largest, acknowledgements may come in
// any order, and the end is reported.
func TestRELPSession(t *testing.T) {
	r, peer := session(t)
	r.last = maxTxnr - 2
	done := make(chan []clientFrame)
	go func() {
		defer close(done)
		var got []clientFrame
		in := bufio.NewReader(peer)
		for {
			f, err := readClientFrame(in)
			if err != nil {
				done <- got
				return
			}
			got = append(got, f)
			switch {
			case f.command == "open":
				peer.Write(answer(f.txnr, openAnswer))
			case len(got) == 5: // all four messages are there
				for _, i := range []int{3, 1, 4, 2} {
					peer.Write(answer(got[i].txnr, "200 OK"))
				}
			case f.command == "close":
				peer.Write(append([]byte("0 serverclose 0\n"), answer(f.txnr, "")...))
				peer.Close()
			}
		}
	}()
	ctx := context.Background()
	if err := r.open(ctx, hang); err != nil {
		t.Fatal(err)
	}
	if n, err := r.send(ctx, messages(4)); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if err := r.idle(); err != nil {
		t.Fatal(err)
	}
	r.close(true)
	got := <-done
	want := []clientFrame{{maxTxnr - 1, "open", []byte(relpOffers[1:])}, {maxTxnr, "syslog", []byte("message 0")}, {1, "syslog", []byte("message 1")},
		{2, "syslog", []byte("message 2")}, {3, "syslog", []byte("message 3")}, {4, "close", nil}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(clientFrame{})); d != "" {
		t.Error(d)
	}
}

// TestRELPWindow: no more messages are on their way than the window has, what was
// acknowledged in a row counts as delivered and all the rest is asked for again.
func TestRELPWindow(t *testing.T) {
	r, peer, in := opened(t)
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	go func() {
		n, err := r.send(context.Background(), messages(3*relpWindow))
		done <- result{n, err}
	}()
	frames := 0
	read := func(n int) {
		for ; n > 0; n-- {
			if _, err := readClientFrame(in); err != nil {
				t.Fatal(err)
			}
			frames++
		}
	}
	read(relpWindow)
	for i := range relpWindow / 2 {
		peer.Write(answer(2+i, "200 OK"))
	}
	read(relpWindow / 2)
	peer.Write(answer(2+relpWindow/2+1, "200 OK")) // one is left out
	peer.(*net.UnixConn).CloseWrite()
	res := <-done
	r.Close()
	if n, err := in.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes beyond the window", n)
	}
	again, _ := r.cost(res.err)
	if res.n != relpWindow/2 || !errors.Is(res.err, errPeerClosed) || again != frames-res.n {
		t.Errorf("%d delivered, %v; the server got %d messages, %d come again", res.n, res.err, frames, again)
	}
}

// TestRELPRefusals: what a server can do wrong, and what the client says to it.
func TestRELPRefusals(t *testing.T) {
	tests := []struct{ name, said, want string }{
		{"refused", string(answer(2, "500 disk full")), `refuses a message: 500 "disk full"`},
		{"twice", string(answer(2, "200 OK")) + string(answer(2, "200 OK")), "2 that does not wait"},
		{"never sent", string(answer(5, "200 OK")), "5 that does not wait"},
		{"before", string(answer(1, "200 OK")), "1 that does not wait"},
		{"number 0", string(answer(0, "200 OK")), "0 that does not wait"},
		{"no code", string(answer(2, "")), "no response code"},
		{"its own command", "2 syslog 1 x\n", `sends the command "syslog"`},
		{"its end", "0 serverclose 0\n", "ends the RELP session"},
		{"nonsense", "what?\n", "not RELP"},
		{"too much", "2 rsp 16385 200", "too long"},
		{"gone", "", "has closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, peer, in := opened(t)
			if tt.name == "number 0" {
				r.last = maxTxnr - 1 // 0 would be as good as the first message's number
			}
			answered := make(chan struct{})
			defer func() { <-answered }()
			go func() {
				defer close(answered)
				readClientFrame(in)
				peer.Write([]byte(tt.said))
				if tt.said == "" {
					peer.(*net.UnixConn).CloseWrite()
				}
			}()
			if _, err := r.send(context.Background(), messages(3)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		r, peer, _ := opened(t)
		peer.Write([]byte("0 hint 0\n"))
		if err := r.idle(); err != nil {
			t.Error(err)
		}
		peer.Write([]byte("0 serverclose 0\n"))
		if err := r.idle(); !errors.Is(err, errServerClose) {
			t.Error(err)
		}
	})
	t.Run("silent", func(t *testing.T) {
		r, _, _ := opened(t)
		r.timeout = 20 * time.Millisecond
		if n, err := r.send(context.Background(), messages(3)); n != 0 || !errors.Is(err, errNoAnswer) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
	})
}

// TestRELPOpenIsRefused: the sink says why no session comes about.
func TestRELPOpenIsRefused(t *testing.T) {
	tests := []struct{ name, said, want string }{
		{"refused", string(answer(1, "500 required command not supported")), `refuses the RELP session: 500 "required command`},
		{"no syslog", string(answer(1, "200 OK\nrelp_version=0\ncommands=eventlog")), "does not offer"},
		{"other protocol", "220 smtp ready\r\n", "not RELP"},
		{"end", "0 serverclose 0\n", `answers open with "serverclose"`},
		{"other number", string(answer(7, openAnswer)), `answers open with "rsp"`},
		{"closed", "close", "has closed the connection"},
		{"silent", "", "no answer to RELP's open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c, err := l.Accept()
				if err != nil {
					return
				}
				if tt.said == "close" {
					readClientFrame(bufio.NewReader(c))
				} else {
					io.WriteString(c, tt.said)
					io.Copy(io.Discard, c)
				}
				c.Close()
			}()
			s := &server{t: t, network: "tcp", transport: "relp", protocol: "rfc5424", address: l.Addr().String()}
			w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
			if w.opening = hang; tt.said == "" {
				w.opening = 2 * time.Second // in which a busy machine connects
			}
			_, err = w.Write(context.Background(), sinktest.Batches(sinktest.Lines(0, 1), 64<<10)[0])
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "connect to syslog (relp 127.0.0.1:") {
				t.Errorf("%v, want %q", err, tt.want)
			}
			w.Close()
			l.Close()
			<-ended
		})
	}
}

// TestRELPLosesNothing: servers that go at any moment, in any way, cost repeated
// messages at most, and as many as are counted.
func TestRELPLosesNothing(t *testing.T) {
	const records = 5000
	s := newServer(t, "tcp", "relp", "rfc5424")
	r := run(t, s.config())
	r.put(sinktest.Lines(0, records))
	for i := range 5 {
		eventually(t, "arrival of a part", func() bool { return lines(s.read()) >= (i+1)*700 })
		s.close()
		s.open()
	}
	r.end()
	repeated := lines(s.read()) - records
	index := make(map[string]bool)
	for line := range bytes.Lines(s.read()) {
		index[string(line)] = true
	}
	for line := range bytes.Lines(sinktest.Lines(0, records)) {
		if !index[string(line)] {
			t.Fatalf("missing: %q", line)
		}
	}
	st := r.sink.Status()
	if len(index) != records || uint64(repeated) > st.Details.(*Details).Repeated || st.Details.(*Details).Doubtful != 0 || st.Degraded {
		t.Errorf("%d records, %d came twice, status %+v", len(index), repeated, st)
	}
	t.Logf("%d came twice, %d reported", repeated, st.Details.(*Details).Repeated)
}

// TestRELPHintsAreNoAnswer: a server that says something, but acknowledges nothing, does not
// work; one that does both, does.
func TestRELPHintsAreNoAnswer(t *testing.T) {
	hints := bytes.Repeat([]byte("0 hint 3 abc\n"), maxHints-1)
	for _, c := range []struct {
		name  string
		serve func(r *bufio.Reader, w net.Conn)
		want  error // nil: all is acknowledged
	}{
		{"one after the other", func(_ *bufio.Reader, w net.Conn) {
			for err := error(nil); err == nil; time.Sleep(10 * time.Millisecond) {
				_, err = w.Write([]byte("0 hint 0\n"))
			}
		}, errNoAnswer},
		{"half a frame after the other", func(_ *bufio.Reader, w net.Conn) {
			for err := error(nil); err == nil; time.Sleep(10 * time.Millisecond) {
				_, err = w.Write([]byte("0 hint 9000 ")[:1])
			}
		}, errNotRELP},
		{"a flood", func(_ *bufio.Reader, w net.Conn) {
			for err := error(nil); err == nil; {
				_, err = w.Write(hints)
			}
		}, errHints},
		{"between acknowledgements", func(r *bufio.Reader, w net.Conn) {
			for f, err := readClientFrame(r); err == nil; f, err = readClientFrame(r) {
				w.Write(append(bytes.Clone(hints), answer(f.txnr, "200 OK")...))
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, server, in := opened(t)
			if r.timeout = hang; c.want == errNoAnswer {
				r.timeout = 300 * time.Millisecond
			}
			var wg sync.WaitGroup
			wg.Go(func() { c.serve(in, server) })
			n, err := r.send(context.Background(), messages(5))
			r.Close()
			server.Close()
			wg.Wait()
			if !errors.Is(err, c.want) || (c.want == nil) != (n == 5) || cap(r.in) > 64<<10 {
				t.Errorf("%d acknowledged, %v, %d bytes kept", n, err, cap(r.in))
			}
		})
	}
}

// TestRELPHintsWhileIdle: a flood is the end of the session; a hint now and then is not.
func TestRELPHintsWhileIdle(t *testing.T) {
	r, server, _ := opened(t)
	for range 3 {
		server.Write(bytes.Repeat([]byte("0 hint 0\n"), maxHints))
		if err := r.idle(); err != nil {
			t.Fatal(err)
		}
		r.hinted = r.hinted.Add(-2 * hintTime)
	}
	server.Write(bytes.Repeat([]byte("0 hint 0\n"), maxHints+1))
	if err := r.idle(); !errors.Is(err, errHints) {
		t.Errorf("%v", err)
	}
}
