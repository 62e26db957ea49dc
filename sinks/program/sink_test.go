package program

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/stream"
)

// TestDyingChild: each new child gets whole records from the first one on that
// its predecessor's socket had not taken, until the restarts are used up; then a
// Reopen starts it again.
func TestDyingChild(t *testing.T) {
	dir := t.TempDir()
	r := run(t, testSink(t, 3, "nibble", dir))
	r.put(0, 20_000) // more than sockets hold: every child is busy when it dies
	usedUp := func() bool { return strings.Contains(r.s.Status().Error, "4 times in a row") }
	r.eventually("used up restarts", usedUp)
	if st := r.s.Status(); st.Restarts != 3 || !st.Degraded || st.Pid != 0 {
		t.Errorf("status %+v, want 3 restarts, degraded, no pid", st)
	}
	queued := r.q.Counts().Queued
	if queued == 0 {
		t.Error("the queue is empty: a dead child has taken its records")
	}
	names, _ := filepath.Glob(filepath.Join(dir, "out.*"))
	if len(names) != 4 {
		t.Errorf("%d children ran, want 4", len(names))
	}
	last := -1
	all := sinktest.Lines(0, 20_000)
	for _, name := range names {
		data, _ := os.ReadFile(name)
		at := bytes.Index(all, data)
		switch {
		case len(data) != 1000:
			t.Errorf("%s got %d bytes, want 1000", name, len(data))
		case at < 0:
			t.Errorf("%s got what was never sent: %q", name, data[:100])
		case at > 0 && all[at-1] != '\n':
			t.Errorf("%s began within a line: %q", name, data[:100])
		case at <= last:
			t.Errorf("%s got again what an earlier child had read", name)
		}
		last = at
	}
	r.s.Reopen()
	r.eventually("a restart after Reopen", func() bool { return r.s.Status().Restarts > 3 })
}

// TestPartOfABatch: when a child dies in the middle of a write, only what its
// socket had taken counts as delivered, whole records of it.
func TestPartOfABatch(t *testing.T) {
	s := testSink(t, 0, "nibble", t.TempDir())
	data := sinktest.Lines(0, 40_000) // 8 MiB: more than any socket takes
	b := stream.Batch{Buf: data}
	for off := 0; off < len(data); {
		n := bytes.IndexByte(data[off:], '\n') + 1
		b.Recs = append(b.Recs, stream.Record{Off: uint32(off), Len: uint32(n)})
		off += n
	}
	n, err := s.w.Write(context.Background(), b)
	if n == 0 || n == len(b.Recs) || err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%d of %d records delivered, error %v; want a part of them and how the child ended", n, len(b.Recs), err)
	}
	if err := s.w.Close(); err != nil {
		t.Error(err)
	}
}

// TestPauses grow up to the longest, and begin anew after a long life.
func TestPauses(t *testing.T) {
	w := newWriter(settings("/bin/false", 10), format.Encoder{}, zap.NewNop())
	var got []string
	for range 12 {
		w.delay()
		got = append(got, w.pause.String())
	}
	const want = "100ms 200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 51.2s 1m0s 1m0s"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("pauses %s, want %s", s, want)
	}
	for _, lived := range []time.Duration{maxPause - 1, maxPause} {
		w.pause, w.tries = 10*time.Second, 5
		began := time.Unix(1000, 0)
		c := &child{proc: &os.Process{}, began: began, end: began.Add(lived), done: make(chan struct{})}
		close(c.done)
		w.child = c
		err := w.bury()
		if fresh := w.pause == minPause && w.tries == 0; fresh != (lived == maxPause) {
			t.Errorf("after a life of %v the pause is %v, %d starts: %v", lived, w.pause, w.tries, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error is not one line: %q", err)
		}
	}
}

// TestIdleChildIsRestarted: without a record to write too.
func TestIdleChildIsRestarted(t *testing.T) {
	r := run(t, testSink(t, 10, "collect", t.TempDir()))
	r.eventually("a child", func() bool { return r.s.Status().Pid != 0 })
	pid := r.s.Status().Pid
	unix.Kill(pid, unix.SIGKILL)
	r.eventually("another child", func() bool { p := r.s.Status().Pid; return p != 0 && p != pid })
	if st := r.s.Status(); st.Restarts != 1 || !strings.Contains(st.Error, "signal: killed") {
		t.Errorf("status %+v, want one restart after a kill", st)
	}
}

// TestClose: however the child takes the end of its input, Run ends, and
// neither child nor zombie is left.
func TestClose(t *testing.T) {
	for _, helper := range []string{"collect", "stubborn", "deaf"} {
		for _, stopped := range []bool{false, true} {
			t.Run(helper+" stopped="+strconv.FormatBool(stopped), func(t *testing.T) {
				r := run(t, testSink(t, 10, helper, t.TempDir()))
				r.eventually("a child", func() bool { return r.s.Status().Pid != 0 })
				pid := r.s.Status().Pid
				if stopped {
					unix.Kill(pid, unix.SIGSTOP)
				}
				r.q.Close()
				<-r.done
				if !gone(pid) {
					t.Errorf("pid %d is still there", pid)
				}
			})
		}
	}
}

