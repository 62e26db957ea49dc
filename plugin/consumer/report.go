package consumer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"audisp-relay/audit/event"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// Report is the balance of one consumer: Received = Delivered + Filtered +
// Discarded + Queued + LostTotal. What was lost before it came here, causes
// upstream and kernel, is no part of that.
type Report struct {
	Name       string                `json:"name"`
	Type       string                `json:"type"`
	Format     string                `json:"format"`
	Filter     string                `json:"filter,omitempty"`
	Order      string                `json:"order,omitempty"` // "serial", or as events and records arrive
	Received   uint64                `json:"received"`
	Delivered  uint64                `json:"delivered"`
	Filtered   uint64                `json:"filtered"` // its filter left them out
	Discarded  uint64                `json:"discarded"`
	Queued     uint64                `json:"queued"`
	Bytes      int64                 `json:"queued_bytes"`
	Depth      int                   `json:"q_depth"` // what memory holds at most, and in bytes
	Room       int64                 `json:"q_bytes"`
	MaxDepth   int                   `json:"max_queued"`
	Cut        uint64                `json:"cut_lines,omitempty"`
	Suspended  bool                  `json:"suspended,omitempty"`
	Stopped    bool                  `json:"stopped,omitempty"` // its sink, by network_failure_action
	LostTotal  uint64                `json:"lost"`
	Lost       map[string]LossReport `json:"lost_by_cause,omitempty"`
	Stalls     uint64                `json:"stalls,omitempty"`
	Stalled    time.Duration         `json:"stalled_ns,omitempty"`
	TakenOver  uint64                `json:"taken_over,omitempty"` // of Received: from the spool of an earlier run
	Spooled    uint64                `json:"spooled"`              // of Queued, about: on disk
	SpoolSize  int64                 `json:"spool_bytes"`
	SpoolMax   int64                 `json:"spool_limit_bytes"` // 0: no spool is configured
	SpoolHigh  bool                  `json:"spool_above_warn_at,omitempty"`
	SpoolFault string                `json:"-"`                 // why its spool takes nothing (queue.Counts); StateFault of the whole report has it
	Spilled    uint64                `json:"spilled,omitempty"` // records that went to disk, in all
	Poison     uint64                `json:"poison"`            // panics over its events, and events that workers had died over: each given raw
	PoisonAt   string                `json:"poison_last,omitempty"`
	Markers    uint64                `json:"loss_markers,omitempty"`
	// Checkpoint is the time of the last checkpoint of this run: that its place has stored, or, of a
	// sink that has them among its records, that was put there once the one before was delivered.
	Checkpoint time.Time         `json:"last_checkpoint,omitzero"`
	Events     *EventReport      `json:"events,omitempty"` // of a consumer that gets whole events
	Ledger     map[string]uint64 `json:"ledger"`           // the balance of all runs with this state_dir

	// RateIn and RateOut are records in a second, over the last ten: received, and delivered.
	RateIn  float64 `json:"rate_in"`
	RateOut float64 `json:"rate_out"`
	// LongRateIn is RateIn over the last five minutes, or since the start: what says how long a spool
	// lasts, which a burst of seconds does not.
	LongRateIn float64 `json:"rate_in_5m"`
	// Oldest is the own time of the oldest record queued; zero if nothing is, or if its time is
	// not known yet, because it is in the spool.
	Oldest   time.Time       `json:"oldest_undelivered"`
	Delivery *DeliveryReport `json:"delivery"` // never nil
	// Lost1h and Lost24h are records lost within the last hour and day, by cause, to within five
	// minutes, also of earlier runs with this state_dir. Those lost upstream or in the kernel are
	// among them.
	Lost1h  map[string]uint64 `json:"lost_1h"`
	Lost24h map[string]uint64 `json:"lost_24h"`
	// LostLately is the same of the last five to ten minutes: what decides on the state of the report.
	LostLately map[string]uint64 `json:"-"`
	// StalledLately is for how long the reader waited for this consumer within the last ten seconds.
	StalledLately time.Duration `json:"stalled_lately_ns,omitempty"`

	Sink sinks.Status `json:"sink"`
}

