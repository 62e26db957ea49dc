package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a Conn and the receiver's end.
func pair(t *testing.T, kind int) (*Conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(fds[0], "sender")
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "receiver")
	t.Cleanup(func() { c.Close(); theirs.Close() })
	return c, theirs
}

// TestWaitIsForTheLastByte: whatever was sent, Wait ends when all is read and not before.
func TestWaitIsForTheLastByte(t *testing.T) {
	for _, size := range []int{1, 100, 1000, 4000, 64 << 10, 1 << 20} {
		c, theirs := pair(t, unix.SOCK_STREAM)
		var read int
		ended := make(chan error, 1)
		go func() {
			_, err := c.Write(context.Background(), make([]byte, size))
			if err == nil {
				err = c.Wait(context.Background())
			}
			ended <- err
		}()
		buf := make([]byte, 700)
		for read < size-1 {
			n, err := theirs.Read(buf[:min(len(buf), size-1-read)])
			if err != nil {
				t.Fatal(err)
			}
			read += n
		}
		select {
		case err := <-ended:
			t.Fatalf("of %d bytes one was not read and Wait ended: %v", size, err)
		case <-time.After(30 * time.Millisecond): // it may be late, but not early
		}
		if _, err := theirs.Read(buf[:1]); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestBatchesOfAllSizesArriveWhole, one after another.
func TestBatchesOfAllSizesArriveWhole(t *testing.T) {
	c, theirs := pair(t, unix.SOCK_STREAM)
	var want, got bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(&got, theirs)
		ended <- err
	}()
	for i := range 2000 {
		p := bytes.Repeat([]byte{byte(i)}, 1+i*37%5000)
		want.Write(p)
		if _, err := c.Write(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	c.Shutdown()
	if err := <-ended; err != nil || !bytes.Equal(want.Bytes(), got.Bytes()) {
		t.Errorf("%d of %d bytes arrived, or others: %v", got.Len(), want.Len(), err)
	}
}

// TestReceiverEndsWithSomethingUnread: an end with something unread is distinguished from one where all was read.
func TestReceiverEndsWithSomethingUnread(t *testing.T) {
	for _, tt := range []struct {
		sent, read int
		want       error
	}{{100, 0, ErrUnread}, {100, 99, ErrUnread}, {100_000, 99_999, ErrUnread}, {100, 100, nil}, {60_000, 60_000, nil}} {
		c, theirs := pair(t, unix.SOCK_STREAM)
		if _, err := c.Write(context.Background(), make([]byte, tt.sent)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, theirs, int64(tt.read)); err != nil {
			t.Fatal(err)
		}
		if c.Ended() != nil {
			t.Error("it has not ended yet")
		}
		go theirs.Close() // now or while Wait waits
		if err := c.Wait(context.Background()); !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
			t.Errorf("%d of %d bytes read: error %v, want %v", tt.read, tt.sent, err, tt.want)
		}
		theirs.Close()
		if c.Ended() == nil {
			t.Error("Ended says nothing")
		}
		if _, err := c.Write(context.Background(), []byte("x")); err == nil {
			t.Error("written though nothing reads")
		}
	}
}

// TestReceiverThatTalksFirst: more than a socket holds before it reads anything.
func TestReceiverThatTalksFirst(t *testing.T) {
	c, theirs := pair(t, unix.SOCK_STREAM)
	ended := make(chan error, 1)
	go func() {
		_, err := theirs.Write(make([]byte, 1<<20))
		if err == nil {
			_, err = io.CopyN(io.Discard, theirs, 64<<10)
		}
		ended <- err
	}()
	_, err := c.Write(context.Background(), make([]byte, 64<<10))
	if err == nil {
		err = c.Wait(context.Background())
	}
	if err := errors.Join(err, <-ended); err != nil {
		t.Error(err)
	}
}

// TestResetIsNotOverheard: a receiver that talks and ends with something unread, while it is waited for, is
// not taken for one that has read all.
func TestResetIsNotOverheard(t *testing.T) {
	for range 20 {
		c, theirs := pair(t, unix.SOCK_STREAM)
		c.Idle = func() error { // after what the receiver says was read
			theirs.Write([]byte("x"))
			theirs.Close()
			return nil
		}
		if _, err := c.Write(context.Background(), []byte("unread")); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(context.Background()); err == nil {
			t.Fatal("no error")
		}
	}
	c, theirs := pair(t, unix.SOCK_STREAM)
	if _, err := c.Write(context.Background(), []byte("unread")); err != nil {
		t.Fatal(err)
	}
	theirs.Write([]byte("x"))
	theirs.Close()
	if said, err := c.overhear(); !said || err != unix.ECONNRESET {
		t.Errorf("said %v, error %v", said, err)
	}
}

// TestCancelEndsWriteAndWait: the connection works afterwards.
func TestCancelEndsWriteAndWait(t *testing.T) {
	c, theirs := pair(t, unix.SOCK_STREAM)
	ctx, cancel := context.WithCancel(context.Background())
	looks := 0
	c.Idle = func() error { looks++; cancel(); return nil }
	n, err := c.Write(ctx, make([]byte, 4<<20))
	if n == 0 || n == 4<<20 || !errors.Is(err, context.Canceled) || looks == 0 {
		t.Errorf("%d bytes, %v, %d looks", n, err, looks)
	}
	if err := c.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mine := errors.New("mine")
	c.Idle = func() error { return mine }
	if err := c.Wait(context.Background()); err != mine {
		t.Error(err)
	}
	c.Idle = nil
	go io.CopyN(io.Discard, theirs, int64(n))
	if err := c.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsACallThatWaits(t *testing.T) {
	c, _ := pair(t, unix.SOCK_STREAM)
	if _, err := c.Write(context.Background(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	c.Idle = func() error { c.Close(); return nil }
	if err := c.Wait(context.Background()); err == nil {
		t.Error("no error")
	}
}

// TestFileIsReplacedByAnother: not while it is only missing, nor if it was not there at first.
func TestFileIsReplacedByAnother(t *testing.T) {
	path := t.TempDir() + "/s"
	bind := func() {
		t.Helper()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
	}
	none := Look(path)
	bind()
	f := Look(path)
	check := func(when string, want bool) {
		t.Helper()
		if none.Replaced() || f.Replaced() != want {
			t.Errorf("%s: %v, and of none %v", when, f.Replaced(), none.Replaced())
		}
	}
	check("at first", false)
	os.Remove(path)
	check("missing", false)
	bind()
	check("bound by another", true)
}

func TestDatagramsArriveWhole(t *testing.T) {
	c, theirs := pair(t, unix.SOCK_DGRAM)
	if !c.Datagram() {
		t.Error("not taken for one of datagrams")
	}
	got := make(chan int, 3)
	go func() {
		buf := make([]byte, 1<<20)
		for range cap(got) {
			n, _ := theirs.Read(buf)
			got <- n
		}
	}()
	for _, size := range []int{1, 1000, MaxDatagram} {
		if _, err := c.Write(context.Background(), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := <-got; n != size {
			t.Errorf("a datagram of %d bytes, want %d", n, size)
		}
	}
}