// TestGraces: what Close waits at most leaves time within auditd's second.
func TestGraces(t *testing.T) {
	if sum := eofGrace + termGrace + killGrace; sum >= 700*time.Millisecond {
		t.Errorf("a child may take %v to end", sum)
	}
}

// TestBlockedChild: a child that never reads fills its queue, whose policy then
// applies; Run can be cancelled in the middle of the write.
func TestBlockedChild(t *testing.T) {
	s := testSink(t, 10, "stubborn")
	r := run(t, s)
	r.q.SetConfig(queue.Config{Depth: 1000, Bytes: 1 << 20, Hold: true})
	for i := range 100 {
		r.put(i*100, 100) // returns: lossy
	}
	r.eventually("losses", func() bool { r.put(0, 100); c := r.q.Counts(); return c.LostRecords() > 0 })
	c := r.q.Counts()
	if c.Stalls != 0 || c.Received != c.Delivered+c.Queued+c.LostRecords() {
		t.Errorf("balance %+v", c)
	}
	pid := s.Status().Pid
	r.cancel()
	<-r.done
	if !gone(pid) {
		t.Errorf("pid %d is still there", pid)
	}
}

// TestTimeUpIsNotSpentOnAStubbornChild: when the plugin itself has to be gone, the
// time a child has to end by itself (here: for ever) is cut short.
func TestTimeUpIsNotSpentOnAStubbornChild(t *testing.T) {
	s := testSink(t, 10, "stubborn")
	s.w.eofGrace = time.Hour
	r := run(t, s)
	r.eventually("a child", func() bool { r.put(0, 100); return s.Status().Pid != 0 })
	pid := s.Status().Pid
	r.end(sinks.ErrTimeUp)
	<-r.done
	if !gone(pid) {
		t.Errorf("pid %d is still there", pid)
	}
}

// TestClosedStdin: a child that has closed its stdin is replaced.
func TestClosedStdin(t *testing.T) {
	r := run(t, testSink(t, 1, "deaf"))
	r.eventually("a restart", func() bool { r.put(0, 10); return r.s.Status().Restarts == 1 })
}

// TestGrandchildHoldsStdin: when the child is gone, a process of its own that
// still has its stdin does not hold us.
func TestGrandchildHoldsStdin(t *testing.T) {
	dir := t.TempDir()
	var pids []int
	t.Cleanup(func() {
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	r := run(t, testSink(t, 0, "leave", dir))
	r.put(0, 20_000)
	r.eventually("a grandchild", func() bool { pids = grandchildren(dir); return len(pids) > 0 })
	r.eventually("the end of the child", func() bool { return strings.Contains(r.s.Status().Error, "exit status 0") })
	if gone(pids[0]) {
		t.Error("the grandchild is gone: the test shows nothing")
	}
}

func grandchildren(dir string) (pids []int) {
	names, _ := filepath.Glob(filepath.Join(dir, "grandchild.*"))
	for _, name := range names {
		if pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(name), ".")); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestHangup: a child that is old enough gets the SIGHUP.
func TestHangup(t *testing.T) {
	dir := t.TempDir()
	r := run(t, testSink(t, 0, "collect", dir))
	r.put(0, 10)
	r.eventually("a SIGHUP", func() bool {
		r.s.Reopen()
		_, err := os.Stat(filepath.Join(dir, "hup"))
		return err == nil
	})
	if st := r.s.Status(); st.Restarts != 0 || st.Degraded {
		t.Errorf("status %+v: the child did not live on", st)
	}
}

// TestRefuses: what auditd would not start is not started, and the error says
// what to do.
func TestRefuses(t *testing.T) {
	script := "#!/bin/sh\nexec cat\n"
	for _, tt := range []struct {
		name string
		make func(path string) error
		says string
	}{
		{"missing", func(string) error { return nil }, "install it"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o755) }, "not a regular file"},
		{"not executable", func(p string) error { return os.WriteFile(p, []byte(script), 0o644) }, "chmod 0750"},
		{"writable by others", func(p string) error { os.WriteFile(p, []byte(script), 0); return os.Chmod(p, 0o757) }, "chmod go-w"},
		{"writable by the group", func(p string) error { os.WriteFile(p, []byte(script), 0); return os.Chmod(p, 0o770) }, "chmod go-w"},
		{"someone else's", func(p string) error { os.WriteFile(p, []byte(script), 0o755); return os.Chown(p, 1, -1) }, "chown root"},
		{"no program", func(p string) error { return os.WriteFile(p, []byte("\x00\x01"), 0o755) }, "no program for this machine"},
		{"no interpreter", func(p string) error { return os.WriteFile(p, []byte("#!/no/such/file\n"), 0o755) }, "install it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.says == "chown root" && os.Getuid() != 0 {
				skip(t, "needs root to give a file away")
			}
			path := filepath.Join(t.TempDir(), "prog")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			c, err := startChild(path, nil)
			if err == nil {
				c.terminate(nil)
				t.Fatal("it was started")
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q, want %q and the path in it", err, tt.says)
			}
		})
	}
}
