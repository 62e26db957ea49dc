package test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveStoppedAndStartedAuditdLeavesNoHole: auditd stops and starts under
// load. The relay reads from audit.log, once, what auditd had logged and not yet sent. What
// the kernel dropped while there was no auditd is in no log, and is reported to every consumer.
func TestLiveStoppedAndStartedAuditdLeavesNoHole(t *testing.T) {
	for _, c := range []struct {
		name    string
		between bool // events while auditd is down
	}{{"events between", true}, {"none between", false}} {
		t.Run(c.name, func(t *testing.T) {
			times := figure(1, 5)
			// A narrow pipe, and a plugin that does not read just then: so auditd has
			// records in its own queue when it ends.
			l := startLive(t, "loss_markers = true\ninput_buffer = \"0\"\n"+fileOnly, lab.Options{}, "string")
			l.Drain(l.path("out"))
			run := l.StartLoad(lab.Load{Rate: 3000, Duration: time.Duration(times) * 2500 * time.Millisecond})
			for range times {
				time.Sleep(600 * time.Millisecond)
				l.awaitCertainty()
				signal(t, l.reader(), syscall.SIGSTOP)
				time.Sleep(100 * time.Millisecond)
				if !c.between {
					signal(t, run.PID(), syscall.SIGSTOP)
				}
				l.Stop() // continues the plugin when auditd is gone
				time.Sleep(300 * time.Millisecond)
				l.StartAgain()
				if !c.between {
					signal(t, run.PID(), syscall.SIGCONT)
				}
			}
			load := run.Wait()
			rep := l.awaitRecovery("", l.path("out"))
			if !rep.SameSet() || rep.Duplicate > 0 {
				t.Errorf("%v", rep)
			}
			seen, err := load.Seen(l.Logs()...)
			if err != nil {
				t.Fatal(err)
			}
			l.reportsLost(load.Made-seen.Events, times*restartEvents)
			balanced(t, l.relay().consumer("file"))
			t.Logf("%d events made, %d logged; %v", load.Made, seen.Events, rep)
		})
	}
}

// restartEvents is how many events besides the load's may be lost around a
// restart of auditd: the kernel's CONFIG_CHANGE for the audit pid and the like.
const restartEvents = 4

// reportsLost fails unless the markers in the file, and the count of what was missed while
// auditd was stopped, come to speak of so many events, and at most some more.
func (l *live) reportsLost(events, more int) {
	l.t.Helper()
	eventually(l.t, "the markers", func() error {
		reported := l.relay().report().Input.Totals["missed while auditd was stopped"] // said, and no loss
		for _, m := range markers(l.t, l.path("out")) {
			reported += m.Events
		}
		if reported < uint64(events) || reported > uint64(events+more) {
			return fmt.Errorf("%d events are in no log, the markers report %d", events, reported)
		}
		return nil
	})
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("%v to pid %d: %v", sig, pid, err)
	}
}

// TestLiveReplacedPluginLeavesNoHole: the program is replaced by another file, as
// an upgrade does, and auditd reloads: it ends the old one and starts the new one,
// which continues where the old one was.
func TestLiveReplacedPluginLeavesNoHole(t *testing.T) {
	l := startLive(t, "loss_markers = true\n"+fileOnly, lab.Options{}, "string")
	l.Drain(l.path("out"))
	run := l.StartLoad(lab.Load{Rate: 3000, Duration: span(6*time.Second, 40*time.Second)})
	for range figure(2, 10) {
		time.Sleep(500 * time.Millisecond)
		l.awaitCertainty()
		pid := l.PluginPID("relay")
		replaceFile(t, l.path("audisp-relay"))
		l.Reload()
		until(t, "the new one runs", func() bool {
			next := l.FindPlugin("relay")
			return next != 0 && next != pid
		})
	}
	run.Wait()
	if rep := l.awaitRecovery("", l.path("out")); !rep.SameSet() || rep.Duplicate > 0 {
		t.Errorf("%v", rep)
	}
}
