package test

import (
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveVersions: what the other tests show of the machine's auditd is true of others: with a
// steady load and flat out, with reloads, a plugin killed and auditd stopped and started
// under load, a lossless file lacks nothing of audit.log and no loss is reported that was none.
func TestLiveVersions(t *testing.T) {
	type how struct{ suite, log, format string }
	short := []how{{lab.Trixie, "RAW", "string"}, {lab.Sid, "RAW", "binary"}, {lab.Sid, "ENRICHED", "string"}}
	var full []how
	for _, suite := range []string{"", lab.Trixie, lab.Sid} {
		for _, log := range []string{"RAW", "ENRICHED"} {
			full = append(full, how{suite, log, "string"}, how{suite, log, "binary"})
		}
	}
	all := short
	if figure(0, 1) == 1 {
		all = full
	}
	for _, h := range all {
		root := ""
		if h.suite != "" {
			root = lab.Root(t, h.suite)
		}
		t.Run(h.suite+" "+h.log+" "+h.format, func(t *testing.T) {
			liveVersion(t, lab.Options{LogFormat: h.log, Root: root, Conf: map[string]string{"max_restarts": "1000"}}, h.format)
		})
	}
}

func liveVersion(t *testing.T, o lab.Options, format string) {
	l := startLive(t, "loss_markers = true\n"+fileOnly, o, format)
	l.Drain(l.path("out"))
	steady := l.StartLoad(lab.Load{Rate: 4000, Duration: span(1200*time.Millisecond, 10*time.Second)})
	for range figure(1, 4) {
		time.Sleep(span(400*time.Millisecond, 800*time.Millisecond))
		l.Reload()
		time.Sleep(span(400*time.Millisecond, 800*time.Millisecond))
		l.KillPlugin("relay")
	}
	made := steady.Wait().Made
	flat := l.Load(lab.Load{Duration: span(500*time.Millisecond, 5*time.Second)})
	run := l.StartLoad(lab.Load{Rate: 3000, Duration: span(time.Second, 5*time.Second)})
	time.Sleep(400 * time.Millisecond)
	l.Stop()
	l.StartAgain()
	load := run.Wait()
	made += flat.Made + load.Made
	rep := l.awaitRecovery("", l.path("out"))
	// A kill in the middle of a write leaves a piece of a line.
	if kills := figure(1, 4); rep.Missing+rep.Altered > 0 || rep.Extra+rep.EOECut > kills {
		t.Errorf("%v", rep)
	}
	// A kill repeats what came since the last save and since the oldest doubt; an interval
	// and as much again for a machine that is busy.
	if most := figure(1, 4) * int(4*savedEvery.Seconds()*4000) * 4; rep.Duplicate > most {
		t.Errorf("%d records twice, at most %d are allowed", rep.Duplicate, most)
	}
	if lines := l.says("warn", "records lost", "shutdown"); len(lines) > 0 {
		t.Errorf("lost at the stop: %s", lines[0].Text)
	}
	var reported uint64
	for _, m := range markers(t, l.path("out")) {
		if m.First > m.Last {
			t.Errorf("range of a marker: %+v", m)
		}
		reported += m.Events
	}
	t.Logf("auditd %s, %.0f events/s flat out, %d events; markers report %d; %v", l.Version(), flat.Rate(), made, reported, rep)
	balanced(t, l.relay().consumer("file"))
}
