package test

import (
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// auditdDefault is auditd's own q_depth: what a machine has where it was not
// changed.
const auditdDefault = 2000

// TestLiveFrozenPluginLosesNothing: the plugin stands still for a second at
// 4 000 events/s. The widened pipe holds the 20 000 records that come meanwhile,
// and auditd's queue never fills. That queue is larger than auditd's own default,
// which one burst fills where the thread that empties it has to wait for a
// processor, and too small for the second.
func TestLiveFrozenPluginLosesNothing(t *testing.T) {
	lab.Require(t, "socat")
	said := auditdSays(t)
	l := startLive(t, fileOnly+"[sinks.socket]\ntype = \"unix\"\npath = \"DIR/sock\"\ngroup = \"root\"\nq_depth = 200000\n", lab.Options{QDepth: 10000}, "string")
	l.follow("socket", "sock", "client")
	after := l.Drain(l.path("out"), l.path("client"))
	load := freezeUnderLoad(l)
	end := l.Drain(l.path("out"), l.path("client"))
	rep := l.exact("file", after, end, l.path("out"))
	l.exact("socket", after, end, l.path("client"))
	if n := said(queueFull); n > 0 {
		t.Errorf("auditd said %d times %q", n, queueFull)
	}
	t.Logf("%.0f events/s; %v", load.Rate(), rep)
}

// TestLiveFrozenPluginOfANarrowPipeRecovers: the same where the pipe keeps its
// size, because it was left alone or widening was refused. auditd then drops
// records, as its complaint proves, and the relay recovers them from audit.log.
func TestLiveFrozenPluginOfANarrowPipeRecovers(t *testing.T) {
	lab.Require(t, "socat")
	for _, c := range []struct {
		name, config string
		wrap         func(lab.Plugin) lab.Plugin
	}{
		{"left alone", "input_buffer = \"0\"\n", func(p lab.Plugin) lab.Plugin { return p }},
		{"refused", "", refused(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := auditdSays(t)
			l := startLiveBehind(t, c.config+"loss_markers = true\n"+fileOnly, lab.Options{QDepth: auditdDefault}, c.wrap)
			l.relay().report() // it runs
			if n := len(l.says("warn", "pipe from auditd keeps its size")); n != map[bool]int{true: 1}[c.config == ""] {
				t.Errorf("said %d times that the pipe is narrow", n)
			}
			after := l.Drain(l.path("out"))
			load := freezeUnderLoad(l)
			rep := l.awaitRecovery(after, l.path("out"))
			if !rep.SameSet() || rep.Duplicate+rep.Markers > 0 {
				t.Errorf("%v", rep)
			}
			if said(queueFull) == 0 {
				t.Error("auditd dropped nothing: this proves nothing")
			}
			if got := l.relay().consumer("file"); got.LostTotal != 0 {
				t.Errorf("reported as lost: %+v", got)
			}
			l.Stop() // what has not been said yet is said at the end
			if len(l.says("warn", recovered, "total_recovered")) == 0 {
				t.Errorf("the recovery is not reported: %v", l.logged("warn"))
			}
			t.Logf("%.0f events/s; %v", load.Rate(), rep)
		})
	}
}

func freezeUnderLoad(l *live) lab.LoadResult {
	l.t.Helper()
	run := l.StartLoad(lab.Load{Rate: 4000, Duration: span(2500*time.Millisecond, 30*time.Second)})
	for range figure(1, 5) {
		time.Sleep(700 * time.Millisecond)
		lab.Freeze(l.t, l.reader(), time.Second)
	}
	return run.Wait()
}
