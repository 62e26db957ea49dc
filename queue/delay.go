package queue

import (
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

// Since returns what came since d was earlier, a copy of it from then.
func (d *Delays) Since(earlier *Delays) (more Delays) {
	for i := range d.Counts {
		more.Counts[i] = d.Counts[i] - min(earlier.Counts[i], d.Counts[i])
	}
	more.Sum = max(d.Sum-earlier.Sum, 0)
	return more
}

// note counts records that were delivered at now, in ms since 1970. Records that lie together have
// much the same time, so an interval is looked for only where it changes. A time in the future, of
// a host whose clock is ahead, counts as now, one before 1970 as 1970.
func (d *Delays) note(recs []record.Record, now int64) {
	i, from, to := 0, int64(1), int64(0) // an interval and its bounds: none yet
	count, sum := uint64(0), int64(0)
	for k := range recs {
		r := &recs[k]
		if r.Flags&(record.Cont|record.Marker|record.NoID) != 0 {
			continue
		}
		delay := now - min(max(r.Millis, 0), now)
		if delay < from || delay > to {
			d.Counts[i] += count
			count = 0
			i, from, to = delayInterval(delay)
		}
		count++
		sum += delay
	}
	d.Counts[i] += count
	d.Sum += float64(sum) / 1000
}

// delayInterval returns the interval of a delay, and its bounds, both included.
func delayInterval(delay int64) (i int, from, to int64) {
	for from = 0; i < len(delayLimits); i++ {
		if to = delayLimits[i]; delay <= to {
			return i, from, to
		}
		from = to + 1
	}
	return i, from, 1<<63 - 1
}

// oldest returns the time of the oldest record held, in ms since 1970, 0 where it is not known. Of a
// block that is not in memory, and was not either when this run began, it is unknown until a sink
// comes to it; then that of the next block stands for it.
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
