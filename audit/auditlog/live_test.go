package auditlog

import (
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/test/lab"
)

// The real auditd rotates up to five times a second under load and deletes what
// is older than its four newest files, while the log is followed; each line is
// there once. What auditd had is known from tee(1) beside: on a starved host the
// kernel drops records before auditd, and does not even count them (kauditd's
// hold queue, unless booted with audit=1).
func TestLiveRotation(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	lab.Require(t, "tee")
	tee, err := exec.LookPath("tee")
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(t.TempDir(), "stream")
	a := lab.Start(t, lab.Options{MaxLogFile: 1, NumLogs: 5, QDepth: 99999,
		Plugins: []lab.Plugin{{Name: "tee", Path: tee, Args: beside}}})
	l := New(a.Log())
	defer l.Close()
	run := a.StartLoad(lab.Load{Rate: 3000, Duration: 5 * time.Second})
	var res lab.LoadResult
	done := make(chan struct{})
	go func() {
		defer close(done)
		res = run.Wait()
	}()

	seen := newLiveSeen()
	rotate := time.NewTicker(200 * time.Millisecond)
	defer rotate.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	rotations, sent := 0, time.Now()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-rotate.C:
			// One after the other: where renaming is slow auditd would do nothing
			// else. It overhears one now and then.
			if seen.rotated < rotations && time.Since(sent) < 2*time.Second {
				continue
			}
			sent = time.Now()
			if err := syscall.Kill(a.PID(), syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			rotations++
		case <-poll.C:
			seen.follow(t, l)
		}
	}
	a.Drain(beside)
	seen.follow(t, l)
	t.Logf("%d events made, %d rotations by signal; %d lines, %d SYSCALL, %d DAEMON_ROTATE",
		res.Made, rotations, seen.lines, seen.syscalls, seen.rotated)
	if seen.rotated < 2 || seen.syscalls == 0 {
		t.Errorf("%d rotations, %d SYSCALL records", seen.rotated, seen.syscalls)
	}
	if seen.twice > 0 {
		t.Errorf("%d lines came twice", seen.twice)
	}
	for _, path := range []string{beside, a.Log()} {
		all := newLiveSeen()
		again := New(path)
		defer again.Close()
		all.follow(t, again)
		for id := range all.ids {
			if id.Type != record.TypeEOE && !seen.ids[id] {
				t.Errorf("%+v is in %s and was not followed", id, path)
				break
			}
		}
	}
	p, err := l.SeekAfter(seen.last)
	end, endErr := l.SeekEnd()
	if err != nil || endErr != nil || p != end {
		t.Errorf("place after the last line is %v, %v; the end is %v, %v", p, err, end, endErr)
	}
}

// liveSeen is what was read of the log.
type liveSeen struct {
	ids             map[record.ID]bool
	last            record.ID
	lines, rotated  int
	syscalls, twice int
}

func newLiveSeen() *liveSeen {
	return &liveSeen{ids: map[record.ID]bool{}}
}

func (s *liveSeen) follow(t *testing.T, l *Reader) {
	t.Helper()
	var b record.Batch
	for {
		_, err := l.Next(&b)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		for i := range b.Recs {
			s.add(&b, i)
		}
	}
}

func (s *liveSeen) add(b *record.Batch, i int) {
	const typeSyscall, typeRotate = 1300, 1205
	r, id := &b.Recs[i], b.ID(i)
	if s.ids[id] {
		s.twice++
	}
	s.ids[id] = true
	s.last = id
	s.lines++
	switch r.Type {
	case typeSyscall:
		s.syscalls++
	case typeRotate:
		s.rotated++
	}
}
