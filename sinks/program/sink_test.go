package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/host/runnable"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// TestNextChildGetsWhatTheLastHadNotRead: each new child gets whole records from the first one on that
// its predecessor had not read to its end, until the restarts are used up; then a
// Reopen starts it again.
func TestNextChildGetsWhatTheLastHadNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := run(t, testSink(t, 3, "nibble", dir))
	r.put(0, 20_000) // more than sockets hold: every child is busy when it dies
	usedUp := func() bool { return strings.Contains(r.s.Status().Error, "4 times in a row") }
	r.eventually("used up restarts", usedUp)
	if st := r.s.Status(); st.Details.(*Details).Restarts != 3 || !st.Degraded || st.Details.(*Details).Pid != 0 {
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
	rest := sinktest.Lines(0, 20_000)
	read := 0
	for _, name := range names {
		data, _ := os.ReadFile(name)
		if len(data) != 1000 || !bytes.HasPrefix(rest, data) {
			t.Fatalf("%s got %d bytes, want the next 1000:\n%.200q\n%.200q", name, len(data), data, rest)
		}
		whole := bytes.LastIndexByte(data, '\n') + 1
		rest = rest[whole:]
		read += bytes.Count(data, []byte{'\n'})
	}
	if got := r.q.Counts().Delivered; got != uint64(read) {
		t.Errorf("%d records count as delivered, %d were read", got, read)
	}
	r.s.Reopen()
	r.eventually("a restart after Reopen", func() bool { return r.s.Status().Details.(*Details).Restarts > 3 })
}

// TestOnlyWhatTheChildReadIsDelivered: when a child dies in the middle of a write, only what it has read
// counts as delivered, whole records of it.
func TestOnlyWhatTheChildReadIsDelivered(t *testing.T) {
	s := testSink(t, 0, "nibble", t.TempDir())
	data := sinktest.Lines(0, 40_000) // 8 MiB: more than any socket takes
	b := record.Batch{Buf: data}
	for off := 0; off < len(data); {
		n := bytes.IndexByte(data[off:], '\n') + 1
		b.Recs = append(b.Recs, record.Record{Off: uint32(off), Len: uint32(n)})
		off += n
	}
	n, err := s.w.Write(context.Background(), b)
	if want := bytes.Count(data[:1000], []byte{'\n'}); n != want || err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%d records delivered, error %v; want %d, and how the child ended", n, err, want)
	}
	if err := s.w.Close(); err != nil {
		t.Error(err)
	}
}

// TestRestOfALineBeginsNothing: a child that has not had the beginning of a line in pieces does not get the rest of it, which
// would look like a record of its own.
func TestRestOfALineBeginsNothing(t *testing.T) {
	dir := t.TempDir()
	s := testSink(t, 0, "collect", dir)
	write := func(want int, b record.Batch) {
		t.Helper()
		if n, err := s.w.Write(context.Background(), b); n != want || err != nil {
			t.Fatalf("%d of %d records: %v", n, want, err)
		}
	}
	const rest, cont = "type=USER_LOGIN\n", record.Cont | record.NoID
	both := record.Batch{Buf: []byte(rest + "whole\n"), Recs: []record.Record{{Len: uint32(len(rest)), Flags: cont}, {Off: uint32(len(rest)), Len: 6}}}
	write(1, both)
	write(1, record.Batch{Buf: both.Buf, Recs: both.Recs[1:]})
	write(1, record.Batch{Buf: []byte("begin "), Recs: []record.Record{{Len: 6, Flags: record.Open}}})
	write(1, record.Batch{Buf: []byte("end\n"), Recs: []record.Record{{Len: 4, Flags: cont}}})
	if err := s.w.Close(); err != nil {
		t.Error(err)
	}
	if got, want := string(collected(dir)), "whole\nbegin end\n"; got != want {
		t.Errorf("the child has %q, want %q", got, want)
	}
}

// TestHundredDeaths: of children that die at any place of the stream none costs a record, none
// is counted that no child has read, and none comes twice.
func TestHundredDeaths(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	const deaths, records = 100, 3000
	dir := t.TempDir()
	s := testSink(t, 1000, "crash", dir, strconv.Itoa(deaths))
	s.w.maxPause = 2 * time.Millisecond
	r := run(t, s)
	for i := range records / 100 {
		r.put(i*100, 100)
	}
	for n := uint64(0); n < deaths; n = r.s.Status().Details.(*Details).Restarts { // each in its time: this machine may be busy
		r.eventually("one more death", func() bool { return r.s.Status().Details.(*Details).Restarts > n })
	}
	r.eventually("all records delivered", func() bool { return r.q.Counts().Delivered == records })
	r.q.Close()
	<-r.done
	names, _ := filepath.Glob(filepath.Join(dir, "out.*"))
	if len(names) != deaths+1 {
		t.Errorf("%d children ran, want %d", len(names), deaths+1)
	}
	if got, want := collected(dir), sinktest.Lines(0, records); !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, want %d, or others", len(got), len(want))
	}
}

