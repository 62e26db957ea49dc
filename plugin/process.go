package plugin

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/stream"
	"audisp-relay/plugin/monitor"
)

// CloseInherited closes every descriptor above stderr that came with exec.
// auditd up to 4.0.4 leaks its own from 24 on into plugins, and as the
// dispatcher of auditd 2.x the relay inherits the writing end of its own stdin:
// end of file would never come. It is to be called before anything is opened.
func CloseInherited() {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(-1)
	own, last := int(dir.Fd()), 2
	if monitor.IsWorker() {
		last = monitor.SocketFD
	}

	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd <= last || fd == own {
			continue
		}
		// The Go runtime may have its poller already; nothing else of ours is open.
		if to, err := os.Readlink("/proc/self/fd/" + name); err == nil && strings.HasPrefix(to, "anon_inode:[event") {
			continue
		}
		unix.Close(fd)
	}
	dir.Close()
}

// prepare sets priority and oom_score_adj of the process, and learns what a program has to say, before the sandbox
// takes the right to do so. A worker has all that from its monitor.
func (p *Plugin) prepare() {
	if p.worker != nil {
		return
	}
	p.sayStart(boost(p.cfg.PriorityBoost))
	p.sayStart(setOOMScore(p.cfg.OOMScoreAdj))
	if p.alone != "" && p.cfg.Sandbox != "off" && p.programs() == "" {
		p.learn() // it takes milliseconds, and the rest of the start does not wait
	}
}

// sayStart logs what is refused, once. The plugin continues without it.
func (p *Plugin) sayStart(err error) {
	if err != nil {
		p.log.Warn("start: " + err.Error())
	}
}

// boost gains nice levels over the parent's, as auditd's priority_boost does
// for itself. On Linux a nice value belongs to a thread; those that are made
// later inherit it.
func boost(levels int) error {
	if levels == 0 {
		return nil
	}
	parent, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getppid())
	if err != nil {
		parent = 20 // nice 0, in the kernel's 20 - nice
	}
	nice := max(-20, 20-parent-levels)

	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("set nice value %d: %w", nice, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && err != unix.ESRCH {
			return fmt.Errorf("set nice value %d: %w (needs CAP_SYS_NICE; set priority_boost = 0 to leave it)", nice, err)
		}
	}
	return nil
}

// setOOMScore sets the process's own oom_score_adj. A plugin that auditd starts
// at boot has 0, one that it starts again inherits auditd's -1000: whichever it
// was, it is now what the configuration says.
func setOOMScore(adj int) error {
	err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(adj)), 0)
	if err != nil {
		return fmt.Errorf("set oom_score_adj %d: %w (lowering it needs CAP_SYS_RESOURCE)", adj, err)
	}
	return nil
}

const (
	// maxProcs is as many threads as run Go code at a time. The relay is there to
	// cost little: on a host with a hundred cores the scheduler would wake and
	// search most of them for work that one or two can do.
	maxProcs = 4

	// While the process takes less than calmShare of a core, one thread runs Go code, and the scheduler has none to wake
	// for work that the one at hand does next: that is a third of the cost at a thousand events a second. From
	// busyShare on there are maxProcs.
	calmShare, busyShare = 0.2, 0.4
)

// procs is how many threads run Go code. It belongs to the main goroutine.
type procs struct {
	most, now int
	used      time.Duration // CPU time of the process, when it was looked at last
	at        time.Time

	set func(n int) int // runtime.GOMAXPROCS
	cpu func() time.Duration
}

func newProcs() *procs {
	most := min(runtime.GOMAXPROCS(0), maxProcs)
	runtime.GOMAXPROCS(most)
	return &procs{most: most, now: most, used: usedCPU(), at: time.Now(), set: runtime.GOMAXPROCS, cpu: usedCPU}
}

// adjust goes by the time since the last call.
func (p *procs) adjust(now time.Time) {
	used := p.cpu()
	share := float64(used-p.used) / float64(now.Sub(p.at))
	p.used, p.at = used, now
	want := p.now
	switch {
	case share < calmShare:
		want = 1
	case share > busyShare:
		want = p.most
	}
	if want != p.now {
		p.now = want
		p.set(want) // stops all for some ten microseconds
	}
}

// usedCPU is the CPU time that this process has taken so far.
func usedCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watchHangup returns a channel that is closed when the other end of fd is. What
// was written before may not be read yet.
func watchHangup(fd int32) <-chan struct{} {
	hungUp := make(chan struct{})
	go func() {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: fd, Events: unix.POLLRDHUP}}, -1)
			if err == unix.EINTR {
				continue
			}
			if err == nil && n > 0 {
				close(hungUp)
			}
			return
		}
	}()
	return hungUp
}

// sendBuffer returns the size of the buffer that auditd's end of stdin has: the
// system's default, which auditd does not change.
func sendBuffer() int {
	data, err := os.ReadFile("/proc/sys/net/core/wmem_default")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			return n
		}
	}
	return 212992 // as kernels have had it since 2.6
}

// widen enlarges the pipe from auditd as input_buffer asks and returns its size.
func (p *Plugin) widen(now int) int {
	if p.worker != nil {
		return p.facts.Buffer
	}
	if p.inherited.Buffer > 0 { // the program before has done it, and given up the right to
		return p.inherited.Buffer
	}

	want := int(p.cfg.InputBuffer)
	if limit := int(p.memory.Load().Input); limit > 0 {
		want = min(want, limit)
	}
	if want == 0 || !isSocket(0) {
		return now
	}

	got, err := stream.Widen(0, p.parent, want)
	if err != nil {
		p.log.Warn("the pipe from auditd keeps its size: a pause of the plugin may cost records "+
			"(input_buffer = \"0\" to leave it alone)", zap.Int("bytes", now), zap.Error(err))
		return now
	}
	p.log.Info("pipe from auditd widened", zap.Int("from", now), zap.Int("to", got))
	return got
}

func isSocket(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}
