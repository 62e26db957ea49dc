package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns both ends of a connection, and what Serve returns in the end.
func connect(t *testing.T, handle Handler) (*Client, *Server, <-chan error) {
	t.Helper()
	ours, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(ours, handle)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(theirs)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		c.Close()
		s.Close()
		<-c.Gone()
	})
	return c, s, served
}

// TestCallsAndAnswers: arguments, results, descriptors in both directions, and errors that the system knows, cross the socket.
func TestCallsAndAnswers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, _ := connect(t, serveTests(file))
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			var got int
			if err := c.Do("x", "double", n, &got); err != nil || got != 2*n {
				t.Errorf("double %d: %d, %v", n, got, err)
			}
		})
	}
	wg.Wait()

	fd, err := c.Open("x", "open", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child would inherit it: %d, %v", flags, err)
	}
	var size int64
	if _, err := c.Call("x", "size", nil, &size, 0, fd); err != nil || size != int64(len("content")) {
		t.Errorf("size %d, %v", size, err)
	}
	if err := c.Do("x", "errno", nil, nil); err != unix.ENOENT || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("errno: %v", err)
	}
	if err := c.Do("x", "wrapped", nil, nil); !errors.Is(err, fs.ErrPermission) || err.Error() != "open it: permission denied" {
		t.Errorf("wrapped: %v", err)
	}
	for op, says := range map[string]string{"panic": "panicked", "other": `"other" cannot be done with "x"`} {
		if err := c.Do("x", op, nil, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := c.Open("x", "double", 1, nil); err == nil {
		t.Error("an answer without its descriptor was taken for one")
	}
	if err := c.Do("x", "open", nil, nil); err == nil {
		t.Error("a descriptor that nobody wanted was taken")
	}
	var any any
	if err := c.Do("x", "nothing", nil, &any); err == nil || !strings.Contains(err.Error(), "no result for nothing of x") {
		t.Errorf("an answer without the result that is wanted: %v", err)
	}
}

// serveTests returns what serves the test above.
func serveTests(file string) Handler {
	return func(c *Call) (a Answer, err error) {
		switch c.Op {
		case "double":
			var n int
			err = c.Args(&n)
			a.Result = 2 * n
		case "open":
			var fd int
			fd, err = unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			a.FDs = []int{fd}
		case "size":
			var st unix.Stat_t
			err = unix.Fstat(c.FDs[0], &st)
			a.Result = st.Size
		case "nothing":
		case "errno":
			return a, unix.ENOENT
		case "wrapped":
			return a, fmt.Errorf("open it: %w", unix.EACCES)
		case "panic":
			panic("as asked")
		default:
			return a, c.Unknown()
		}
		return a, err
	}
}

// TestTheEndOfOneIsSeenByTheOther: calls that wait fail when the monitor goes, Serve returns when the worker does.
func TestTheEndOfOneIsSeenByTheOther(t *testing.T) {
	hold := make(chan struct{})
	asked := make(chan struct{})
	c, s, served := connect(t, func(*Call) (Answer, error) {
		close(asked)
		<-hold
		return Answer{}, nil
	})
	failed := make(chan error)
	go func() { failed <- c.Do("x", "wait", nil, nil) }()
	<-asked
	if err := s.Notify("something"); err != nil {
		t.Error(err)
	}
	if said := <-c.Notices(); said != "something" {
		t.Errorf("notice %q", said)
	}
	s.Close()
	if err := <-failed; !errors.Is(err, ErrGone) {
		t.Errorf("a call: %v", err)
	}
	if err := c.Do("x", "later", nil, nil); !errors.Is(err, ErrGone) {
		t.Errorf("a later call: %v", err)
	}
	close(hold)
	if err := <-served; err != nil {
		t.Errorf("served: %v", err)
	}
}

// TestNonsenseEndsTheConnection: what no client sends is an error of Serve, and nothing that came with it stays open.
func TestNonsenseEndsTheConnection(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "x", "no id": `{"item":"a"}`, "an id below 0": `{"id":-1}`, "a list": `[]`,
		"too long": `{"id":1,"item":"` + strings.Repeat("a", maxMessage) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, _, served := connect(t, func(*Call) (Answer, error) { return Answer{}, nil })
			var pipe [2]int
			if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pipe[0])
			_, _, err := c.conn.WriteMsgUnix([]byte(text), unix.UnixRights(pipe[1]), nil)
			unix.Close(pipe[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := <-served; !errors.Is(err, errMessage) {
				t.Errorf("served: %v", err)
			}
			if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
				t.Errorf("the descriptor is still open: %d, %v", n, err)
			}
		})
	}
}

