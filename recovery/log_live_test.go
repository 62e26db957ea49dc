package recovery

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"audisp-relay/stream"
	"audisp-relay/test/lab"
)

// The real auditd rotates five times a second under load and deletes what is
// older than its four newest files, while the log is followed; each line is
// there once. What was written is known from the serials: the kernel's are
// without holes, and auditd drops nothing on the way to its log.
func TestFollowLiveRotation(t *testing.T) {
	lab.Require(t)
	a := lab.Start(t, lab.Options{MaxLogFile: 1, NumLogs: 5})
	l := NewLog(a.Log())
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
	rotations := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-rotate.C:
			if err := syscall.Kill(a.PID(), syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			rotations++
		case <-poll.C:
			seen.follow(t, l)
		}
	}
	a.Drain()
	seen.follow(t, l)
	t.Logf("%d events made, %d rotations by signal; %d lines, serials %d to %d, %d DAEMON_ROTATE",
		res.Made, rotations, seen.lines, seen.low, seen.high, seen.rotated)
	if l.Skipped() != 0 {
		t.Errorf("skipped %d times", l.Skipped())
	}
	if rotations < 10 || seen.rotated < rotations/2 {
		t.Errorf("%d rotations asked for, %d in the log", rotations, seen.rotated)
	}
	if seen.syscalls < res.Made {
		t.Errorf("%d SYSCALL records of %d events", seen.syscalls, res.Made)
	}
	for serial := seen.low; serial <= seen.high; serial++ {
		if !seen.serials[serial] {
			t.Errorf("no record of event %d", serial)
			break
		}
	}
	if seen.twice > 0 {
		t.Errorf("%d lines came twice", seen.twice)
	}
	left := newLiveSeen()
	again := NewLog(a.Log())
	defer again.Close()
	left.follow(t, again)
	for id := range left.ids {
		if !seen.ids[id] {
			t.Errorf("%+v is in the log and was not followed", id)
			break
		}
	}
	p, err := l.SeekAfter(seen.last)
	end, endErr := l.SeekEnd()
	if err != nil || endErr != nil || p != end {
		t.Errorf("place behind the last line is %v, %v; the end is %v, %v", p, err, end, endErr)
	}
}

// liveSeen is what was read of the log.
type liveSeen struct {
	ids             map[stream.ID]bool
	serials         map[uint32]bool
	low, high       uint32
	last            stream.ID
	lines, rotated  int
	syscalls, twice int
}

func newLiveSeen() *liveSeen {
	return &liveSeen{ids: map[stream.ID]bool{}, serials: map[uint32]bool{}, low: 1<<32 - 1}
}

func (s *liveSeen) follow(t *testing.T, l *Log) {
	t.Helper()
	var b stream.Batch
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

func (s *liveSeen) add(b *stream.Batch, i int) {
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
	if r.HasID() && r.Type/100 != 12 {
		s.serials[r.Serial] = true
		s.low, s.high = min(s.low, r.Serial), max(s.high, r.Serial)
	}
}
