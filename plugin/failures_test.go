package plugin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/plugin/consumer"
)

// away is a sink whose server is not there.
const away = "[sinks.net]\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:1\"\n"

// inMain has the main goroutine call f, and waits for it.
func inMain(p *Plugin, f func()) {
	done := make(chan struct{})
	p.tasks <- func() { defer close(done); f() }
	<-done
}

// fail acts on a failure of the one sink.
func fail(p *Plugin, f consumer.Failure) {
	inMain(p, func() { p.actOnFailure(p.consumers()[0], &f) })
}

// logOf returns what a plugin has logged.
func logOf(t *testing.T, p *Plugin) string {
	t.Helper()
	text, err := os.ReadFile(p.cfg.Log.Output)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFailureThatLastsRunsInitOnce: from the sink's first attempt to the action. What would change the run
// level is recorded instead.
func TestFailureThatLastsRunsInitOnce(t *testing.T) {
	t.Parallel()
	levels := make(chan string, 100)
	p, w, end := run(t, away+"network_failure_action = \"halt\"\nafter = \"1s\"\n", func(level string) error {
		levels <- level
		return errors.New("no init here")
	})
	defer end()
	w.Write(records(5))
	if level := <-levels; level != "0" {
		t.Errorf("level %s", level)
	}
	inMain(p, func() {
		p.actOnFailures(time.Now().Add(time.Hour))
		p.actOnFailures(time.Now().Add(2 * time.Hour))
	})
	if len(levels) != 0 {
		t.Errorf("%d times more", len(levels))
	}
	text := logOf(t, p)
	for _, want := range []string{
		`a failure of this sink that lasts will run /sbin/init 0`, `sink has not reached its server for the time set by after`, `"network_failure_action":"halt"`,
		`changing the run level`, `run level not changed`, `no init here`,
	} {
		if n := strings.Count(text, want); n == 0 {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// TestSuspendOfANetworkFailureStopsTheSink: its records wait, and SIGUSR2, or a reload, starts it again.
func TestSuspendOfANetworkFailureStopsTheSink(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, away, nil)
	defer end()
	report := func() consumer.Report { return p.Report().Consumers[0] }
	w.Write(records(5))
	wait(t, "it fails", func() bool { return report().Sink.Degraded })
	for _, resume := range []func(){
		func() { p.signals.usr2 <- syscall.SIGUSR2 },
		func() { p.signals.hup <- syscall.SIGHUP },
	} {
		var ended chan struct{}
		inMain(p, func() { ended = p.consumers()[0].Ended })
		fail(p, consumer.Failure{Action: "suspend"})
		<-ended
		before := report()
		w.Write(records(5))
		wait(t, "all is queued", func() bool { return report().Queued == before.Queued+5 })
		if r := report(); !r.Stopped || r.Suspended || r.LostTotal != 0 || r.Sink.Failures != before.Sink.Failures {
			t.Errorf("stopped: %+v", r)
		}
		if r := p.Report(); r.State != StateDegraded || !strings.Contains(strings.Join(r.Why, "\n"), "sinks.net: stopped as network_failure_action asks") {
			t.Errorf("%s, %q", r.State, r.Why)
		}
		resume()
		wait(t, "it tries again", func() bool { r := report(); return !r.Stopped && r.Sink.Degraded })
	}
}

// TestSuspendOfAFullDiskTakesNothingMore until SIGUSR2.
func TestSuspendOfAFullDiskTakesNothingMore(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, away, nil)
	defer end()
	report := func() consumer.Report { return p.Report().Consumers[0] }
	fail(p, consumer.Failure{Disk: true, Action: "suspend"})
	w.Write(records(5))
	wait(t, "all is lost", func() bool { return report().Lost["suspended"].Records == 5 })
	if r := report(); !r.Suspended || r.Stopped || r.Queued != 0 {
		t.Errorf("%+v", r)
	}
	p.signals.usr2 <- syscall.SIGUSR2
	wait(t, "it is resumed", func() bool { return !report().Suspended })
	w.Write(bytes.ReplaceAll(records(5), []byte(".053:"), []byte(".054:"))) // of other events than those that were dropped
	wait(t, "all is queued", func() bool { return report().Queued == 5 })
}

// TestProgramOfAnAction: it is run in the background, one at a time, and how it fails is logged. At the end
// of the plugin it is waited for.
func TestProgramOfAnAction(t *testing.T) {
	t.Parallel()
	p, _, end := run(t, away, nil)
	begun, goOn := make(chan string, 10), make(chan error)
	inMain(p, func() {
		p.opt.Program = func(path string) error {
			begun <- path
			return <-goOn
		}
	})
	f := consumer.Failure{Action: "exec /sbin/page-someone"}
	fail(p, f)
	if path := <-begun; path != "/sbin/page-someone" {
		t.Errorf("%s was run", path)
	}
	fail(p, f)
	fail(p, consumer.Failure{Disk: true, Action: "exec /sbin/page-someone"}) // for another reason
	<-begun
	goOn <- errors.New("exit status 3")
	goOn <- nil
	wait(t, "both have ended", func() (ended bool) {
		inMain(p, func() {
			ended = awaitFor(0, p.running.ended()...)
		})
		return ended
	})
	fail(p, f)
	<-begun
	close(goOn)
	end()
	if len(begun) != 0 {
		t.Errorf("run %d times more", len(begun))
	}
	text := logOf(t, p)
	for want, times := range map[string]int{
		"program of the action not started: the previous one is still running": 1, "program of the action failed": 1, "exit status 3": 1,
	} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%q is in the log %d times, want %d", want, n, times)
		}
	}
}

// TestProgramIsEndedWithThePlugin, though it has its minute.
func TestProgramIsEndedWithThePlugin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho $$ > "+file+".pid\nwhile :; do sleep 0.01; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, _, end := run(t, away, nil)
	fail(p, consumer.Failure{Action: "exec " + file})
	var pid string
	wait(t, "it runs", func() bool {
		text, _ := os.ReadFile(file + ".pid")
		pid = strings.TrimSpace(string(text))
		return strings.HasSuffix(string(text), "\n")
	})
	end()
	wait(t, "it has ended", func() bool { _, err := os.Stat("/proc/" + pid); return os.IsNotExist(err) })
}

// TestActionsWithoutEffectAreSaidAtStart: a program that must not be run.
func TestActionsWithoutEffectAreSaidAtStart(t *testing.T) {
	p, _, end := run(t, away+"network_failure_action = \"exec /no/such/program\"\n", nil)
	end()
	if text := logOf(t, p); !strings.Contains(text, "this action of the sink will have no effect") || !strings.Contains(text, "/no/such/program") {
		t.Errorf("%s", text)
	}
}

// TestCollectorThatIsAwayCounts: a sink that connects to a socket of this host has an action, too.
func TestCollectorThatIsAwayCounts(t *testing.T) {
	t.Parallel()
	levels := make(chan string, 100)
	collector := "[sinks.net]\ntype = \"unix\"\npath = \"DIR/nobody\"\nlisten = false\nnetwork_failure_action = \"single\"\nafter = \"1s\"\n"
	_, w, end := run(t, collector, func(level string) error {
		levels <- level
		return nil
	})
	defer end()
	w.Write(records(5))
	if level := <-levels; level != "1" {
		t.Errorf("level %s", level)
	}
}
