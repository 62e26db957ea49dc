package integrity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

func daemonEnd(sec int64) string {
	return fmt.Sprintf("type=DAEMON_END msg=audit(%d.000:500): op=terminate auid=0 uid=0 ses=1 pid=9 subj=? res=success\n", sec)
}

func daemonStart(sec int64) string {
	return fmt.Sprintf("type=DAEMON_START msg=audit(%d.000:501): op=start ver=3.0.9 format=enriched kernel=6 auid=0 pid=9 uid=0 ses=1 subj=? res=success\n", sec)
}

func setPID(serial uint32, sec int64) string {
	return fmt.Sprintf("type=CONFIG_CHANGE msg=audit(%d.000:%d): op=set audit_pid=10 old=0 auid=0 ses=1 subj=? res=1\n", sec, serial)
}

func enabled(serial uint32, sec int64) string {
	return fmt.Sprintf("type=CONFIG_CHANGE msg=audit(%d.000:%d): op=set audit_enabled=1 old=1 auid=0 ses=1 subj=? res=1\n", sec, serial)
}

// torn is what comes of an event whose first records the kernel made before auditd was there.
func torn(serial uint32, sec int64) (text string) {
	for _, record := range []string{"CWD msg=ID: cwd=\"/\"", "PATH msg=ID: item=0 name=\"/x\" nametype=NORMAL", "PROCTITLE msg=ID: proctitle=\"x\"", "EOE msg=ID: "} {
		text += "type=" + strings.ReplaceAll(record, "ID", fmt.Sprintf("audit(%d.000:%d)", sec, serial)) + "\n"
	}
	return text
}

