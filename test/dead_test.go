package test

import (
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// memoryLimit of the tests that hold the plugin to one: design §7's goal for
// two dead consumers.
const (
	memoryLimit    = 96 << 20
	memoryLimitKey = "memory_limit = \"96MiB\"\n"
)

// TestLiveDeadConsumersGetEverythingOnReturn: one consumer is not there and
// one hangs, at 2 000 events/s with room for 1 000 records in memory. Their
// records wait on disk; when they are back they get all of them, in order, and
// memory stayed within its limit.
func TestLiveDeadConsumersGetEverythingOnReturn(t *testing.T) {
	l := startLive(t, memoryLimitKey+`
loss_markers = true
q_depth = 1000
[spool]
max_size = "4GiB"
[sinks.file]
type = "file"
path = "DIR/out"
max_size = "0"
[sinks.away]
type = "unix"
path = "DIR/away"
group = "root"
when_idle = "queue"
[sinks.hung]
type = "unix"
path = "DIR/hung"
group = "root"
`, lab.Options{}, "string")
	hung := l.follow("hung", "hung", "hungclient")
	after := l.Drain(l.path("out"), l.path("hungclient"))
	hung.Signal(syscall.SIGSTOP)
	load := l.Load(lab.Load{Rate: 2000, Duration: span(4*time.Second, 3*time.Minute)})
	l.Drain(l.path("out"))
	for _, name := range []string{"away", "hung"} {
		c := l.relay().consumer(name)
		balanced(t, c)
		// A socket's own buffer holds a few hundred.
		if c.Queued < uint64(load.Made) || c.LostTotal != 0 {
			t.Errorf("%d events made, but %+v", load.Made, c)
		}
	}
	hung.Signal(syscall.SIGCONT)
	l.follow("away", "away", "awayclient")
	streams := []string{l.path("out"), l.path("hungclient"), l.path("awayclient")}
	end := l.Drain(streams...)
	for _, s := range streams {
		// What auditd dropped on a busy host is recovered, late.
		if rep := l.compare(after, end, s); !rep.SameSet() || rep.Duplicate > 0 {
			t.Errorf("%s: %v", s, rep)
		}
	}
	_, peak, err := lab.RSS(l.reader())
	if err != nil || peak > memoryLimit {
		t.Errorf("peak RSS %d, limit %d: %v", peak, memoryLimit, err)
	}
	for _, name := range []string{"file", "away", "hung"} {
		c := l.relay().consumer(name)
		balanced(t, c)
		if c.LostTotal != 0 {
			t.Errorf("%+v", c)
		}
	}
	if warned := l.says("warn", "spool"); len(warned) > 0 {
		t.Errorf("a spill that costs nothing is a warning: %v", warned)
	}
	t.Logf("%d events at %.0f/s; peak RSS %.1f MiB", load.Made, load.Rate(), float64(peak)/(1<<20))
}
