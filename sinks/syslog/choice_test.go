package syslog

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestCheaperWayIsTaken: each way is measured once, then the cheaper one is taken, and the other one is tried
// again in case the machine or the receiver has changed.
func TestCheaperWayIsTaken(t *testing.T) {
	cost := [ways]time.Duration{byNap: 3 * time.Microsecond, inSend: 2 * time.Microsecond}
	var c choice
	taken := func(windows int) (n [ways]int) {
		for range windows {
			n[c.way]++
			for range window / 64 {
				c.learn(64, 64*cost[c.way])
			}
		}
		return n
	}
	if c.way != byNap {
		t.Error("the first messages do not go by nap")
	}
	if n := taken(2); n != [ways]int{1, 1} {
		t.Errorf("the first two windows: %v, want one of each", n)
	}
	if n := taken(10 * tryEvery); n != [ways]int{10, 10 * (tryEvery - 1)} {
		t.Errorf("naps are dearer: %v", n)
	}
	cost[inSend] = 10 * time.Microsecond
	taken(tryEvery)
	if n := taken(10 * tryEvery); n != [ways]int{10 * (tryEvery - 1), 10} {
		t.Errorf("naps are cheaper now: %v", n)
	}
}

// TestBothWaysSendTheSame: to a receiver that is slow, fast and stops for a time, whichever way is taken.
func TestBothWaysSendTheSame(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // one may then be held
	}
	for how, name := range map[way]string{byNap: "by nap", inSend: "in send"} {
		t.Run(name, func(t *testing.T) {
			const messages = 500
			receiver, d := datagramPair(t)
			c := numbered(messages)
			sent := make(chan error, 1)
			go func() {
				n, err := d.sendAll(context.Background(), c, how)
				if n != messages && err == nil {
					err = fmt.Errorf("%d messages sent, want %d", n, messages)
				}
				sent <- err
			}()

			buf := make([]byte, 100)
			for i := range messages {
				if i%100 == 50 {
					time.Sleep(20 * time.Millisecond) // longer than a send waits
				}
				n, err := receiver.Read(buf)
				if want := fmt.Sprintf("message %d", i); err != nil || string(buf[:n]) != want {
					t.Fatalf("%q, %v; want %q", buf[:n], err, want)
				}
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStalledReceiverEndsBothWays: neither way waits without an end, or beyond its context.
func TestStalledReceiverEndsBothWays(t *testing.T) {
	for how, name := range map[way]string{byNap: "by nap", inSend: "in send"} {
		t.Run(name, func(t *testing.T) {
			const messages = 1000 // more than a socket takes
			_, d := datagramPair(t)
			c := numbered(messages)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if n, err := d.sendAll(ctx, c, how); err != context.DeadlineExceeded || n == 0 || n == messages {
				t.Errorf("%d messages, %v", n, err)
			}
			d.pace.stuck, d.pace.since = shortWaits+1, time.Now().Add(-2*stallLimit)
			if err := d.pace.wait(t.Context(), 0, how); err != errStalled {
				t.Errorf("%v, want %v", err, errStalled)
			}
		})
	}
}

// datagramPair returns a receiver's socket and what sends to it.
func datagramPair(t *testing.T) (*net.UnixConn, *datagrams) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	receiver, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.Close() })
	sender, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDatagrams(sender, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close(false) })
	return receiver, d
}

// numbered returns a chunk of n messages.
func numbered(n int) *chunk {
	c := &chunk{}
	for i := range n {
		c.buf = fmt.Appendf(c.buf, "message %d", i)
		c.marks = append(c.marks, mark{len(c.buf), i + 1, piece{}})
	}
	return c
}
