package host

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"

	"audisp-relay/test/lab"
)

// The real kernel says what auditctl says, and asking changes nothing.
func TestKernelQueue(t *testing.T) {
	lab.Require(t)
	f := lockLab(t)
	defer f.Close()
	before, err := lab.ReadStatus()
	if err != nil {
		t.Fatal(err)
	}
	fds := openFiles(t)
	for range 3 {
		counts, err := KernelQueue()
		if err != nil {
			t.Fatal(err)
		}
		after, err := lab.ReadStatus()
		if err != nil {
			t.Fatal(err)
		}
		if lost := int(counts.Lost); lost < before.Lost || lost > after.Lost {
			t.Errorf("lost %d, auditctl says %d before and %d after", lost, before.Lost, after.Lost)
		}
		after.Lost, after.Backlog = before.Lost, before.Backlog
		if after != before {
			t.Errorf("asking changed the status from %+v to %+v", before, after)
		}
		if pid, err := AuditPID(); err != nil || pid != before.PID {
			t.Errorf("pid %d, %v, auditctl says %d", pid, err, before.PID)
		}
	}
	if now := openFiles(t); now != fds {
		t.Errorf("%d files open, %d before", now, fds)
	}
}

// lockLab takes the lock that every test has which changes the kernel's audit.
func lockLab(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(lab.LockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return f
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A kernel that does not answer holds up no caller for longer than the limit, and
// is not asked again until it has.
func TestKernelHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		k := asker{busy: make(chan struct{}, 1)}
		k.read = func() (libaudit.AuditStatus, error) {
			asked.Add(1)
			<-release
			return libaudit.AuditStatus{Lost: 7}, nil
		}
		for _, want := range []string{"no answer in 5s", "no answer to an earlier question yet"} {
			s, err := k.status()
			if !errors.Is(err, errNoAnswer) || !strings.HasSuffix(err.Error(), want) || s.Lost != 0 {
				t.Errorf("got %d, %v; want %q", s.Lost, err, want)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
		close(release)
		synctest.Wait()
		if s, err := k.status(); err != nil || s.Lost != 7 {
			t.Errorf("after the kernel answers again: %d, %v", s.Lost, err)
		}
	})
}

// A refusal counts at once; an answer that is late, on a busy host, is asked for again.
func TestKernelRefuses(t *testing.T) {
	late := errors.New("no reply received") // as libaudit's
	for _, tt := range []struct {
		name    string
		answers []error
		asked   int
		refused bool
	}{
		{"refused", []error{syscall.EPERM, nil}, 1, true},
		{"late twice", []error{late, late, nil}, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			k := asker{func() (libaudit.AuditStatus, error) {
				asked++
				return libaudit.AuditStatus{}, tt.answers[asked-1]
			}, make(chan struct{}, 1)}
			_, err := k.status()
			if (err != nil) != tt.refused || errors.Is(err, syscall.EPERM) != tt.refused || asked != tt.asked || (tt.refused && !notAllowed(err)) {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
}

// late is a netlink socket in which an answer lies after some looks.
type late struct {
	libaudit.NetlinkSendReceiver
	looks int
	err   error // then
}

func (l *late) Receive(bool, libaudit.NetlinkParser) ([]syscall.NetlinkMessage, error) {
	if l.looks--; l.looks >= 0 {
		return nil, syscall.EAGAIN
	}
	return make([]syscall.NetlinkMessage, 1), l.err
}

// TestPromptLooksAgain: an answer that comes soon is found soon, one that does not come is left to the client, and an
// error is no reason to look again.
func TestPromptLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			looks  int
			err    error
			within time.Duration
			want   error
		}{
			{looks: 0},
			{looks: 3, within: 700 * time.Microsecond},
			{looks: 3, within: 700 * time.Microsecond, err: syscall.ENOBUFS, want: syscall.ENOBUFS},
			{looks: 1000, within: 30 * time.Millisecond, want: syscall.EAGAIN},
		} {
			began := time.Now()
			messages, err := prompt{&late{looks: c.looks, err: c.err}}.Receive(true, nil)
			if took := time.Since(began); took > c.within || err != c.want || (err == nil && len(messages) != 1) {
				t.Errorf("%+v: %d messages and %v after %v", c, len(messages), err, took)
			}
		}
	})
}
