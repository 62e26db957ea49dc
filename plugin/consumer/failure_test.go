package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// healthSink is a sink that has a health and nothing else.
type healthSink struct{ *sinks.Health }

func (healthSink) Run(context.Context, *queue.Queue) {}
func (healthSink) Reopen()                           {}

// failingOne returns a consumer whose sink the test makes fail, with a record that waits, and what it logs.
func failingOne(t *testing.T, cfg config.Sink) (*Consumer, *sinks.Health, *observer.ObservedLogs) {
	cfg.Name, cfg.Format = "x", "string"
	core, logs := observer.New(zapcore.DebugLevel)
	log := zap.New(core)
	q := queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}})
	c := New(Options{Config: cfg, Log: log, Queue: q})
	h := sinks.NewHealth(cfg.Name, zap.NewNop())
	c.sink = healthSink{h}
	q.Put(batchOf(t, syscallLine(1, "k")))
	return c, h, logs
}

// watch looks each second for d, as the plugin does, and returns the actions by when they were due.
func watch(c *Consumer, d time.Duration) map[time.Duration][]Failure {
	due := make(map[time.Duration][]Failure)
	for at := time.Second; at <= d; at += time.Second {
		time.Sleep(time.Second)
		if f := c.Failures(time.Now()); f != nil {
			due[at] = f
		}
	}
	return due
}

// TestFailureIsActedUponOnceAnEpisode: not before its time, once, and again after it has worked.
func TestFailureIsActedUponOnceAnEpisode(t *testing.T) {
	for _, disk := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config.Sink{After: 10 * time.Minute, NetworkFailureAction: "syslog", DiskFullAction: config.NoAction}
			bad := errors.New("connection refused\nand more")
			if disk {
				cfg.NetworkFailureAction, cfg.DiskFullAction = config.NoAction, "exec /sbin/x"
				bad = errors.Join(bad, unix.ENOSPC)
			}
			c, h, _ := failingOne(t, cfg)
			if due := watch(c, time.Hour); len(due) != 0 {
				t.Errorf("it works, and %v is due", due)
			}

			for range 2 {
				h.Fail(bad)
				began := time.Now()
				due := watch(c, time.Hour)
				f := due[cfg.After+time.Second] // it was seen a second after it began
				if len(due) != 1 || len(f) != 1 {
					t.Fatalf("due: %v", due)
				}
				if f[0].Disk != disk || f[0].Error != "connection refused" || !f[0].Since.Equal(began.Add(time.Second)) {
					t.Errorf("%+v", f[0])
				}
				h.OK()
				if due := watch(c, time.Hour); len(due) != 0 {
					t.Errorf("it works again, and %v is due", due)
				}
			}

			for range 5 { // it fails and works in turn
				h.Fail(bad)
				if due := watch(c, cfg.After-time.Second); len(due) != 0 {
					t.Fatalf("due too soon: %v", due)
				}
				h.OK()
			}
		})
	}
}

// TestSinkWithoutRecordsHasNotFailed: it may not know yet that its server is back.
func TestSinkWithoutRecordsHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, _ := failingOne(t, config.Sink{After: 10 * time.Minute, NetworkFailureAction: "halt", DiskFullAction: "halt"})
		cur := c.Queue().Cursor()
		defer cur.Close()
		b, err := cur.Take()
		if err != nil {
			t.Fatal(err)
		}
		cur.Advance(len(b.Recs))
		for _, err := range []error{unix.ECONNRESET, unix.ENOSPC} {
			h.Fail(err)
			if due := watch(c, time.Hour); len(due) != 0 {
				t.Errorf("%v: %v", err, due)
			}
		}
		c.Queue().Put(batchOf(t, syscallLine(2, "k")))
		if due := watch(c, 10*time.Minute); len(due) != 0 {
			t.Errorf("%v is due as if the record had waited all the time", due)
		}
		if due := watch(c, time.Second); len(due) != 1 {
			t.Errorf("%v is due", due)
		}
	})
}

// TestFailureOfAnotherKind: the network's action is none about a disk, and the other way round.
func TestFailureOfAnotherKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, _ := failingOne(t, config.Sink{After: time.Minute, NetworkFailureAction: "syslog", DiskFullAction: config.NoAction})
		h.Fail(unix.ENOSPC)
		if due := watch(c, time.Hour); len(due) != 0 {
			t.Errorf("%v", due)
		}
		c.cfg.NetworkFailureAction, c.cfg.DiskFullAction = config.NoAction, "syslog"
		h.Fail(unix.ECONNREFUSED)
		if due := watch(c, time.Hour); len(due) != 0 {
			t.Errorf("%v", due)
		}
	})
}

// TestChangedActionTakesEffect in the middle of an episode: another action at once, none does nothing,
// and the same one is not taken twice.
func TestChangedActionTakesEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Sink{After: 10 * time.Minute, NetworkFailureAction: "syslog", DiskFullAction: config.NoAction}
		c, h, _ := failingOne(t, cfg)
		cfg = c.Config()
		h.Fail(errors.New("refused"))
		watch(c, time.Hour)
		for _, step := range []struct {
			action string
			due    bool
		}{{"syslog", false}, {"halt", true}, {"halt", false}, {"ignore", false}, {"single", false}} {
			cfg.NetworkFailureAction = step.action
			if c.Apply(cfg, queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}) {
				t.Error("the sink is replaced for it")
			}
			due := c.Failures(time.Now())
			if (len(due) == 1) != step.due || (step.due && due[0].Action != step.action) {
				t.Errorf("%s: %v", step.action, due)
			}
		}
		if due := watch(c, cfg.After); len(due) != 1 { // counted from the reload that has asked for something
			t.Errorf("%v", due)
		}
	})
}

// TestSpoolIsWarnedOfOnce: at warn_at, and again when it has been well below in between.
func TestSpoolIsWarnedOfOnce(t *testing.T) {
	const limit = 1000
	cfg := config.Sink{Spool: config.Spool{MaxSize: limit, WarnAt: 75}}
	c, _, logs := failingOne(t, cfg)
	for _, step := range []struct {
		size int64
		high bool
		said int // lines in all
	}{{0, false, 0}, {749, false, 0}, {750, true, 1}, {999, true, 1}, {700, true, 1}, {750, true, 1}, {650, true, 1}, {649, false, 2}, {749, false, 2}, {800, true, 3}} {
		c.watchSpool(step.size)
		if r := c.Report(); r.SpoolHigh != step.high || logs.Len() != step.said {
			t.Errorf("at %d: above %v, said %d lines, want %+v", step.size, r.SpoolHigh, logs.Len(), step)
		}
	}
	for _, e := range logs.All() {
		if f := e.ContextMap(); f["sink"] != "x" || f["max_size"] != "1000" || f["bytes"] == nil {
			t.Errorf("%s %v", e.Message, f)
		}
	}

	for _, off := range []config.Spool{{MaxSize: limit}, {WarnAt: 75}} {
		c, _, logs := failingOne(t, config.Sink{Spool: off})
		if c.watchSpool(limit); logs.Len() != 0 || c.Report().SpoolHigh {
			t.Errorf("%+v: %v", off, logs.All())
		}
	}
}
