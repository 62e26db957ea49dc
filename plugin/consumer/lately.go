package consumer

import (
	"sync"
	"time"

	"audisp-relay/plugin/recent"
	"audisp-relay/queue"
	"audisp-relay/state"
)

// Spans of time that a report looks back, and how often they are noted.
const (
	rateSpan = 10 * time.Second
	rateStep = time.Second
	longSpan = 5 * time.Minute // of the long rate, and of delays
	longStep = 10 * time.Second
	lostSpan = 5 * time.Minute // of LostLately
)

// lately is what became of a consumer's records in the last seconds, minutes and hours.
type lately struct {
	mu     sync.Mutex // guards all below
	flows  *recent.Window[flow]
	came   *recent.Window[uint64] // flow.in
	delays *recent.Window[queue.Delays]
	losses recent.Losses
	seen   [queue.NumCauses]uint64 // the totals of losses that are in losses
}

// flow is what has passed a consumer, in records, and for how long the reader has waited for it.
type flow struct {
	in, out uint64
	stalled time.Duration
}

// flowOf returns the flow over all runs. What the spool of an earlier run brings does not count as input.
func flowOf(n *queue.Counts, base map[string]uint64) flow {
	return flow{in: base["received"] + n.Received - n.TakenOver, out: base["delivered"] + n.Delivered, stalled: n.StalledNow()}
}

// init prepares l for a consumer that continues from before.
func (l *lately) init(now time.Time, before state.Consumer) {
	l.flows = recent.NewWindow[flow](rateSpan, rateStep)
	l.came = recent.NewWindow[uint64](longSpan, longStep)
	l.delays = recent.NewWindow[queue.Delays](longSpan, longStep)
	l.restore(now, before)
}

// restore takes over what an earlier run has saved; its totals are added to those of the consumer.
func (l *lately) restore(now time.Time, before state.Consumer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flows.Clear() // totals jump
	l.came.Clear()
	l.losses.Restore(now, before.Losses)
	for cause := range queue.NumCauses {
		l.seen[cause] += before.Totals["lost "+cause.String()]
	}
}

// note keeps the present balance, n with base from earlier runs.
func (l *lately) note(now time.Time, n *queue.Counts, base map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLosses(now, n, base)
	f := flowOf(n, base)
	l.flows.Note(now, f)
	l.came.Note(now, f.in)
	l.delays.Note(now, n.Delays)
}

// noteLosses notes by how much losses have grown. A total may fall: a damaged frame that is left to
// the next run is no loss of this one any more.
func (l *lately) noteLosses(now time.Time, n *queue.Counts, base map[string]uint64) {
	for cause := range queue.NumCauses {
		total := n.Lost[cause].Records
		if len(base) > 0 {
			total += base["lost "+cause.String()]
		}
		if total > l.seen[cause] {
			l.losses.Add(now, cause.String(), total-l.seen[cause])
			l.seen[cause] = total
		}
	}
}

func (l *lately) saved() []state.LossPeriod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.losses.Saved()
}

// report adds to r what was lately, n being the present balance with base from earlier runs.
func (l *lately) report(r *Report, n *queue.Counts, base map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.noteLosses(now, n, base)
	r.Lost1h, r.Lost24h = l.losses.Since(now, time.Hour), l.losses.Since(now, 24*time.Hour)
	r.LostLately = l.losses.Since(now, lostSpan)
	r.Oldest = n.Oldest

	is := flowOf(n, base)
	if was, took, known := l.came.Ago(now); known {
		r.LongRateIn = recent.Rate(is.in, was, took)
	}
	if was, took, known := l.flows.Ago(now); known {
		r.RateIn, r.RateOut = recent.Rate(is.in, was.in, took), recent.Rate(is.out, was.out, took)
		r.StalledLately = max(is.stalled-was.stalled, 0)
	}
	before, _, _ := l.delays.Ago(now)
	r.Delivery = deliveryOf(&n.Delays, n.Delays.Since(&before))
}

// Sample keeps the present balance, for the rates of the next reports. The plugin calls it
// about once a second.
func (c *Consumer) Sample(now time.Time) {
	n, base := c.balance()
	c.lately.note(now, &n, base)
}

// deliveryOf returns the report on all delays, with the quantiles of the late ones.
func deliveryOf(all *queue.Delays, late queue.Delays) *DeliveryReport {
	d := &DeliveryReport{Count: all.Total(), Sum: all.Sum, P50: quantile(&late, 0.5), P99: quantile(&late, 0.99)}
	sum := uint64(0)
	for i := range queue.NumDelays - 1 {
		sum += all.Counts[i]
		d.Buckets = append(d.Buckets, Bucket{LE: queue.DelayLimit(i).Seconds(), Count: sum})
	}
	return d
}

// quantile estimates the delay, in seconds, that a share of the records did not exceed, as
// histogram_quantile of Prometheus does. In the last interval it is that interval's lower bound.
func quantile(d *queue.Delays, share float64) float64 {
	rank := share * float64(d.Total())
	if rank == 0 {
		return 0
	}
	sum, from := 0.0, 0.0
	for i := range queue.NumDelays - 1 {
		n, to := float64(d.Counts[i]), queue.DelayLimit(i).Seconds()
		if sum+n >= rank && n > 0 {
			return from + (to-from)*(rank-sum)/n
		}
		sum, from = sum+n, to
	}
	return from
}