// TestTooMuchIsRefused: more requests at a time, and longer answers, than there may be.
func TestTooMuchIsRefused(t *testing.T) {
	hold := make(chan struct{})
	c, _, _ := connect(t, func(c *Call) (a Answer, err error) {
		if c.Op == "long" {
			a.Result = strings.Repeat("a", maxMessage)
			return a, nil
		}
		<-hold
		return a, nil
	})
	if err := c.Do("x", "long", nil, nil); err != syscall.EMSGSIZE {
		t.Errorf("a long answer: %v", err)
	}
	if err := c.Do("x", "long", strings.Repeat("a", maxMessage), nil); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("a long request: %v", err)
	}
	var wg sync.WaitGroup
	results := make(chan error, maxRunning+1)
	for range maxRunning + 1 {
		wg.Go(func() { results <- c.Do("x", "wait", nil, nil) })
	}
	if err := <-results; err != syscall.EAGAIN { // all others wait
		t.Errorf("one too many: %v", err)
	}
	close(hold)
	wg.Wait()
}

// TestEmptyMessageKeepsNothing: what comes with it is closed, and the connection with it.
func TestEmptyMessageKeepsNothing(t *testing.T) {
	ours, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	s, err := NewServer(ours, serveTests(""))
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	oob := unix.UnixRights(pipe[1]) // not by unix.Sendmsg, which sends a byte with it
	msg := unix.Msghdr{Control: &oob[0]}
	msg.SetControllen(len(oob))
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, theirs.Fd(), uintptr(unsafe.Pointer(&msg)), 0)
	unix.Close(pipe[1])
	if errno != 0 {
		t.Fatal(errno)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("served: %v", err)
	}
	if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("somebody has the other end: %d, %v", n, err)
	}
}

// TestAtMost: what takes much, or may hang, is done for one request at a time, or for few, however many there are.
func TestAtMost(t *testing.T) {
	for most, limit := range map[int]func(Handler) Handler{1: OneByOne, 2: func(serve Handler) Handler { return AtMost(2, serve) }} {
		synctest.Test(t, func(t *testing.T) {
			var running atomic.Int32
			proceed := make(chan struct{})
			serve := limit(func(*Call) (a Answer, err error) {
				running.Add(1)
				<-proceed
				running.Add(-1)
				return a, nil
			})
			const requests = 5
			for range requests {
				go serve(NewCall("x", "y", ""))
			}
			for left := requests; left > 0; left-- {
				synctest.Wait()
				if n := int(running.Load()); n != min(most, left) {
					t.Errorf("%d are served of %d, want %d at most", n, left, most)
				}
				proceed <- struct{}{}
			}
		})
	}
}

func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(burst, perSecond, now)
	for n := range burst {
		if d := p.next(now); d != 0 {
			t.Fatalf("request %d waits %v", n, d)
		}
	}
	if d := p.next(now); d < time.Second/perSecond-1 || d > time.Second/perSecond+1 {
		t.Errorf("the next waits %v", d)
	}
	if d := p.next(now.Add(time.Hour)); d != 0 {
		t.Errorf("after an hour: %v", d)
	}
}

// TestLimit: what is refused does not count, and what was not asked for does not add up beyond the burst.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := 0
		serve := Limit(3, 2, func(*Call) (a Answer, err error) {
			served++
			return a, nil
		})
		for _, x := range []struct {
			after time.Duration
			want  int
		}{{0, 3}, {250 * time.Millisecond, 0}, {250 * time.Millisecond, 1}, {time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(x.after)
			served = 0
			for range 10 {
				if _, err := serve(NewCall("item", "op", "")); err != nil && err.Error() != `"op" of "item" is asked for too often` {
					t.Error(err)
				}
			}
			if served != x.want {
				t.Errorf("after %v %d are served, want %d", x.after, served, x.want)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"id":1,"item":"config","op":"load"}`, `{"id":2,"data":{"a":[1]},"errno":2,"error":"no such file or directory"}`, `{"id":18446744073709551615}`, "{}", "", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text)
		if err != nil {
			if !errors.Is(err, errMessage) {
				t.Errorf("%v", err)
			}
			return
		}
		_ = m.err()
		c := Call{Item: m.Item, Op: m.Op, args: m.Data}
		var any any
		_ = c.Args(&any)
		_ = c.Unknown().Error()
		if again, err := json.Marshal(m); err != nil || len(again) == 0 {
			t.Errorf("%v", err)
		}
	})
}

// FuzzServe: whatever bytes come, the server answers or ends, and calls no handler without an id.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"id":1,"item":"x","op":"y"}`), uint8(0))
	f.Add([]byte(`{"id":0}`), uint8(2))
	f.Add([]byte("\xff"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, fds uint8) {
		if len(text) == 0 || len(text) > maxMessage {
			return
		}
		ours, theirs, err := SocketPair()
		if err != nil {
			t.Skip(err)
		}
		s, err := NewServer(ours, func(c *Call) (Answer, error) { return Answer{Result: c.Item}, nil })
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		var oob []byte
		if n := int(fds % 4); n > 0 {
			list := make([]int, n)
			oob = unix.UnixRights(list...) // stdin, some times
		}
		_ = unix.Sendmsg(int(theirs.Fd()), text, oob, nil, unix.MSG_NOSIGNAL)
		theirs.Close()
		<-served
	})
}