// DeliveryReport is how long records took from their own time to the sink's acknowledgement
// (queue.Delays), in seconds.
type DeliveryReport struct {
	Count   uint64   `json:"count"` // of records, since the relay was started
	Sum     float64  `json:"sum"`
	Buckets []Bucket `json:"buckets"` // since the relay was started
	// P50 and P99 are of what was delivered within the last five minutes, 0 if that is nothing. They
	// are estimates, linear within a bucket.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Bucket is how many records took LE seconds or less.
type Bucket struct {
	LE    float64 `json:"le"`
	Count uint64  `json:"count"`
}

// UnmarshalJSON implements json.Unmarshaler: the type of the sink says which details it has.
func (c *Report) UnmarshalJSON(text []byte) error {
	type plain Report // without this method
	if err := json.Unmarshal(text, (*plain)(c)); err != nil {
		return err
	}
	if c.Sink.Details = sinks.NewDetails(c.Type); c.Sink.Details == nil {
		return nil
	}
	return json.Unmarshal(text, &struct {
		Sink sinks.Details `json:"sink"`
	}{c.Sink.Details})
}

// EventReport says how records became events for one consumer.
type EventReport struct {
	event.AssemblerCounts
	event.SorterCounts        // nothing without order = "serial"
	FilterErrors       uint64 `json:"filter_errors"` // events that the filter failed on, and that were kept
	FilterError        string `json:"filter_error,omitempty"`
	Unread             uint64 `json:"unread_kept"` // records without a readable header that the filter kept
	UnreadCause        string `json:"unread_cause,omitempty"`
}

// LossReport is what one cause has cost a consumer.
type LossReport struct {
	Records uint64    `json:"records"`
	Events  uint64    `json:"events"`
	First   uint32    `json:"first_serial"`
	Last    uint32    `json:"last_serial"`
	At      time.Time `json:"last_at"`
}

// Report returns the balance and the state of c.
func (c *Consumer) Report() Report {
	n, base := c.balance()
	c.mu.Lock()
	cfg, sink, bounds, panicked := c.cfg, c.sink, c.now.Config(), c.panicked
	stopped, high, checkpoint := c.stopped, c.filled, c.checkpoint
	c.mu.Unlock()
	r := Report{
		Name: c.Name, Type: cfg.Type, Format: cfg.Format, Filter: cfg.Filter,
		Received: n.Received, Delivered: n.Delivered, Filtered: n.Filtered, Discarded: n.Discarded,
		Queued: n.Queued, Bytes: n.QueuedBytes, Depth: bounds.Depth, Room: bounds.Bytes, MaxDepth: n.MaxDepth, Cut: n.Cut,
		Suspended: n.Suspended, Stopped: stopped, SpoolHigh: high, SpoolFault: n.SpoolFault, LostTotal: n.LostRecords(), Stalls: n.Stalls, Stalled: n.StalledNow(),
		TakenOver: n.TakenOver, Spooled: n.Spooled, SpoolSize: n.SpoolBytes, SpoolMax: int64(cfg.Spool.MaxSize), Spilled: n.Spilled, Markers: n.Markers,
		Checkpoint: checkpoint, Ledger: totals(base, &n, true),
	}

	if cfg.Serial {
		r.Order = "serial"
	}
	c.lately.report(&r, &n, base)
	r.Sink.Details = sinks.NewDetails(cfg.Type)
	if sink != nil {
		r.Sink = sink.Status()
	}
	if place, ok := r.Sink.Details.(sinks.Announced); ok {
		r.Checkpoint = place.LastCheckpoint()
	}
	r.Events = c.Intake.report()
	r.Poison, r.PoisonAt = c.panics.Shown()
	if panicked != nil {
		r.Sink.Degraded, r.Sink.Error = true, panicked.Error()
	}

	for cause := range queue.NumCauses {
		if l := n.Lost[cause]; l.Records > 0 || l.Events > 0 {
			if r.Lost == nil {
				r.Lost = make(map[string]LossReport)
			}
			r.Lost[cause.String()] = LossReport{Records: l.Records, Events: l.Events, First: l.First, Last: l.Last, At: l.At}
		}
	}
	return r
}

// WriteText writes the report as lines, times as stamp has them.
func (c *Report) WriteText(line func(string, any), stamp func(time.Time) string) {
	inner := func(k string, v any) { line(c.Name+" "+k, v) }
	c.writeState(inner, stamp)
	c.writeCounts(inner, stamp)
	if c.Sink.Details != nil {
		c.Sink.Details.WriteText(inner)
	}
}

// writeState writes what the sink is and whether it works.
func (c *Report) writeState(line func(string, any), stamp func(time.Time) string) {
	state := "ok"
	if c.Sink.Degraded {
		state = "degraded"
	}
	switch {
	case c.Suspended:
		state = "suspended (SIGUSR2 resumes)"
	case c.Stopped:
		state = "degraded and stopped (SIGUSR2 starts it)"
	}

	line("type", c.Type)
	line("format", c.Format)
	line("filter", cmp.Or(c.Filter, "none"))
	line("state", state+" since "+stamp(c.Sink.Since))
	line("last error", cmp.Or(c.Sink.Error, "none"))
	if c.Sink.Flaw != "" {
		line("flaw", c.Sink.Flaw)
	}
}

// writeCounts writes what has become of the records.
func (c *Report) writeCounts(line func(string, any), stamp func(time.Time) string) {
	line("received", c.Received)
	line("delivered", c.Delivered)
	line("filtered", c.Filtered)
	line("discarded", c.Discarded)
	line("queued", fmt.Sprintf("%d of %d (%d bytes, at most %d so far)", c.Queued, c.Depth, c.Bytes, c.MaxDepth))
	line("spooled", fmt.Sprintf("%d (%d bytes on disk, %d records spilled so far)", c.Spooled, c.SpoolSize, c.Spilled))
	line("taken over", fmt.Sprintf("%d (from the spool of an earlier run)", c.TakenOver))
	line("loss markers", c.Markers)
	if !c.Checkpoint.IsZero() {
		line("last checkpoint", stamp(c.Checkpoint))
	}
	if e := c.Events; e != nil {
		line("events", fmt.Sprintf("%d (%d incomplete; %d are open, %d bytes)",
			e.Events, e.PartialTimer+e.PartialLimit+e.PartialEnd+e.PartialLate, e.Open, e.Bytes))
		if c.Order != "" {
			line("late for its order", fmt.Sprintf("%d (%d wait for others, %d bytes)", e.Late, e.Held, e.HeldBytes))
		}
		line("filter errors", e.FilterErrors)
		line("unread, kept by the filter", e.Unread)
	}

	line("poison", WithLast(c.Poison, c.PoisonAt))
	line("lost", c.LostTotal)
	for cause := range queue.NumCauses {
		if l, ok := c.Lost[cause.String()]; ok {
			line("lost "+cause.String(), fmt.Sprintf("%d records, %d events, serials %d to %d, last at %s",
				l.Records, l.Events, l.First, l.Last, stamp(l.At)))
		}
	}

	if c.Stalls > 0 {
		line("stalled the reader", strconv.FormatUint(c.Stalls, 10)+" times, "+c.Stalled.Round(time.Millisecond).String())
	}
	for _, k := range slices.Sorted(maps.Keys(c.Ledger)) {
		line("total "+k, c.Ledger[k])
	}
}

// WithLast formats how often something happened, and the last time.
func WithLast(times uint64, last string) string {
	if last == "" {
		return strconv.FormatUint(times, 10)
	}
	return fmt.Sprintf("%d, last: %s", times, last)
}
