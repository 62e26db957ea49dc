package recovery

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/audit/integrity"
)

func userLine(serial uint32, text string) string {
	return fmt.Sprintf("type=USER_LOGIN msg=audit(1800000%03d.000:%d): pid=1 uid=0 auid=0 ses=1 msg='op=%s res=success'", serial%1000, serial, text)
}

func userLines(first, last uint32) (list []string) {
	for s := first; s <= last; s++ {
		list = append(list, userLine(s, "login"))
	}
	return list
}

func join(lists ...[]string) []string { return slices.Concat(lists...) }

// TestLinesThatOnlyTheLogHasAreJudged: what the log has and the stream has not, case by case. What is to
// come out is the log without the lines that say foreign, and what the stream alone has.
func TestLinesThatOnlyTheLogHasAreJudged(t *testing.T) {
	call := func(serial uint32) []string {
		e := &modelEvent{serial: serial, millis: 1_800_000_000_000 + int64(serial%1000)*1000}
		m := newModel(1, 0)
		for !e.call || len(e.lines) < 4 {
			e.lines, e.call = nil, false
			m.fill(e)
		}
		return e.lines
	}
	a, z := userLines(1000, 1019), userLines(1030, 1120)
	mid := userLines(1020, 1029)
	avc := "type=AVC msg=audit(1800000025.000:1025): avc:  denied  { read } for  pid=1 comm=\"x\" tclass=file permissive=0"
	withCall := join(userLines(1020, 1024), call(1025), userLines(1026, 1029))
	at := 5 + 1 // after the SYSCALL record of 1025
	for _, c := range []struct {
		name      string
		log, sent []string // between a and z
		lost      int
	}{
		{"nothing", mid, mid, 0},
		{"an event lost by the stream", mid, join(mid[:4], mid[5:]), 0},
		{"lost by both", join(mid[:4], mid[5:]), join(mid[:4], mid[5:]), 1},
		{"another time", slices.Insert(slices.Clone(mid), 5, "type=USER_LOGIN msg=audit(1800000900.000:1022): msg='op=foreign'"), mid, 0},
		{"far ahead", slices.Insert(slices.Clone(mid), 5, userLine(200_000, "foreign")), mid, 0},
		{"far ahead, two", slices.Insert(slices.Clone(mid), 5, userLine(200_000, "foreign"), userLine(200_001, "foreign")), mid, 0},
		{"soon to come", slices.Insert(slices.Clone(mid), 5, "type=USER_LOGIN msg=audit(1800000900.000:1035): msg='op=foreign'"), mid, 0},
		{"no id", slices.Insert(slices.Clone(mid), 5, "type=USER_LOGIN msg=foreign"), mid, 0},
		{"EOE", slices.Insert(slices.Clone(mid), 5, "type=EOE msg=audit(1800000900.000:1500): foreign"), mid, 0},
		{"DAEMON_ERR", slices.Insert(slices.Clone(mid), 5, "type=DAEMON_ERR msg=audit(1800000024.000:77): op=foreign res=failed"), mid, 0},
		{"DAEMON_ROTATE", slices.Insert(slices.Clone(mid), 5, "type=DAEMON_ROTATE msg=audit(1800000024.000:77): op=rotate-logs auid=0 pid=1 res=success"), mid, 0},
		{"a second SYSCALL", slices.Insert(slices.Clone(withCall), at, "type=SYSCALL msg=audit(1800000025.000:1025): foreign"), withCall, 0},
		{"a lost PATH", withCall, slices.Delete(slices.Clone(withCall), at+1, at+2), 0},
		{"a lost AVC beside others", slices.Insert(slices.Clone(withCall), at-1, avc), withCall, 0},
		{"a cut record", withCall, slices.Replace(slices.Clone(withCall), at+1, at+2, withCall[at+1][:len(withCall[at+1])-16]), 0},
		{"a cut message that looks whole", mid, slices.Replace(slices.Clone(mid), 5, 6, mid[5][:strings.Index(mid[5], "op=")]), 0},
		{"a message that continues", slices.Insert(slices.Clone(mid), 6, mid[5]+" foreign"), mid, 0},
		{"one repeated", mid, mid, 0},
	} {
		for _, led := range []bool{true, false} {
			m := newModel(1, 0)
			p := m.player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
			if led {
				p.f.letLogLead(time.Now(), 0, time.Hour)
			}
			p.write(join(a, c.log, z))
			sent := join(a, c.sent, z)
			for len(sent) > 0 {
				n := min(len(sent), 7)
				p.take(t, sent[:n])
				if sent = sent[n:]; p.f.leads() {
					p.f.readLogOnce()
				}
			}
			if !led { // as after a doubt
				p.f.letLogLead(time.Now(), 0, quietTime)
			}
			p.f.Finish(time.Now().Add(time.Minute))
			var want []string
			foreign := 0
			for _, l := range join(a, c.log, z) {
				if strings.Contains(l, "foreign") {
					foreign++
				} else {
					want = append(want, l)
				}
			}
			name := fmt.Sprintf("%s, led %v", c.name, led)
			got, _ := p.out.lines()
			if !led && strings.HasPrefix(c.name, "a cut") { // given before the log led
				got = slices.DeleteFunc(got, func(l string) bool { return slices.Contains(c.sent, l) && !slices.Contains(c.log, l) })
			}
			compare(t, name, got, want, false)
			if f := int(p.f.Show().Foreign); f != foreign && c.name != "no id" {
				t.Errorf("%s: %d lines are foreign, want %d", name, f, foreign)
			}
			if len(p.out.lost) != c.lost {
				t.Errorf("%s: lost %v, want %d", name, p.out.lost, c.lost)
			}
		}
	}
}

