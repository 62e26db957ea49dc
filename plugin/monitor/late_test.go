package monitor

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/host/broker"
)

// lateSession opens something for a worker only after that has gone.
type lateSession struct {
	closing, again chan struct{}
	open, closed   atomic.Int32
}

func (s *lateSession) Serve(c *broker.Call) (a broker.Answer, err error) {
	if c.Op == "late" {
		<-s.closing
		s.open.Add(1)
	}
	return a, nil
}

func (s *lateSession) Close() {
	s.open.Store(0)
	switch s.closed.Add(1) {
	case 1:
		close(s.closing)
	case 2:
		close(s.again)
	}
}

// TestWhatIsOpenedLateIsClosed: a request that is served when its worker has gone leaves nothing open.
func TestWhatIsOpenedLateIsClosed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: another user's process cannot be started")
	}
	t.Parallel()
	s := &lateSession{closing: make(chan struct{}), again: make(chan struct{})}
	end, err := Run(Options{
		Log: zap.NewNop(), UID: nobody, GID: nobody, Facts: Facts{Parent: os.Getppid()}, Dirs: func() []string { return nil },
		Open: func() Session { return s }, Ready: func() {}, Stderr: func([]byte) {},
		command: []string{"/proc/self/exe", os.Args[0]}, env: append(os.Environ(), modeEnv+"=goes with a request"),
	})
	if end != Ended || err != nil {
		t.Fatalf("end %d, %v", end, err)
	}
	select {
	case <-s.again:
	case <-time.After(time.Minute):
		t.Fatal("it is not closed again")
	}
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d are open", n)
	}
}