// TestAnOrdinaryStopIsNoLoss: what the kernel numbers between an end and a start of
// auditd is distinguished from a loss, and nothing else is.
func TestAnOrdinaryStopIsNoLoss(t *testing.T) {
	run := func(from, to uint32, sec int64) (text string) {
		for n := range to - from + 1 {
			text += audittest.UserAt(from+n, sec)
		}
		return text
	}
	const logged = "LOG "     // in front of lines of the log
	const again = "RESTART\n" // of the relay, with its state
	for name, c := range map[string]struct {
		text    string
		stopped []uint32 // serials
		lost    []uint32
	}{
		"idle":                            {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + run(8, 9, 1003), []uint32{6}, nil},
		"events between":                  {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(10, 1002) + run(11, 12, 1003), []uint32{6, 7, 8, 9}, nil},
		"nothing missing":                 {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + run(6, 9, 1003), nil, nil},
		"two in a row":                    {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + daemonEnd(1003) + daemonStart(1004) + setPID(9, 1004), []uint32{6, 8}, nil},
		"two, nothing between":            {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + daemonEnd(1003) + daemonStart(1004) + setPID(9, 1004), []uint32{6, 7, 8}, nil},
		"in the log":                      {run(1, 5, 1000) + logged + daemonEnd(1001), nil, nil},
		"a crash":                         {run(1, 5, 1000) + daemonStart(1002) + setPID(8, 1002), nil, []uint32{6, 7}},
		"a stop, then a crash":            {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + daemonStart(1004) + setPID(9, 1004), []uint32{6}, []uint32{8}},
		"a loss after the start":          {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + run(9, 10, 1003), []uint32{6}, []uint32{8}},
		"a loss at the start":             {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + run(10, 10, 1003) + setPID(7, 1002), []uint32{6}, []uint32{8, 9}},
		"a loss before the end":           {run(1, 5, 1000) + run(7, 8, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(10, 1002), []uint32{9}, []uint32{6}},
		"records that were kept":          {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1005) + run(6, 7, 1002) + run(9, 10, 1003) + setPID(12, 1005) + run(14, 14, 1006), []uint32{8, 11}, []uint32{13}},
		"records that were kept, briefly": {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + run(7, 8, 1001) + enabled(12, 1001) + setPID(14, 1001) + run(16, 16, 1002), []uint32{6, 9, 10, 11, 13}, []uint32{15}},
		"auditd's going was kept":         {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1003) + strings.Replace(setPID(7, 1001), "audit_pid=10 old=0", "audit_pid=0 old=10", 1) + setPID(9, 1003) + run(11, 11, 1003), []uint32{6, 8}, []uint32{10}},
		"kept records in the log":         {run(1, 5, 1000) + daemonEnd(1001) + again + daemonStart(1002) + logged + daemonEnd(1001) + logged + daemonStart(1002) + logged + run(7, 7, 1001) + logged + setPID(9, 1002) + run(7, 7, 1001) + setPID(9, 1002) + run(11, 11, 1002), []uint32{6, 8}, []uint32{10}},
		"the registering itself is torn":  {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + torn(7, 1002) + run(8, 9, 1003), []uint32{6}, []uint32{7}},
		"a kept record of an event":       {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + torn(7, 1001) + setPID(9, 1002) + torn(11, 1002) + run(12, 12, 1002), []uint32{6, 8}, []uint32{10, 11}},
		"a crash after a stop, torn":      {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + daemonStart(1003) + torn(9, 1003) + setPID(10, 1003), []uint32{6}, []uint32{8, 9}},
		"an end that is none":             {run(1, 5, 1000) + daemonEnd(1001) + run(7, 8, 1002) + daemonStart(1002) + setPID(10, 1002), nil, []uint32{6, 9}},
		"a forged end":                    {run(1, 5, 1000) + logged + daemonEnd(1001) + run(8, 9, 1001), nil, []uint32{6, 7}},
		"a forged pair":                   {run(1, 5, 1000) + logged + daemonEnd(1001) + logged + daemonStart(1001) + run(8, 9, 1001), nil, []uint32{6, 7}},
		"of another node":                 {"node=a " + run(1, 1, 1000) + "node=b " + daemonEnd(1001) + "node=b " + daemonStart(1001) + "node=a " + run(4, 4, 1001), nil, []uint32{2, 3}},
		"an event torn by the start":      {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(8, 1002) + torn(6, 1002) + run(9, 9, 1003), []uint32{7}, nil},
		"a torn event before that":        {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + torn(7, 1002) + setPID(8, 1002) + run(9, 9, 1003), []uint32{6}, nil},
		"nothing but a torn event":        {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + torn(6, 1002) + setPID(7, 1002) + run(8, 9, 1003), nil, nil},
		"a torn event after the start":    {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + torn(8, 1002) + run(9, 9, 1003), []uint32{6}, []uint32{8}},
		"serials over the end":            {run(1<<32-3, 1<<32-1, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(1, 1002), []uint32{0}, nil},
		"a cut end is none":               {run(1, 5, 1000) + "type=DAEMON_END msg=audit(1001.000:5\n" + daemonStart(1002) + setPID(7, 1002), nil, []uint32{6}},
		"more than the window":            {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + run(1_000_000, 1_000_020, 1003), nil, nil},
		"read twice, then a loss":         {run(1, 1, 1000) + again + logged + daemonEnd(1001) + logged + daemonStart(1002) + logged + setPID(3, 1002) + logged + daemonEnd(1001) + logged + daemonStart(1002) + logged + setPID(3, 1002) + run(5, 5, 1003), []uint32{2}, []uint32{4}},
		"the stream before the log": {run(1, 5, 1000) + daemonEnd(1001) + again + daemonStart(1002) + logged + daemonEnd(1001) + logged + daemonStart(1002) +
			logged + setPID(7, 1002) + setPID(7, 1002) + run(8, 9, 1003), []uint32{6}, nil},
		"the stream before more of the log": {run(1, 5, 1000) + daemonEnd(1001) + daemonStart(1002) + setPID(7, 1002) + daemonEnd(1003) + again + run(5, 5, 1000) + daemonStart(1004) +
			logged + daemonEnd(1001) + logged + daemonStart(1002) + logged + setPID(7, 1002) + logged + daemonEnd(1003) + logged + daemonStart(1004) +
			logged + setPID(9, 1004) + setPID(9, 1004) + run(11, 12, 1005), []uint32{6, 8}, []uint32{10}},
		"before the relay, in a log": {run(1, 1, 1000) + again + logged + daemonEnd(1001) + logged + daemonStart(1002) + logged + setPID(4, 1002) + logged + run(6, 6, 1002) + run(7, 7, 1003), []uint32{2, 3}, []uint32{5}},
	} {
		for _, restart := range []bool{false, true} { // of the relay, with its state, at each line
			tr := NewTracker(Options{})
			var stopped, lost []uint32
			live := false
			settle := func(final bool) {
				if final {
					tr.Due(audittest.Epoch.Add(time.Hour))
				}
				for _, x := range tr.Lost() {
					if name == "more than the window" {
						if !x.Stopped {
							t.Errorf("%s: %+v", name, x)
						}
						continue
					}
					for s := x.First; ; s++ {
						if x.Stopped {
							stopped = append(stopped, s)
						} else {
							lost = append(lost, s)
						}
						if s == x.Last {
							break
						}
					}
				}
			}
			for line := range strings.Lines(c.text) {
				if line == again {
					tr = restored(t, tr)
					continue
				}
				line, fromLog := strings.CutPrefix(line, logged)
				b := audittest.Lines(t, line)
				if fromLog {
					b.Recs[0].Flags |= record.FromLog
				}
				live = live || !fromLog
				if n := tr.Observe(b, audittest.Epoch); n == 0 {
					tr.ObserveTruncated(b, 0, audittest.Epoch)
				}
				// A forged line of the log is one that the relay reads while it runs.
				if restart && !strings.Contains(c.text, logged) {
					tr = restored(t, tr)
					tr.Due(audittest.Epoch)
				}
			}
			settle(true)
			if tr.order.gaps != 0 {
				t.Errorf("%s, restart %v: %d gaps are counted when none is left", name, restart, tr.order.gaps)
			}
			slices.Sort(stopped)
			slices.Sort(lost)
			if !slices.Equal(stopped, c.stopped) || !slices.Equal(lost, c.lost) {
				if restart && (name == "more than the window" || strings.Contains(c.text, "CWD")) {
					continue // strays and records of events are not saved
				}
				t.Errorf("%s, restart %v: stopped %v, want %v; lost %v, want %v", name, restart, stopped, c.stopped, lost, c.lost)
			}
		}
	}
}

