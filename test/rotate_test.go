package test

import (
	"os"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveRotationDuringRecovery: audit.log is rotated all the time while the
// relay mends a spoilt stream from it.
func TestLiveRotationDuringRecovery(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	// All rotated logs are kept, to compare with: 99 is auditd's limit.
	l := startLiveBehind(t, "loss_markers = true\n"+fileOnly, lab.Options{NumLogs: 99}, shimmed(t, onePercent(seed)))
	span := span(3*time.Second, 90*time.Second)
	run := l.StartLoad(lab.Load{Rate: 3000, Duration: time.Hour})
	every := min(time.Second, span/15)
	// On a busy machine auditd rotates once for several signals: then it goes on for longer.
	few := func() bool { return len(l.Logs()) < 8 }
	for end := time.Now().Add(span); time.Now().Before(end) || (few() && time.Now().Before(end.Add(time.Minute))); time.Sleep(every) {
		l.Rotate()
	}
	run.End()
	rep := l.awaitRecovery("", l.path("out"))
	l.Stop()
	if c := l.spoilt(); !rep.SameSetButFirst() || rep.Duplicate > c.Delayed {
		t.Errorf("seed %d, %+v: %v", seed, c, rep)
	}
	if few() {
		t.Errorf("only %d logs", len(l.Logs()))
	}
	t.Logf("a rotation every %v: %d logs; %v", every, len(l.Logs()), rep)
}

// TestLiveOldestLogOverwritten: while the relay is not there the logs are rotated until the
// record that it had last is in none any more. It continues with the oldest record that is
// there, and reports what is gone.
func TestLiveOldestLogOverwritten(t *testing.T) {
	l := startLive(t, "loss_markers = true\n"+fileOnly, lab.Options{NumLogs: 3}, "string")
	relay := l.Plugins()
	run := l.StartLoad(lab.Load{Rate: 1000, Duration: time.Hour})
	l.Drain(l.path("out"))
	l.Stop()
	l.SetPlugins()
	l.StartAgain()
	for range 4 {
		time.Sleep(300 * time.Millisecond)
		l.Rotate()
	}
	l.Stop()
	l.SetPlugins(relay...)
	l.StartAgain()
	time.Sleep(300 * time.Millisecond)
	run.End()
	end := l.Drain(l.path("out"))
	rep := l.compare("", end, l.path("out"))
	if rep.Missing+rep.Duplicate+rep.OutOfOrder > 0 {
		t.Errorf("what is in the logs: %v", rep)
	}
	// The file has what the relay got at first and what the logs had, so the
	// serials show what is missing between.
	gone := missingSerials(t, l.path("out"))
	if gone == 0 {
		t.Error("nothing is gone: this proves nothing")
	}
	// An event that an end of auditd has cut in two is lost in part, and its serial there.
	l.reportsLost(gone, 2*restartEvents)
	if n := len(l.says("warn", "no longer in")); n != 1 {
		t.Errorf("said %d times that the place is gone: %v", n, l.logged("warn"))
	}
}

// TestLiveLogThatCannotBeRead: the log to recover from is absent, unreadable, or
// another file than before. Each is said, not over and over; what
// is lost meanwhile is reported, and the stream is passed on as it comes. Once the right log is
// there the next gaps are filled.
func TestLiveLogThatCannotBeRead(t *testing.T) {
	// Without these capabilities root may not read what its mode forbids.
	l := startLiveBehind(t, "loss_markers = true\n[recovery]\nlog_file = \"DIR/audit.log\"\n"+fileOnly, lab.Options{},
		func(p lab.Plugin) lab.Plugin {
			p = refused(t, "dac_override", "dac_read_search")(p)
			p.Becomes = ""
			return shimmed(t, shimPlan{Seed: 2, Drop: 0.01})(p)
		})
	path := l.path("audit.log")
	put := func(make func(name string) error) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			if err := make(path + ".made"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".made", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	theLog := put(func(name string) error { return os.Link(l.Log(), name) })
	for _, c := range []struct {
		name string
		put  func(*testing.T)
		says bool // there is something to say
		good bool
	}{
		{"absent", func(*testing.T) {}, true, false},
		{"unreadable", put(func(name string) error { return os.WriteFile(name, nil, 0) }), true, false},
		{"the log", theLog, false, true},
		{"replaced", put(func(name string) error { return os.WriteFile(name, []byte("nothing of auditd's\n"), 0o600) }), false, false},
		{"the log again", theLog, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.put(t)
			before := len(l.says("warn", path))
			after := l.Drain(l.path("out"))
			reported := len(markers(t, l.path("out")))
			load := l.Load(lab.Load{Rate: 2000, Duration: 400 * time.Millisecond})
			if c.good {
				rep := l.awaitRecovery(after, l.path("out"))
				// Markers may still come for what was lost before, and what the log
				// has of that.
				if rep.Missing+rep.Altered+rep.Duplicate+rep.EOECut > 0 {
					t.Errorf("%v", rep)
				}
				return
			}
			end := l.Drain(l.path("out"))
			until(t, "the loss is reported", func() bool { return len(markers(t, l.path("out"))) > reported })
			rep := l.compare(after, end, l.path("out"))
			// One record in a hundred is gone, and nothing else.
			if rep.Missing == 0 || rep.Missing > load.Made*4/20 || rep.Altered+rep.Extra+rep.Duplicate+rep.OutOfOrder > 0 {
				t.Errorf("%v", rep)
			}
			said := len(l.says("warn", path)) - before
			if (c.says && said == 0) || said > 5 {
				t.Errorf("said %d times that %s cannot be used", said, path)
			}
		})
	}
	balanced(t, l.relay().consumer("file"))
}

// TestLiveLogNotWritten: with write_logs = no there is nothing to recover from.
// The relay says so, everything else works, and what auditd drops is reported.
func TestLiveLogNotWritten(t *testing.T) {
	l := startLive(t, "loss_markers = true\ninput_buffer = \"0\"\n"+fileOnly, lab.Options{QDepth: 600, Conf: map[string]string{"write_logs": "no"}}, "string")
	l.relay().report()
	until(t, "it says so", func() bool { return len(l.says("warn", "write_logs = no")) == 1 })
	l.DrainTo(l.path("out"))
	run := l.StartLoad(lab.Load{Rate: 4000, Duration: 1200 * time.Millisecond})
	time.Sleep(300 * time.Millisecond)
	lab.Freeze(t, l.reader(), 500*time.Millisecond)
	load := run.Wait()
	l.DrainTo(l.path("out"))
	seen, err := load.Seen(l.path("out"))
	if err != nil {
		t.Fatal(err)
	}
	lost := load.Made - max(seen.Events, seen.Paths)
	if lost == 0 {
		t.Errorf("auditd dropped nothing: this proves nothing")
	}
	until(t, "the loss is reported", func() bool { return len(markers(t, l.path("out"))) > 0 })
	l.reportsLost(lost, 10)
	balanced(t, l.relay().consumer("file"))
	t.Logf("%d events, %+v", load.Made, seen)
}
