package plugin

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStdinReads: what is there is read at once, what comes later wakes the reader, and so does the end.
func TestStdinReads(t *testing.T) {
	t.Parallel()
	in, auditd := auditdSocket(t)
	buf := make([]byte, 100)
	read := func(want string) {
		t.Helper()
		if n, err := in.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	io.WriteString(auditd, "one")
	read("one")

	result := make(chan string)
	for _, text := range []string{"two", "three"} {
		go func() {
			n, _ := in.Read(buf)
			result <- string(buf[:n])
		}()
		io.WriteString(auditd, text)
		if got := <-result; got != text {
			t.Errorf("read %q, want %q", got, text)
		}
	}
	io.WriteString(auditd, "rest")
	auditd.Close()
	read("rest")
	for range 2 {
		if n, err := in.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
	}
}

// TestStdinWaits: Await waits for the first byte or the end of the stream, and Sleep for its time, in which more comes.
func TestStdinWaits(t *testing.T) {
	t.Parallel()
	in, auditd := auditdSocket(t)
	awaited := make(chan struct{})
	await := func() { go func() { in.Await(); awaited <- struct{}{} }() }

	await()
	select {
	case <-awaited:
		t.Error("it did not wait for anything to read")
	case <-time.After(20 * time.Millisecond):
	}
	io.WriteString(auditd, "first")
	<-awaited
	await() // finds it there
	<-awaited

	const nap = 20 * time.Millisecond
	began := time.Now()
	in.Sleep(nap)
	if took := time.Since(began); took < nap {
		t.Errorf("it slept for %v, want at least %v", took, nap)
	}
	io.WriteString(auditd, ", second")
	buf := make([]byte, 100)
	if n, err := in.Read(buf); err != nil || string(buf[:n]) != "first, second" {
		t.Errorf("%q, %v", buf[:n], err)
	}

	await()
	auditd.Close()
	<-awaited
	if _, err := in.Read(buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestStdinInterrupted: each interrupt ends a Read that waits or the next one that would, and loses nothing.
func TestStdinInterrupted(t *testing.T) {
	t.Parallel()
	in, auditd := auditdSocket(t)
	buf := make([]byte, 10)
	in.interrupt() // nobody waits
	if n, err := in.Read(buf); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	in.Await() // which the interrupt ends, too, but no other
	awaited := make(chan struct{})
	go func() { in.Await(); close(awaited) }()
	select {
	case <-awaited:
		t.Error("after an interrupt nothing is waited for any more")
	case <-time.After(20 * time.Millisecond):
	}
	io.WriteString(auditd, "x")
	<-awaited
	in.Read(buf)

	all := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	go func() {
		auditd.Write(all)
		auditd.Close()
	}()
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				in.interrupt()
			}
		}
	}()
	var got []byte
	for {
		in.Await()
		n, err := in.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
	}
	close(stop)
	<-stopped
	if !bytes.Equal(got, all) {
		t.Errorf("%d bytes came, want the %d that were written", len(got), len(all))
	}
}

// TestStdinAllocatesNothing for a read, whether it has to wait or not.
func TestStdinAllocatesNothing(t *testing.T) {
	in, auditd := auditdSocket(t)
	buf, text := make([]byte, 100), []byte("type=EOE msg=audit(1.000:1):\n")
	allocs := testing.AllocsPerRun(100, func() {
		auditd.Write(text)
		in.Await()
		in.Sleep(time.Microsecond)
		if n, err := in.Read(buf); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations a read", allocs)
	}
}

// TestStdinFails: a descriptor that is no socket is refused, and one that is closed is an error.
func TestStdinFails(t *testing.T) {
	file, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if in, err := newStdin(int(file.Fd())); err == nil {
		in.close()
		t.Error("a regular file is waited for")
	}
	in, _ := auditdSocket(t)
	open := in.fd
	defer func() { in.fd = open }()
	in.fd = -1
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, unix.EBADF) {
		t.Errorf("read of a closed descriptor: %v", err)
	}
}