// restored returns a Tracker that continues from the state of another.
func restored(t *testing.T, tr *Tracker) *Tracker {
	t.Helper()
	data, err := json.Marshal(tr.State())
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	tr = NewTracker(Options{})
	tr.Restore(s)
	return tr
}

// TestAStopEndsThoughTheClockWasSetBack: then no record is newer than the start, and what is
// missing later is a loss nevertheless.
func TestAStopEndsThoughTheClockWasSetBack(t *testing.T) {
	user := func(serial uint32, sec int64) string { return audittest.UserAt(serial, sec) }
	tr := NewTracker(Options{})
	tr.Observe(audittest.Lines(t, user(1, 2000)+daemonEnd(2001)+daemonStart(2002)+user(4, 1000)), audittest.Epoch)
	tr.Observe(audittest.Lines(t, user(6, 1001)), audittest.Epoch.Add(time.Second))
	tr.Observe(audittest.Lines(t, user(9, 1060)), audittest.Epoch.Add(time.Minute))
	tr.Observe(audittest.Lines(t, user(12, 1061)), audittest.Epoch.Add(time.Minute))
	tr.Due(audittest.Epoch.Add(time.Hour))
	var stopped, lost uint64
	for _, x := range tr.Lost() {
		if x.Stopped {
			stopped += x.Events()
		} else {
			lost += x.Events()
		}
	}
	if stopped != 3 || lost != 4 {
		t.Errorf("%d events of the stop, %d lost, want 3 and 4", stopped, lost)
	}
}
