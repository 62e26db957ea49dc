package consumer

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"audisp-relay/audit/audittest"
	"audisp-relay/config"
	"audisp-relay/host/athand"
)

// noticingUsers notes what is at hand while a filter works.
type noticingUsers struct{ seen func() }

func (u noticingUsers) User(uint32) string {
	u.seen()
	return "nobody"
}
func (noticingUsers) Group(uint32) string { return "" }

// TestPoisonIsNotJudged: an event that has ended the process is kept, in its place, counted and said with its id, without the filter
// having been asked; the others are noted while it is.
func TestPoisonIsNotJudged(t *testing.T) {
	memory, page := audittest.AtHand(t, athand.ID{Millis: 1000, Serial: 2})
	tk := take(t, config.Sink{Format: "json", Filter: `user == "somebody"`})
	core, logs := observer.New(zapcore.InfoLevel)
	tk.panics.log, tk.panics.atHand = zap.New(core), page
	tk.followSelection()
	var seen []string
	tk.judge.Match.Users = noticingUsers{func() {
		for _, id := range athand.Collect(memory) {
			seen = append(seen, id.String())
		}
	}}
	line := func(serial string) string {
		return "type=USER_LOGIN msg=audit(1.000:" + serial + "): pid=1 uid=471" + serial + " auid=0 ses=1 msg='op=login res=success'"
	}
	tk.Put(batchOf(t, line("1"), line("2"), line("3")))
	tk.Flush()
	if got, want := tk.serials(t), "2/1112 |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := strings.Join(seen, " "); got != "1.000:1 1.000:3" {
		t.Errorf("at hand was %s", got)
	}
	times, last := tk.panics.Shown()
	if n := tk.queue.Counts(); times != 1 || n.Filtered != 2 || n.LostRecords() != 0 || last != "event 1.000:2, not given to the filter: it has ended the process twice" {
		t.Errorf("%d times, last %s; %+v", times, last, n)
	}
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["event"] != "1.000:2" || all[0].ContextMap()["stage"] != "filter" {
		t.Errorf("said %v", all)
	}
	if failed, _, _ := tk.FilterTrouble(); failed != 1 {
		t.Errorf("the filter has failed %d times", failed)
	}
}