// TestUnreadRecordsAreNotDelivered: what no child has read is not delivered, the sink does not claim that it works
// again, and its error has what the program said last.
func TestUnreadRecordsAreNotDelivered(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	logged, logs := observer.New(zap.InfoLevel)
	s := newSink(settings("/bin/sh", 1000, "-c", `printf 'first\nno \033[31mremote_server \303\244\n' >&2; exit 6`), format.Encoder{}, zap.New(logged))
	hurry(s)
	s.w.settle = settleTime
	r := run(t, s)
	r.put(0, 500)
	r.eventually("some deaths", func() bool { r.put(0, 10); return s.Status().Details.(*Details).Restarts > 10 })
	st := s.Status()
	if c := r.q.Counts(); c.Delivered != 0 || c.LostRecords() != 0 {
		t.Errorf("%d delivered, %d lost, though no process reads", c.Delivered, c.LostRecords())
	}
	if want := `exit status 6, stderr "no \x1b[31mremote_server \u00e4"`; !st.Degraded || !strings.Contains(st.Error, want) {
		t.Errorf("status %+v, want degraded and %s", st, want)
	}
	if logs.FilterMessage("sink works again").Len() > 0 {
		t.Error("it is said to work again")
	}
}

// TestSteadyChildEndsDegraded: a sink works again when its child has lived for a while, also when
// there is nothing to write.
func TestSteadyChildEndsDegraded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testSink(t, 10, "crash", dir, "1")
	s.w.settle = 100 * time.Millisecond
	r := run(t, s)
	r.put(0, 10)
	r.eventually("the first death", func() bool { return s.Status().Failures > 0 })
	r.eventually("a child that works", func() bool { return !s.Status().Degraded })
	if st := s.Status(); st.Details.(*Details).Restarts != 1 || st.Details.(*Details).Pid == 0 {
		t.Errorf("status %+v", st)
	}
}

// TestPausesGrowAndBeginAgain: up to the longest, and from the shortest after a long life.
func TestPausesGrowAndBeginAgain(t *testing.T) {
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
		c, err := startChild("", Config{Path: "/bin/false"})
		if err != nil {
			t.Fatal(err)
		}
		<-c.done
		c.began = c.end.Add(-lived)
		w.child = c
		_, err = w.bury("")
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
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	r := run(t, testSink(t, 10, "collect", t.TempDir()))
	r.eventually("a child", func() bool { return r.s.Status().Details.(*Details).Pid != 0 })
	pid := r.s.Status().Details.(*Details).Pid
	unix.Kill(pid, unix.SIGKILL)
	r.eventually("another child", func() bool { p := r.s.Status().Details.(*Details).Pid; return p != 0 && p != pid })
	if st := r.s.Status(); st.Details.(*Details).Restarts != 1 || !strings.Contains(st.Error, "signal: killed") {
		t.Errorf("status %+v, want one restart after a kill", st)
	}
}

// TestReopenSendsHangup: a child that is old enough gets the SIGHUP.
func TestReopenSendsHangup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := run(t, testSink(t, 0, "collect", dir))
	r.put(0, 10)
	// Before that file is there a SIGHUP would end the child.
	r.eventually("the child to be ready", func() bool {
		_, err := os.Stat(filepath.Join(dir, "out.000000"))
		return err == nil
	})
	r.eventually("a SIGHUP", func() bool {
		r.s.Reopen()
		_, err := os.Stat(filepath.Join(dir, "hup"))
		return err == nil
	})
	if st := r.s.Status(); st.Details.(*Details).Restarts != 0 || st.Degraded {
		t.Errorf("status %+v: the child did not live on", st)
	}
}

// TestChildRunsAsTheUser: a child runs as the user of the key, with all its groups and no rights of root's.
func TestChildRunsAsTheUser(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to become another user")
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // t.TempDir makes them for us alone
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	account, err := runnable.LookUp("daemon")
	if err != nil {
		lab.Missing(t, "%v", err)
	}
	if err := os.Chown(out, int(account.UID), -1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"daemon", strconv.Itoa(int(account.UID))} {
		cfg := settings("/bin/sh", 0, "-c", `{ id -u; id -g; id -G; grep CapEff /proc/self/status; } > "$0"; exec cat > /dev/null`, out)
		cfg.Settings.(*Config).User = name
		s := newSink(cfg, format.Encoder{}, zap.NewNop())
		r := run(t, s)
		r.put(0, 10)
		want := fmt.Sprintf("%d\n%d\n%s\nCapEff:\t0000000000000000\n", account.UID, account.GID, strings.Trim(fmt.Sprint(account.Groups), "[]"))
		r.eventually("its ids", func() bool { data, _ := os.ReadFile(out); return string(data) == want })
		r.cancel()
		<-r.done
		if err := os.Truncate(out, 0); err != nil {
			t.Fatal(err)
		}
	}
	cfg := settings("/bin/cat", 0)
	cfg.Settings.(*Config).User = "no-such-user"
	if c, err := startChild("", *cfg.Settings.(*Config)); err == nil || !strings.Contains(err.Error(), "there is no user no-such-user") {
		if c != nil {
			c.finish(0, nil)
		}
		t.Errorf("error %v", err)
	}
}

// TestUnsafeProgramsAreNotStarted: what auditd would not start is not started, and the error says
// what to do.
func TestUnsafeProgramsAreNotStarted(t *testing.T) {
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
		{"in a directory of all", func(p string) error {
			os.WriteFile(p, []byte(script), 0o755)
			return os.Chmod(filepath.Dir(p), 0o777)
		}, "chmod go-w"},
		{"no program", func(p string) error { return os.WriteFile(p, []byte("\x00\x01"), 0o755) }, "no program for this machine"},
		{"no interpreter", func(p string) error { return os.WriteFile(p, []byte("#!/no/such/file\n"), 0o755) }, "install it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.says == "chown root" && os.Getuid() != 0 {
				lab.Missing(t, "needs root to give a file away")
			}
			path := filepath.Join(t.TempDir(), "prog")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			c, err := startChild("", Config{Path: path})
			if err == nil {
				c.finish(0, nil)
				t.Fatal("it was started")
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q, want %q and the path in it", err, tt.says)
			}
		})
	}
}
