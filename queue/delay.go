package queue

import (
	"math"
	"time"

	"audisp-relay/audit/record"
)

// NumDelays is how many intervals Delays distinguishes.
const NumDelays = 18

// delayLimits are the upper bounds of all intervals but the last, which has none, in ms. A record's
// time is known to the millisecond, and reading gathers records for up to 2 ms, so the first is 5 ms.
var delayLimits = [NumDelays - 1]int64{
	5, 10, 25, 50, 100, 250, 500,
	1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
	5 * 60_000, 30 * 60_000, 2 * 3_600_000, 24 * 3_600_000,
}

// DelayLimit returns the upper bound, itself included, of interval i, which is less than
// NumDelays-1: the last one has none.
func DelayLimit(i int) time.Duration { return time.Duration(delayLimits[i]) * time.Millisecond }

// Delays is how long records took from their own time until the queue could let go of them as
// delivered: until the sink had acknowledged them, where there are several clients until the last of
// those that got them had done so. Each record is in one interval; the pieces of an overlong line
// are one record. Not in it are records without a readable id, which have no time, and those that
// some client had and another never took from the spool, whose times are not in memory.
type Delays struct {
	Counts [NumDelays]uint64 // of records, by interval
	Sum    float64           // of all, in seconds
}

// Total returns the number of records.
func (d *Delays) Total() (n uint64) {
	for _, more := range d.Counts {
		n += more
	}
	return n
}

// Add adds what another queue has delivered.
func (d *Delays) Add(o *Delays) {
	for i := range d.Counts {
		d.Counts[i] += o.Counts[i]
	}
	d.Sum += o.Sum
}

// Since returns what was added after earlier, a copy of d from then.
func (d *Delays) Since(earlier *Delays) (more Delays) {
	for i := range d.Counts {
		more.Counts[i] = d.Counts[i] - min(earlier.Counts[i], d.Counts[i])
	}
	more.Sum = max(d.Sum-earlier.Sum, 0)
	return more
}

// note counts records that were delivered at now, in ms since 1970. A time in the future, of a host
// whose clock is ahead, counts as now, one before 1970 as 1970. Records that lie together have much
// the same time, so an interval is looked for only where it changes.
func (d *Delays) note(recs []record.Record, now int64) {
	at := timeSpan{from: 1} // none yet
	count, sum := int64(0), int64(0)
	for k := range recs {
		r := &recs[k]
		if r.Flags&(record.Cont|record.Marker|record.NoID) != 0 {
			continue
		}
		if r.Millis < at.from || r.Millis > at.to {
			d.addSpan(at, count, sum, now)
			count, sum = 0, 0
			at = spanOf(r.Millis, now)
		}
		count++
		sum += r.Millis
	}
	d.addSpan(at, count, sum, now)
}

// timeSpan is the times of records, in ms since 1970 and both included, whose delay is in an interval.
type timeSpan struct {
	interval int
	from, to int64
}

// spanOf returns the span that a record's time is in.
func spanOf(millis, now int64) timeSpan {
	if millis > now {
		return timeSpan{0, now + 1, math.MaxInt64}
	}
	i, delay := 0, now-max(millis, 0)
	for i < len(delayLimits) && delay > delayLimits[i] {
		i++
	}
	if millis < 0 {
		return timeSpan{i, math.MinInt64, -1}
	}
	at := timeSpan{i, 0, now}
	if i < len(delayLimits) {
		at.from = max(now-delayLimits[i], 0)
	}
	if i > 0 {
		at.to = now - delayLimits[i-1] - 1
	}
	return at
}

// addSpan counts records of one span, sum being that of their times.
func (d *Delays) addSpan(at timeSpan, count, sum, now int64) {
	switch {
	case at.from > now:
		sum = count * now
	case at.from < 0:
		sum = 0
	}
	d.Counts[at.interval] += uint64(count)
	d.Sum += float64(count*now-sum) / 1000
}

// oldest returns the time of the oldest record held, in ms since 1970, 0 where it is not known. Of a
// block that is not in memory, and was not either when this run began, it is unknown until a sink
// comes to it; until then the time of the next block is returned.
func (q *Queue) oldest() int64 {
	for _, blk := range q.blocks {
		if blk.lost {
			continue
		}
		if millis := blk.oldest(q.head); millis > 0 {
			return millis
		}
	}
	return 0
}

// oldest returns the time of the block's first record from number head on that has one, else 0.
func (blk *block) oldest(head uint64) int64 {
	if blk.recs == nil {
		return blk.millis
	}
	for k := max(blk.first, head) - blk.first; k < uint64(len(blk.recs)); k++ {
		if r := &blk.recs[k]; r.Flags&(record.Cont|record.Marker|record.NoID) == 0 {
			return r.Millis
		}
	}
	return 0
}
