package recovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// call is the SYSCALL record of an event, and its end.
func call(millis int64, serial uint32) string {
	id := fmt.Sprintf("msg=audit(%d.%03d:%d):", millis/1000, millis%1000, serial)
	return "type=SYSCALL " + id + ` arch=c000003e syscall=2 success=no exit=-2 a0=1 a1=2 a2=3 a3=4 items=0 ppid=1 pid=2 auid=1 uid=0 comm="x" exe="/x" key=(null)` + "\n" +
		"type=PROCTITLE " + id + " proctitle=\"x\"\ntype=EOE " + id + " \n"
}

// batchOf is the records of a text.
func batchOf(text string) *record.Batch {
	var b record.Batch
	sp := stream.NewSplitter()
	sp.Cut(&b, copy(sp.Space(), text))
	b.Buf = append([]byte(nil), b.Buf...)
	return &b
}

// TestTheTimeOfAnEventIsNotThatOfItsWriting: where the log begins to lead does not go
// by the time of one event, which may have waited for hours, nor by a clock that was
// wrong.
func TestTheTimeOfAnEventIsNotThatOfItsWriting(t *testing.T) {
	now := time.Now().UnixMilli()
	const hour, year = 3_600_000, 365 * 24 * 3_600_000
	events := func(from, to uint32, millis int64) (text string) {
		for n := from; n <= to; n++ {
			text += call(millis, n)
		}
		return text
	}
	for name, c := range map[string]struct {
		stream   string
		min, max int64 // of where the log begins to lead, from now
		quiet    time.Duration
	}{
		"an old event before a quiet second":     {events(1, 50, now) + call(now-5*hour, 51), -61_000, 0, 2 * time.Second},
		"many old events":                        {events(1, 50, now) + events(51, 90, now-5*hour), -61_000, 0, 2 * time.Second},
		"an event of 1970":                       {events(1, 50, now) + call(0, 51), -61_000, 0, 2 * time.Second},
		"an event of the future":                 {events(1, 50, now) + call(now+year, 51), -61_000, 0, 2 * time.Second},
		"a clock set back":                       {events(1, 600, now+hour) + events(601, 1300, now), -61_000, 0, 2 * time.Second},
		"a clock set back a moment ago":          {events(1, 600, now+hour) + events(601, 602, now), -61_000, 0, 2 * time.Second},
		"a hole in front of an old event":        {events(1, 50, now) + call(now-5*hour, 53), -61_000, 0, 1200 * time.Millisecond},
		"a hole after the clock was set back":    {events(1, 600, now+hour) + events(601, 1300, now) + call(now, 1302), -61_000, 0, 1200 * time.Millisecond},
		"a hole just after it was set back":      {events(1, 600, now+hour) + call(now, 602), -61_000, 0, 1200 * time.Millisecond},
		"an old event without its end":           {events(1, 50, now) + strings.Split(call(now-5*hour, 51), "\n")[1] + "\n" + call(now, 52), -61_000, 0, 1200 * time.Millisecond},
		"an old event that is cut":               {events(1, 50, now) + call(now-5*hour, 51)[:200] + "\n" + call(now, 52), -61_000, 0, 0},
		"a hole after the stream stood for long": {events(1, 50, now-hour) + events(52, 60, now), -hour - 2000, -hour + 2000, 1200 * time.Millisecond},
	} {
		f := New(Options{Log: auditlog.New("/nonexistent"), Tracker: integrity.NewTracker(integrity.Options{}), Out: new(collector), Say: zap.NewNop()})
		for text := c.stream; text != ""; { // as it comes: some at a time
			n := min(len(text), 4096)
			n += strings.IndexByte(text[n-1:], '\n')
			f.Take(batchOf(text[:n]))
			text = text[n:]
		}
		if c.quiet > 0 {
			f.lookForGaps(time.Now().Add(c.quiet), false)
		}
		if f.entry == nil {
			t.Errorf("%s: the log does not lead", name)
			continue
		}
		slow := time.Now().UnixMilli() - now // under load, and with the race detector
		if at := f.entry.millis - now; at < c.min || at > c.max+1000+slow {
			t.Errorf("%s: searched from %d ms on, want %d to %d", name, at, c.min, c.max)
		}
	}
}
