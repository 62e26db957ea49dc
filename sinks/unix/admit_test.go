package unix

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

// refused dials and holds that the connection is closed at once.
func (b *bench) refused(times uint64) {
	b.t.Helper()
	conn, err := net.Dial("unix", b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	if got := readAll(b.t, conn); len(got) != 0 {
		b.t.Errorf("a refused client got %q", got)
	}
	if n := b.sink.Status().Details.(*Details).Refused; n != times {
		b.t.Errorf("refused %d, want %d", n, times)
	}
}

func TestMaxClients(t *testing.T) {
	cfg := settings(sock(t))
	cfg.MaxClients = 2
	b := start(t, cfg, lossless())
	first, second := b.dial(), b.dial()
	for i := range uint64(20) {
		b.refused(i + 1)
	}
	if n := b.logs.FilterMessage("client refused").Len(); n != tallyBurst {
		t.Errorf("20 refusals gave %d lines", n)
	}
	lines := b.put(0, 10)
	readExactly(t, first, lines)
	readExactly(t, second, lines)

	// The place of one that left is free for one that comes right after.
	first.Close()
	third, err := net.Dial("unix", b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	b.clients(2)
	readExactly(t, second, b.put(10, 10))
	b.stop()
	if !said(b, "client refused (not logged one by one)", "times:15 total:20") {
		t.Errorf("the total was not said: %v", b.logs.All())
	}
}

func TestAllowUIDs(t *testing.T) {
	needRoot(t)
	socat := lab.NeedTool(t, "socat")
	cfg := settings(sock(t))
	cfg.Mode = 0o666
	cfg.AllowUIDs = []int{65533}
	b := start(t, cfg, lossless())
	eventually(t, "a connection, which is refused", func() bool {
		conn, err := net.Dial("unix", b.path)
		if err != nil {
			return false
		}
		defer conn.Close()
		return len(readAll(t, conn)) == 0
	})
	if !said(b, "client refused", "not in allow_uids") || len(b.sink.Status().Details.(*Details).Clients) != 0 {
		t.Errorf("root came in: %v", b.logs.All())
	}

	child := func(uid uint32) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(socat, "-u", "UNIX-CONNECT:"+cfg.Path, "-")
		var out bytes.Buffer
		cmd.Stdout = &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 65533}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	before := b.sink.Status().Details.(*Details).Refused
	cmd, out := child(65532)
	cmd.Wait()
	if out.Len() != 0 || b.sink.Status().Details.(*Details).Refused != before+1 {
		t.Errorf("uid 65532 came in")
	}
	cmd, out = child(65533)
	b.clients(1)
	if c := b.sink.Status().Details.(*Details).Clients[0]; c.UID != 65533 || c.Pid != cmd.Process.Pid {
		t.Errorf("%+v", c)
	}
	want := b.put(0, 100)
	b.queue.Close()
	b.wait()
	cmd.Wait()
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("uid 65533 got %d of %d bytes", out.Len(), len(want))
	}
}

// TestOutOfDescriptors: while there are none connections wait and the sink is
// degraded; then it continues by itself.
func TestOutOfDescriptors(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	first := b.dial()
	readExactly(t, first, b.put(0, 10))
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	waiting, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(waiting)
	restore := func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }
	defer restore()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(waiting), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	for { // what was free below that, as the sink had it open for a moment
		fd, err := unix.Dup(waiting)
		if err != nil {
			break
		}
		defer unix.Close(fd)
	}
	if err := unix.Connect(waiting, &unix.SockaddrUnix{Name: b.path}); err != nil {
		t.Fatal(err)
	}
	b.degraded("accept on")
	readExactly(t, first, b.put(10, 10))
	restore()
	b.clients(2)
	b.healthy()
}

// TestMaxPerUID: one user does not take all the places; root, who reads the log anyway, is no such user.
func TestMaxPerUID(t *testing.T) {
	needRoot(t)
	socat := lab.NeedTool(t, "socat")
	cfg := settings(sock(t))
	cfg.Mode, cfg.MaxPerUID = 0o666, 2
	b := start(t, cfg, lossless())
	for range 3 {
		b.dial() // as root
	}
	child := func(uid uint32) *exec.Cmd {
		cmd := exec.Command(socat, "-u", "UNIX-CONNECT:"+cfg.Path, "OPEN:/dev/null")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 65533}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd
	}
	first := child(65532)
	child(65532)
	b.clients(5)
	third := child(65532)
	third.Wait()
	if n := b.sink.Status().Details.(*Details).Refused; n != 1 {
		t.Errorf("%d refused, want the third of one user", n)
	}
	if !said(b, "client refused", "uid:65532") || !said(b, "client refused", fmt.Sprintf("pid:%d", third.Process.Pid)) {
		t.Errorf("who was refused is not said: %v", b.logs.All())
	}
	child(65533)
	b.clients(6)
	first.Process.Kill()
	b.clients(5)
	child(65532)
	b.clients(6)
}

// TestPaceLimitsStormsOnly: a storm of connections is taken at the rate that is meant, a few at once are not held up.
func TestPaceLimitsStormsOnly(t *testing.T) {
	now := time.Unix(1000, 0)
	var p pace
	for i := range paceBurst - 1 {
		if d := p.next(now); d != 0 {
			t.Fatalf("connection %d has to wait %v", i+1, d)
		}
	}
	from := now
	for range 5000 {
		now = now.Add(p.next(now))
	}
	if d := now.Sub(from); d < 4900*paceTime || d > 5000*paceTime {
		t.Errorf("5000 connections took %v", d)
	}
	now = now.Add(2 * paceBurst * paceTime)
	for i := range paceBurst - 1 {
		if d := p.next(now); d != 0 {
			t.Fatalf("after a pause connection %d has to wait %v", i+1, d)
		}
	}
	if d := p.next(now.Add(-time.Hour)); d < 0 || d > paceTime {
		t.Errorf("a clock that is set back makes it wait %v", d)
	}
}

// TestStormOfConnections: others get in while one connects over and over.
func TestStormOfConnections(t *testing.T) {
	cfg := settings(sock(t))
	cfg.MaxClients = 2
	b := start(t, cfg, lossless())
	first := b.dial()
	held := b.dial()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if conn, err := net.Dial("unix", b.path); err == nil {
				conn.Close()
			}
		}
	}()
	eventually(t, "a storm", func() bool { return b.sink.Status().Details.(*Details).Refused > 2*paceBurst })
	readExactly(t, first, b.put(0, 100))
	held.Close()
	b.clients(1)
	close(stop)
	<-done
}
