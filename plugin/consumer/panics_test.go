package consumer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"audisp-relay/config"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// poisonedUsers panics when it is asked for uid 666.
type poisonedUsers struct{}

func (poisonedUsers) User(uid uint32) string {
	if uid == 666 {
		panic("poisoned look-up")
	}
	return "somebody"
}
func (poisonedUsers) Group(uint32) string { return "" }

// TestPoisonedFilter: an event over which the filter panics is kept, in its place, counted and said
// with its id; the others are judged as ever.
func TestPoisonedFilter(t *testing.T) {
	tk := take(t, config.Sink{Format: "json", Filter: `user == "somebody" and uid != 3`})
	core, logs := observer.New(zapcore.InfoLevel)
	tk.panics.log = zap.New(core)
	tk.followSelection()
	tk.judge.Match.Users = poisonedUsers{}
	line := func(serial, uid int) string {
		return fmt.Sprintf("type=USER_LOGIN msg=audit(1.000:%d): pid=1 uid=%d auid=0 ses=1 msg='op=login res=success'", serial, uid)
	}
	tk.Put(batchOf(t, line(1, 1), line(2, 3), line(3, 666), line(4, 3), line(5, 5), line(6, 666), line(7, 7)))
	tk.Flush()
	if got, want := tk.serials(t), "1/1112 | 3/1112 | 5/1112 | 6/1112 | 7/1112 |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	times, last := tk.panics.Shown()
	if n := tk.queue.Counts(); times != 2 || n.Filtered != 2 || n.LostRecords() != 0 || !strings.Contains(last, "1.000:6") || !strings.Contains(last, "filter at panics_test.go:") {
		t.Errorf("%d times, last %s; %+v", times, last, n)
	}
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["event"] != "1.000:3" {
		t.Errorf("said %v", all)
	}
	tk.panics.said = tk.panics.said.Add(-panicEvery)
	tk.Put(batchOf(t, line(8, 666)))
	tk.Flush()
	if logs.Len() != 2 || logs.All()[1].ContextMap()["times"] != uint64(3) {
		t.Errorf("a minute later: said %v", logs.All())
	}
}

// TestSinkThatPanics: it is degraded, replaced, and its records are still there.
func TestSinkThatPanics(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	c := &Consumer{Name: "box", Log: zap.New(core), panics: new(Panics)}
	c.now = queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}, Name: "box"})
	c.now.Put(batchOf(t, syscallLine(1, "a")))
	if err := c.runSink(context.Background(), panickySink{}); err == nil || c.panicked == nil || logs.Len() != 1 {
		t.Errorf("%v, said %v", err, logs.All())
	}
	if n := c.now.Counts(); n.Queued != 1 || n.LostRecords() != 0 {
		t.Errorf("%+v", n)
	}
}

type panickySink struct{}

func (panickySink) Run(_ context.Context, q *queue.Queue) {
	cur := q.Cursor()
	defer cur.Close()
	if _, err := cur.Take(); err == nil {
		panic("in Run")
	}
}
func (panickySink) Reopen()              {}
func (panickySink) Status() sinks.Status { return sinks.Status{Since: time.Now()} }
