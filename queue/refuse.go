package queue

import (
	"time"

	"audisp-relay/audit/record"
)

// LossOf says what records i up to j of b are as a loss.
func LossOf(b *record.Batch, i, j int) (l Loss) {
	for ; i < j; i++ {
		if counts(&b.Recs[i]) {
			l.add(&b.Recs[i])
		}
	}
	return l
}

// Refuse says that the first n records of the batch handed out last are dealt with, and that l of
// them is lost since the place of the queue's one sink has refused it for good. A marker reports it.
// A marker that was refused itself is given again after the next records that are delivered.
func (c *Cursor) Refuse(n int, l Loss) {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.markersOut > 0 {
		c.putOffMarkers(min(n, c.markersOut))
		return
	}
	c.advance(n)
	if q.over { // what was not delivered then is accounted for already
		return
	}
	q.count.now = time.Time{}
	l.Records = min(l.Records, q.count.Delivered)
	q.count.Delivered -= l.Records
	q.count.loseAll(Refused, &l)
	c.addPendingMarker(Refused, &l)
}

// putOffMarkers keeps the first n of the markers that were handed out until records are delivered
// again. There is one of each cause at most.
func (c *Cursor) putOffMarkers(n int) {
	for _, p := range c.pendingMarkers[:n] {
		c.putOff = mergeMarker(c.putOff, p)
	}
	c.pendingMarkers = append(c.pendingMarkers[:0], c.pendingMarkers[n:]...)
	c.markersOut, c.markersRead = 0, 0
}

func mergeMarker(list []pendingMarker, p pendingMarker) []pendingMarker {
	for i := range list {
		if list[i].cause == p.cause {
			list[i].loss.merge(&p.loss)
			return list
		}
	}
	return append(list, p)
}
