package lab

import (
	"os"

	"audisp-relay/host/broker"
)

// Worker returns the monitor of a worker, as that sees it. serve is what the monitor does for it. Both end with the test.
func Worker(t TB, serve broker.Handler) *broker.Client {
	t.Helper()
	ours, theirs, err := broker.SocketPair()
	if err != nil {
		t.Fatalf("socket pair of monitor and worker: %v", err)
	}
	s, err := broker.NewServer(ours, serve)
	if err != nil {
		t.Fatalf("the monitor's end: %v", err)
	}
	m, err := broker.NewClient(theirs)
	if err != nil {
		t.Fatalf("the worker's end: %v", err)
	}

	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		m.Close()
		if err := <-served; err != nil {
			t.Errorf("the worker has sent what is no request: %v", err)
		}
		<-m.Gone()
	})
	return m
}

// AsNobody makes nobody, a user that every system has, the worker's user until the end of the test, and returns its ids.
// Without root the test is skipped.
func AsNobody(t TB) (uid, gid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("not root")
	}
	was := broker.User
	t.Cleanup(func() { broker.User = was })
	broker.User = "nobody"
	uid, gid, err := broker.Account()
	if err != nil {
		t.Skipf("%v", err)
	}
	return uid, gid
}
