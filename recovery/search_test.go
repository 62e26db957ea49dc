package recovery

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/audit/integrity"
)

// loginsAt is the records of these events, of one time.
func loginsAt(at time.Time, first, last uint32) (list []string) {
	for s := first; s <= last; s++ {
		list = append(list, fmt.Sprintf("type=USER_LOGIN msg=audit(%d.%03d:%d): pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'", at.Unix(), at.Nanosecond()/1e6, s))
	}
	return list
}

// TestAGapThatShowsWhileTheLogLeadsForAMoment: it is searched for, although the log began to lead for something else, from
// a later place, and not for long enough.
func TestAGapThatShowsWhileTheLogLeadsForAMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	synctest.Test(t, func(t *testing.T) {
		p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), path)
		p.f.o.Static = false
		all := loginsAt(time.Now().Add(-10*time.Second), 1000, 1009) // the stream lags
		p.write(all)
		p.take(t, slices.Delete(slices.Clone(all), 5, 6))
		time.Sleep(500 * time.Millisecond)
		p.f.Check() // auditd has read its configuration again
		for range 60 {
			p.f.lookForGaps(time.Now(), false)
			if p.f.leads() {
				p.f.readLogOnce()
			}
			time.Sleep(100 * time.Millisecond)
		}
		got, _ := p.out.lines()
		compare(t, "a gap that shows after a reload", got, all, false)
		if len(p.out.lost) > 0 {
			t.Errorf("lost %v", p.out.lost)
		}
	})
}

// TestAGapThatShowsAtTheEndWhileTheLogLeads: the log is searched for it, too, where it was read only from a later place on.
func TestAGapThatShowsAtTheEndWhileTheLogLeads(t *testing.T) {
	for _, read := range []bool{true, false} {
		p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
		then := time.Unix(1_800_000_000, 0)
		all := join(loginsAt(then, 1000, 1009), loginsAt(then.Add(time.Hour), 1010, 1030))
		p.write(all)
		sent := slices.Delete(slices.Clone(all), 4, 5)
		sent[20] = sent[20][:len(sent[20])-5] // so the log leads from there on
		p.take(t, sent)
		if !p.f.leads() {
			t.Fatal("the log does not lead")
		}
		if read {
			p.f.readLogOnce()
		}
		p.f.Finish(time.Now().Add(time.Minute))
		got, _ := p.out.lines()
		compare(t, fmt.Sprintf("read before the end %v", read), got, all, false)
		if len(p.out.lost) > 0 {
			t.Errorf("read before the end %v: lost %v", read, p.out.lost)
		}
	}
}

// TestGapsThatShowAllTheTime: what the log was searched for is reported, although more has shown before the lines that it had
// were judged; the others when it was searched for them.
func TestGapsThatShowAllTheTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	synctest.Test(t, func(t *testing.T) {
		p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), path)
		p.f.letLogLead(time.Now(), 0, time.Hour)
		due := func(after time.Duration) { p.f.lookForGaps(time.Now().Add(after), false) }
		lost := func(what string, want ...uint32) {
			t.Helper()
			var got []uint32
			for _, x := range p.out.lost {
				got = append(got, x.First)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: lost %v, want %v", what, got, want)
			}
		}

		first := join(userLines(1000, 1099), userLines(1101, 1150))
		p.write(first)
		p.take(t, first)
		p.f.readLogOnce()
		p.write(userLines(1151, 1174))
		p.write(userLines(1176, 1200))
		due(3 * time.Second) // the log is searched for 1100, and has lines that wait
		p.f.readLogOnce()
		p.take(t, join(userLines(1151, 1174), userLines(1176, 1180)))
		p.f.readLogOnce()
		lost("while lines wait")
		due(1500 * time.Millisecond) // 1175
		p.take(t, userLines(1181, 1200))
		p.f.readLogOnce()
		lost("when they are judged", 1100)

		due(4 * time.Second)
		p.f.readLogOnce()
		lost("when the log was searched again", 1100, 1175)
	})
}