// TestAForgedLineMasksNoLoss: the same loss is said with it and without.
func TestAForgedLineMasksNoLoss(t *testing.T) {
	for _, forged := range [][]string{nil, {userLine(200_000, "foreign")}, {userLine(1040, "foreign") + "x"}, {userLine(4_000_000_000, "foreign")}} {
		for _, led := range []bool{true, false} {
			p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
			if led {
				p.f.letLogLead(time.Now(), 0, time.Hour)
			}
			first, then := userLines(1000, 1050), join(userLines(1051, 1099), userLines(1600, 1699))
			p.write(join(first, forged))
			p.take(t, first)
			p.f.lookForGaps(time.Now().Add(3*time.Second), false) // the stream is quiet: the tail is looked at
			if p.f.leads() {
				p.f.readLogOnce()
			}
			p.write(then)
			p.take(t, then)
			p.f.Finish(time.Now().Add(time.Minute))
			if len(p.out.lost) != 1 || p.out.lost[0].First != 1100 || p.out.lost[0].Last != 1599 {
				t.Errorf("%q, led %v: lost %v", forged, led, p.out.lost)
			}
			got, _ := p.out.lines()
			compare(t, fmt.Sprintf("%q", forged), got, join(first, then), false)
		}
	}
}

// TestLinesThatTheEndOfTheStreamHasPassedAreJudged: no event that could still come speaks for or against them.
func TestLinesThatTheEndOfTheStreamHasPassedAreJudged(t *testing.T) {
	p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
	p.f.letLogLead(time.Now(), 0, time.Hour)
	sent := userLines(1000, 1010)
	p.write(join(sent, []string{userLine(1012, "foreign")}))
	p.take(t, sent)
	p.f.readLogOnce()
	for _, ended := range []bool{false, true} {
		p.f.ended = ended
		p.f.passed(p.f.awaited.end(), time.Now())
		if judged := p.f.pending.ready == p.f.awaited.end(); judged != ended {
			t.Errorf("ended %v: judged %v", ended, judged)
		}
	}
	p.f.giveReady(time.Now())
	got, _ := p.out.lines()
	compare(t, "at the end", got, sent, true)
}

// TestABrokenAddressIsNoLine: an address whose newlines were not taken for its own.
func TestABrokenAddressIsNoLine(t *testing.T) {
	p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
	p.f.letLogLead(time.Now(), 0, time.Hour)
	head := "type=SOCKADDR msg=audit(1800000010.000:1010): saddr=01004000AA\x1dSADDR={ saddr_fam=local path=@a"
	for _, rest := range [][]string{{userLine(1011, "foreign") + " }"}, {userLine(1011, "foreign"), "x }"}, {userLine(1009, "foreign"), userLine(1010, "foreign"), " }"}} {
		p.write(join([]string{head}, rest))
	}
	// The stream has lost all that: the beginning comes, the lines do not.
	p.write(userLines(1011, 1090))
	p.take(t, userLines(1000, 1009))
	p.take(t, userLines(1011, 1090))
	p.f.Finish(time.Now().Add(time.Minute))
	for _, l := range p.out.got {
		if strings.Contains(l, "foreign") {
			t.Errorf("given: %q", l)
		}
	}
}

// TestPendingIsBounded: a log that is far in front of the stream is not read on, and
// all of it comes in the end.
func TestPendingIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, held := range []int{maxHeld, 2 << 20} { // as by default, and in a small cgroup
		t.Run(fmt.Sprintf("%d MiB", held>>20), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			synctest.Test(t, func(t *testing.T) { pendingIsBounded(t, held, path) })
		})
	}
}

