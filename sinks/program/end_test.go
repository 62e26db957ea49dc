package program

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// TestCloseLeavesNoChild: however the child takes the end of its input, Run ends, and
// neither child nor zombie is left.
func TestCloseLeavesNoChild(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for _, helper := range []string{"collect", "stubborn", "deaf"} {
		for _, stopped := range []bool{false, true} {
			t.Run(helper+" stopped="+strconv.FormatBool(stopped), func(t *testing.T) {
				t.Parallel()
				r := run(t, testSink(t, 10, helper, t.TempDir()))
				r.eventually("a child", func() bool { return r.s.Status().Details.(*Details).Pid != 0 })
				pid := r.s.Status().Details.(*Details).Pid
				if stopped {
					unix.Kill(pid, unix.SIGSTOP)
				}
				r.q.Close()
				<-r.done
				r.waitGone(pid)
			})
		}
	}
}

// TestGracesLeaveTimeForTheRest: what Close waits at most leaves time within auditd's second.
func TestGracesLeaveTimeForTheRest(t *testing.T) {
	if sum := eofGrace + termGrace + killGrace; sum >= 700*time.Millisecond {
		t.Errorf("a child may take %v to end", sum)
	}
}

// TestBlockedChild: a child that never reads fills its queue, whose policy then
// applies; Run can be cancelled in the middle of the write.
func TestBlockedChild(t *testing.T) {
	t.Parallel()
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
	pid := s.Status().Details.(*Details).Pid
	r.cancel()
	<-r.done
	r.waitGone(pid)
}

// TestTimeUpIsNotSpentOnAStubbornChild: when the plugin itself has to be gone, the
// time a child has to end by itself (here: for ever) is cut short.
func TestTimeUpIsNotSpentOnAStubbornChild(t *testing.T) {
	s := testSink(t, 10, "stubborn")
	s.w.eofGrace = time.Hour
	r := run(t, s)
	r.eventually("a child", func() bool { r.put(0, 100); return s.Status().Details.(*Details).Pid != 0 })
	pid := s.Status().Details.(*Details).Pid
	r.end(sinks.ErrTimeUp)
	<-r.done
	r.waitGone(pid)
}

// TestChildThatClosedItsStdinIsReplaced: a child that has closed its stdin is replaced.
func TestChildThatClosedItsStdinIsReplaced(t *testing.T) {
	t.Parallel()
	r := run(t, testSink(t, 1, "deaf"))
	r.eventually("a restart", func() bool { r.put(0, 10); return r.s.Status().Details.(*Details).Restarts == 1 })
}

// TestGrandchildHoldsStdin: when the child is gone, a process of its own that has become a
// daemon and still has its stdin does not hold us, and is left alone.
func TestGrandchildHoldsStdin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var pids []int
	t.Cleanup(func() {
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	r := run(t, testSink(t, 0, "leave", dir, "daemon"))
	r.put(0, 20_000)
	r.eventually("a grandchild", func() bool { pids = grandchildren(dir); return len(pids) > 0 })
	r.eventually("the end of the child", func() bool { return strings.Contains(r.s.Status().Error, "exit status 0") })
	if gone(pids[0]) {
		t.Error("the grandchild was ended, though it has a group of its own")
	}
}

// TestGroupEndsWithTheChild, whatever signals its members ignore.
func TestGroupEndsWithTheChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := run(t, testSink(t, 0, "leave", dir))
	r.put(0, 10)
	r.eventually("the end of the child", func() bool { return strings.Contains(r.s.Status().Error, "exit status 0") })
	pids := grandchildren(dir)
	if len(pids) == 0 {
		t.Fatal("no grandchild")
	}
	for _, pid := range pids {
		r.eventually("the end of the grandchild", func() bool { return gone(pid) || zombie(pid) })
	}
}

// zombie reports whether a process has ended and init has yet to reap it.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	state, _, ok := parseStat(stat)
	return err == nil && ok && state == 'Z'
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
