package canary

import (
	"bytes"
	"fmt"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks/unix"
)

const (
	// settle is how long after the relay has read the canary its queues surely have it: the count
	// of what was read rises just before the records go there.
	settle = 150 * time.Millisecond
	// settleEvents is that for a consumer of events while some are open: an event that lacks its
	// end is given after two seconds.
	settleEvents = 3 * time.Second
	// coarse is how much earlier than the making of a record its time may be: the kernel takes
	// that from a clock that ticks.
	coarse = 20 * time.Millisecond
)

// relay is what the reports of the relay say of the canary's arrival there.
type relay struct {
	before *plugin.Report
	sent   time.Time
	millis int64     // the record's own time, 0 while it is not known
	came   time.Time // the first report after it was read
}

// note looks at a report that came at now.
func (s *relay) note(r *plugin.Report, now time.Time) {
	from := s.sent.Add(-coarse)
	if s.millis != 0 {
		from = time.UnixMilli(s.millis)
	}
	if s.came.IsZero() && r.Input.Records > s.before.Input.Records && !r.Input.Newest.Before(from) {
		s.came = now
	}
}

// millisOf is the time of a record, 0 where that cannot be read.
func millisOf(line string) int64 {
	b, err := batchOf(line)
	if err != nil {
		return 0
	}
	return b.Recs[0].Millis
}

// batchOf reads a record.
func batchOf(line string) (*record.Batch, error) {
	var b record.Batch
	err := stream.NewReader(bytes.NewReader([]byte(line + "\n"))).Next(&b)
	if len(b.Recs) == 0 {
		if err == nil {
			err = errNoRecord
		}
		return nil, err
	}
	return &b, nil
}

// count looks at the counters of the sinks.
func (c *flight) count(r *plugin.Report) {
	if c.seen.came.IsZero() {
		return
	}

	for _, p := range c.places {
		if !p.done && !c.countFiltered(p, r) && p.watch == nil {
			c.countSink(p, r)
		}
	}
}

// countFiltered decides by one report whether a sink's filter has left the canary out. What the filter says here is not enough: it
// knows no names of users, and a sink that is read may get the record a moment later. So the relay has to have left something out by
// the time that it has surely dealt with the canary; and all of it, where the filter says nothing here.
func (c *flight) countFiltered(p *place, r *plugin.Report) bool {
	now, before := r.Consumer(p.sink.Name), c.seen.before.Consumer(p.sink.Name)
	if now == nil || before == nil || !c.dealtWith(now) || now.Filtered <= before.Filtered {
		return false
	}

	text := "its filter leaves the record out"
	switch out, known := c.leftOut(p.sink); {
	case known && !out:
		return false
	case !known && now.Received-before.Received != now.Filtered-before.Filtered:
		return false
	case !known:
		text = "its filter left all out that came meanwhile"
	}
	p.arrival.Fate, p.arrival.By, p.arrival.Text, p.done = Filtered, "", text, true
	return true
}

// dealtWith reports whether the canary has surely come to a sink's queue by now, or was left out.
func (c *flight) dealtWith(now *consumer.Report) bool {
	since := time.Since(c.seen.came)
	return since >= settleEvents || (since >= settle && (now.Events == nil || now.Events.Open == 0))
}

// countSink decides by one report whether a sink has acknowledged the canary: all that was
// received for it by now is dealt with, and the canary is among that.
func (c *flight) countSink(p *place, r *plugin.Report) {
	now := r.Consumer(p.sink.Name)
	if now == nil || !c.dealtWith(now) || (now.Queued > 0 && !past(now, c.canaryTime())) {
		return
	}

	p.done, p.arrival.MS, p.arrival.By = true, c.since(time.Now()), "counters"
	before := c.seen.before.Consumer(p.sink.Name)
	delivered := before == nil || now.Delivered > before.Delivered
	switch {
	case p.sink.WhenIdle == "discard" && clients(now) == 0 && !delivered:
		p.arrival.Fate, p.arrival.Text = Discarded, "no client is connected"
	case !delivered && before != nil && now.Filtered > before.Filtered:
		p.arrival.Fate, p.arrival.Text = Filtered, "its filter left all out that came meanwhile"
	case !delivered:
		p.arrival.Fate, p.arrival.Text = Late, "nothing was delivered to it, and nothing is queued: see audisp-relay status"
	default:
		p.arrival.Fate = Arrived
		p.arrival.Text = "by the counters of the relay: all that it had for the sink was acknowledged by then"
	}
}

// clients is how many are connected to the socket of a sink, 0 for one of another type.
func clients(c *consumer.Report) int {
	d, ok := c.Sink.Details.(*unix.Details)
	if !ok {
		return 0
	}
	return len(d.Clients)
}

// canaryTime is the time of the record, or about that.
func (c *flight) canaryTime() time.Time {
	if c.seen.millis != 0 {
		return time.UnixMilli(c.seen.millis)
	}
	return c.sent
}

// past reports whether what is queued is all younger than the canary.
func past(c *consumer.Report, canary time.Time) bool {
	return !c.Oldest.IsZero() && c.Oldest.After(canary)
}

// leftOut asks a sink's filter about the record; known is false before audit.log has shown it, and of a filter that asks for processes:
// only the relay knows them.
func (c *flight) leftOut(s *config.Sink) (out, known bool) {
	if s.Filter == "" {
		return false, true
	}
	if c.result.Record == "" {
		return false, false
	}

	f, err := filter.CompileWith(s.Filter, s.Rules)
	if err != nil || f.AsksForProcesses() {
		return false, false
	}
	b, err := batchOf(c.result.Record)
	if err != nil {
		return false, false
	}
	keep, err := f.New().Keep(b, 0, len(b.Recs))
	return err == nil && !keep, true
}

// explain says of a sink that was not reached what is known. last is the relay's last report, nil where it
// does not answer.
func (c *flight) explain(p *place, last *plugin.Report) {
	if p.why != "" && p.arrival.By == "counters" {
		p.arrival.Text += "; it was not read: " + p.why
	}
	if p.done {
		return
	}
	if last == nil {
		p.arrival.Text = "the relay does not answer: see audisp-relay doctor"
		return
	}

	switch now := last.Consumer(p.sink.Name); {
	case now == nil:
		p.arrival.Text = "the running relay does not have this sink: kill -HUP it"
	case now.Sink.Degraded:
		p.arrival.Text = "the sink is degraded: " + now.Sink.Error
	case now.Queued > 0 && p.sink.WhenIdle == "queue" && clients(now) == 0:
		p.arrival.Text = "no client is connected: it is kept for the next one"
	case now.Queued > 0:
		p.arrival.Text = fmt.Sprintf("%d records are queued for it, the oldest of %s", now.Queued, now.Oldest.UTC().Format(time.RFC3339))
	case now.Filter != "":
		p.arrival.Text = "its filter may leave the record out, which cannot be told from here"
	case c.seen.came.IsZero():
		p.arrival.Text = "the record has not come to the relay"
	default:
		p.arrival.Text = "it was not read there: see audisp-relay doctor --sink " + p.sink.Name
	}
}