func pendingIsBounded(t *testing.T, held int, path string) {
	p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), path)
	p.f.o.MaxHeld = held
	p.f.letLogLead(time.Now(), 0, time.Hour)
	pad := strings.Repeat("x", 4000)
	var list []string
	for s := range uint32(8000) {
		list = append(list, userLine(1000+s, pad))
	}
	p.write(list)
	p.take(t, list[:10])
	for range 20 {
		p.f.readLogOnce()
		if p.f.pending.size > held/2+1<<20 {
			t.Fatalf("%d bytes wait", p.f.pending.size)
		}
	}
	for k := 10; k < len(list); k += 50 {
		p.take(t, list[k:min(k+50, len(list))])
		p.f.readLogOnce()
	}
	p.f.Finish(time.Now().Add(time.Minute))
	got, _ := p.out.lines()
	compare(t, "far in front", got, list, true)
	if c := p.f.Show(); c.Foreign != 0 || len(p.out.lost) != 0 {
		t.Errorf("%+v, lost %v", c, p.out.lost)
	}
}

// TestASilentStreamGetsTheRestOfTheLog: what the log has after the last record of a stream that says
// nothing more is given after a while, if it continues from there.
func TestASilentStreamGetsTheRestOfTheLog(t *testing.T) {
	p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
	p.f.o.Static = false
	p.f.letLogLead(time.Now(), 0, time.Hour)
	first, tail := userLines(1000, 1019), userLines(1020, 1029)
	p.write(join(first, tail[:5], []string{userLine(9000, "foreign")}, tail[5:]))
	p.take(t, first)
	p.f.readLogOnce()
	got, _ := p.out.lines()
	compare(t, "at once", got, first, true)
	p.f.last = p.f.last.Add(-silentTime)
	for n := p.f.pending.ready; n < p.f.awaited.end(); n++ {
		l := p.f.awaited.line(n)
		l.at = l.at.Add(-silentTime)
	}
	time.Sleep(time.Millisecond)
	p.f.readLogOnce()
	got, _ = p.out.lines()
	compare(t, "after a while", got, join(first, tail), true)
	p.take(t, tail) // it comes after all
	p.f.readLogOnce()
	got, _ = p.out.lines()
	compare(t, "when it comes", got, join(first, tail), true)
}

// TestDoubtWhileLinesWait: as long as a line of the log waits for the stream, which may
// have lost it, a run that resumes after a restart must not begin after its event.
func TestDoubtWhileLinesWait(t *testing.T) {
	m := newModel(1, 0)
	e := &modelEvent{serial: 1020, millis: 1_800_000_020_000}
	for !e.call || len(e.lines) < 4 {
		e.lines, e.call = nil, false
		m.fill(e)
	}
	p := m.player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
	p.f.letLogLead(time.Now(), 0, time.Hour)
	before := userLines(1000, 1019)
	p.write(before)
	p.take(t, before)
	p.f.readLogOnce()
	p.write(e.lines)
	began := time.Now()
	p.take(t, e.lines[:2])
	for range 3 {
		p.f.readLogOnce()
		if at := p.f.Doubt(); at.IsZero() || at.After(began) {
			t.Errorf("in doubt since %v, while %d lines of the log wait, read after %v", at, p.f.awaited.end()-p.f.pending.ready, began)
		}
	}
	p.take(t, e.lines[2:])
	p.f.readLogOnce()
	p.write(userLines(1021, 1030))
	p.take(t, userLines(1021, 1030))
	p.f.readLogOnce()
	p.f.readLogOnce()
	if at := p.f.Doubt(); !at.IsZero() && at.Before(began) {
		t.Errorf("in doubt since %v, although all has come", at)
	}
}

// TestOnlyWhatTheLogWasSearchedForWasCut: of a record from before the place where the log is
// read from it is not known whether the log has it, so a line that begins with it is no proof.
func TestOnlyWhatTheLogWasSearchedForWasCut(t *testing.T) {
	m := newModel(1, 0)
	p := m.player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
	long := userLine(1000, "login")
	b := batchOf(long + "\n" + long[:strings.Index(long, "op=")] + "\n")
	e := &witnessed{serial: 1000, millis: b.Recs[0].Millis}
	e.sums[4] = sumOf(b.Recs[1].Type, keyText(b, 1))
	p.f.had.matched = map[recentKey]bool{}
	for from, want := range map[int64]bool{e.millis - 1: true, e.millis: true, e.millis + 1: false} {
		if p.f.had.from = from; p.f.wasTruncated(e, hasUser, b, 0) != want {
			t.Errorf("searched from %d ms after it: was cut %v, want %v", from-e.millis, !want, want)
		}
	}
	p.f.had.matched[recentKey{1000, e.sums[4]}] = true
	if p.f.had.from = 0; p.f.wasTruncated(e, hasUser, b, 0) {
		t.Error("the log has it, and it was cut")
	}
}
