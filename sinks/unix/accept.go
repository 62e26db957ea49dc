package unix

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	sys "golang.org/x/sys/unix"

	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// DefaultSendBuffer is the SO_SNDBUF asked for. A write ends short when it is full
// and the next begins when three quarters are free (unix_writable in
// net/unix/af_unix.c). With socat as the reader of a bulk feed it costs half the
// context switches of the kernel's default (208 KiB) and some 15 % less CPU a
// record; more than this gains nothing. What is in there counts as delivered.
const DefaultSendBuffer = 512 << 10

// accept takes connections until l is closed.
func (s *Sink) accept(ctx context.Context, l *listener, q *queue.Queue) {
	backoff, failed := s.MinBackoff, false
	var pace pace
	for {
		fd, err := l.accept()
		switch {
		case err == nil:
			if failed {
				backoff, failed = s.MinBackoff, false
				s.Reopen() // which finds that all is well again
			}
			s.admit(ctx, fd, q)
			if d := pace.next(time.Now()); d > 0 && !l.pause(ctx, d) {
				return
			}
			continue
		case sinks.IsClosed(l.closed): // the error is one of the poller's own then
			return
		}

		// Out of descriptors or memory: the connection stays in the backlog.
		failed = true
		s.Fail(fmt.Errorf("accept on %s: %w: raise the limit of open files, or end what holds them", l.path, err))
		if !l.pause(ctx, backoff) {
			return
		}
		backoff = min(2*backoff, s.MaxBackoff)
	}
}

// pause waits for d and reports whether to continue.
func (l *listener) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-l.closed:
	}
	return false
}

// accept waits for a connection, or for the listener to be closed.
func (l *listener) accept() (fd int, err error) {
	conn, err := l.file.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = conn.Read(func(lfd uintptr) bool {
		for {
			fd, _, failed = sys.Accept4(int(lfd), sys.SOCK_CLOEXEC|sys.SOCK_NONBLOCK)
			if failed != sys.EINTR && failed != sys.ECONNABORTED {
				return failed != sys.EAGAIN
			}
		}
	})
	if err == nil {
		err = failed
	}
	return fd, err
}

// admit makes a client of the connection fd, or closes it.
func (s *Sink) admit(ctx context.Context, fd int, q *queue.Queue) {
	cred, err := sys.GetsockoptUcred(fd, sys.SOL_SOCKET, sys.SO_PEERCRED)
	if err != nil {
		s.refuse(fd, zap.Error(fmt.Errorf("peer credentials: %w", err)))
		return
	}

	uid, pid := int(cred.Uid), int(cred.Pid)
	if why := s.reject(uid); why != nil {
		s.refuse(fd, append([]zap.Field{zap.Int("uid", uid), zap.Int("pid", pid)}, why...)...)
		return
	}
	if sys.SetsockoptInt(fd, sys.SOL_SOCKET, sys.SO_SNDBUFFORCE, s.SendBuffer) != nil {
		sys.SetsockoptInt(fd, sys.SOL_SOCKET, sys.SO_SNDBUF, s.SendBuffer) // up to net.core.wmem_max
	}

	c := &client{
		fd: fd, uid: uid, pid: pid, program: programOf(pid), since: time.Now(), enc: s.enc, poll: s.poll,
		input: make(chan struct{}, 1), writable: make(chan struct{}, 1), gone: make(chan struct{}),
		done: make(chan struct{}),
	}
	if err := s.poll.add(c); err != nil {
		s.refuse(fd, zap.Error(err))
		return
	}

	c.cur = q.Cursor()
	s.mu.Lock()
	s.clients[c] = struct{}{}
	s.mu.Unlock()
	s.connected.add(zap.Int("uid", uid), zap.Int("pid", pid))
	s.wg.Go(func() { s.serve(ctx, c) })
}

// programOf returns the name of a process, "" where it has ended or is in another PID namespace.
// It is looked up when the process connects, since its number may be another's later.
func programOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
}

// reject says why a user may not connect now, nothing if it may. Only the goroutine that
// accepts adds clients.
func (s *Sink) reject(uid int) []zap.Field {
	if len(s.cfg.AllowUIDs) > 0 && !slices.Contains(s.cfg.AllowUIDs, uid) {
		return []zap.Field{zap.String("why", "its uid is not in allow_uids")}
	}
	s.reap()
	all, own := s.list(), 0
	for _, c := range all {
		if c.uid == uid {
			own++
		}
	}

	most, mostOwn := s.cfg.MaxClients, s.cfg.MaxPerUID
	switch {
	case most > 0 && len(all) >= most:
		return []zap.Field{zap.String("why", "max_clients are connected"), zap.Int("max_clients", most)}
	case mostOwn > 0 && uid != 0 && own >= mostOwn:
		return []zap.Field{zap.String("why", "max_per_uid of this user are connected"), zap.Int("max_per_uid", mostOwn)}
	}
	return nil
}

// reap waits until clients that had left before the present one came are gone: their places are free then, and with
// when_idle = "queue" the present one gets what they had not taken.
func (s *Sink) reap() {
	s.poll.collect()
	for _, c := range s.list() {
		if sinks.IsClosed(c.gone) {
			<-c.done // its next step ends it
		}
	}
}

// list returns the clients of this moment.
func (s *Sink) list() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.clients))
}

func (s *Sink) refuse(fd int, why ...zap.Field) {
	s.refusals.add(why...)
	sys.Close(fd)
}
