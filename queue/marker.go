package queue

import (
	"bytes"
	"fmt"
	"time"

	"audisp-relay/audit/record"
)

// record.TypeDaemonErr is the type of a loss marker (audit-records.h, AUDIT_DAEMON_ERR).

// When nothing is taken after a loss, a consumer that has read everything is
// told after firstTell, and, while that lasts, again no more often than tellAgain.
const (
	firstTell = time.Second
	tellAgain = time.Minute
)

// maxHeirs bounds the losses that are kept for clients to come.
const maxHeirs = 64

// pendingMarker is a loss of which a consumer is still to be told.
type pendingMarker struct {
	cause Cause
	loss  Loss
}

// addMarker appends the marker of a loss to b.
func (q *Queue) addMarker(b *record.Batch, cause Cause, l *Loss) {
	now := time.Now()
	q.serial++
	from := len(b.Buf)
	b.Buf = fmt.Appendf(b.Buf,
		"type=DAEMON_ERR msg=audit(%d.%03d:%d): op=relay-loss sink=%s cause=%s records=%d events=%d first=%d last=%d res=failed",
		now.Unix(), now.Nanosecond()/1e6, q.serial, q.name, cause, l.Records, l.Events, l.First, l.Last)
	if len(q.key) > 0 {
		mac := MAC(q.key, b.Buf[from:])
		b.Buf = append(append(b.Buf, " mac="...), mac...)
	}
	b.Buf = append(b.Buf, '\n')
	b.Recs = append(b.Recs, record.Record{
		Off: uint32(from), Len: uint32(len(b.Buf) - from), Type: record.TypeDaemonErr, Serial: q.serial,
		Millis: now.UnixMilli(), Kind: record.Line, Flags: record.Marker, Head: uint16(bytes.IndexByte(b.Buf[from:], ')') + 1),
	})
}

// pendingLoss returns where a loss is to be noted whose marker goes in front of the
// next record that is taken; nil without markers.
func (q *Queue) pendingLoss(cause Cause) *Loss {
	if !q.cfg.Markers {
		return nil
	}
	if !q.markersPending {
		q.markersPending = true
		wait := firstTell
		if q.toldQuietly {
			wait = tellAgain
		}
		q.armMarkerTimer(wait)
	}
	return &q.pendingLosses[cause]
}

// reportLoss notes a loss whose sum is known for the next marker.
func (q *Queue) reportLoss(cause Cause, l *Loss) {
	if l.none() {
		return
	}
	if news := q.pendingLoss(cause); news != nil {
		news.merge(l)
	}
}

func (q *Queue) armMarkerTimer(d time.Duration) {
	if q.quiet == nil {
		q.quiet = time.AfterFunc(d, q.emitMarkersWhenIdle)
		return
	}
	q.quiet.Reset(d)
}

// emitMarkers puts the markers of what was lost into the stream.
func (q *Queue) emitMarkers() {
	b := &q.marks
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	for cause := range NumCauses {
		if l := &q.pendingLosses[cause]; !l.none() {
			q.addMarker(b, cause, l)
			*l = Loss{}
		}
	}
	q.markersPending = false
	q.quiet.Stop()
	if len(b.Recs) > 0 {
		q.count.Markers += uint64(len(b.Recs))
		q.copy(b, 0, len(b.Recs))
	}
}

// emitMarkersWhenIdle tells a consumer that has read everything and gets nothing more. It
// runs in a timer's goroutine.
func (q *Queue) emitMarkersWhenIdle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !q.markersPending {
		return
	}
	if q.openLine || !q.allRead() {
		q.armMarkerTimer(firstTell)
		return
	}
	q.emitMarkers()
	q.toldQuietly = true
	q.wake()
}

// allRead reports whether a cursor has taken everything.
func (q *Queue) allRead() bool {
	for _, c := range q.cursors {
		if c.pos == q.tail {
			return true
		}
	}
	return false
}

// emitLastMarkers tells at the end what no cursor was told, so that the consumer learns
// it when what is stored is delivered.
func (q *Queue) emitLastMarkers() {
	all := q.nextClientMarkers
	q.nextClientMarkers = nil
	for _, c := range q.cursors {
		all = append(all, c.takePendingMarkers()...)
	}
	for i := range all {
		q.reportLoss(all[i].cause, &all[i].loss)
	}
	if q.markersPending && !q.openLine {
		q.emitMarkers()
	}
}

// leaveMarkers keeps a loss for the next client.
func (q *Queue) leaveMarkers(list ...pendingMarker) {
	if !q.cfg.Markers {
		return
	}
	for _, o := range list {
		if o.loss.none() {
			continue
		}
		if len(q.nextClientMarkers) == maxHeirs {
			q.nextClientMarkers[maxHeirs-1].loss.merge(&o.loss)
			continue
		}
		q.nextClientMarkers = append(q.nextClientMarkers, o)
	}
}

// addPendingMarker notes that the cursor's client is to be told of a loss before it goes on.
func (c *Cursor) addPendingMarker(cause Cause, l *Loss) {
	if !c.q.cfg.Markers || l.none() {
		return
	}
	if k := len(c.pendingMarkers) - 1; k >= c.markersOut && c.pendingMarkers[k].cause == cause {
		c.pendingMarkers[k].loss.merge(l)
		return
	}
	c.pendingMarkers = append(c.pendingMarkers, pendingMarker{cause, *l})
}

// markers returns a batch of the markers that are owed.
func (c *Cursor) markers() record.Batch {
	b := &c.marks
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	for i := range c.pendingMarkers {
		c.q.addMarker(b, c.pendingMarkers[i].cause, &c.pendingMarkers[i].loss)
	}
	c.markersOut, c.told = len(c.pendingMarkers), 0
	return *b
}

// dropMarkersOut forgets the markers that were delivered.
func (c *Cursor) dropMarkersOut() {
	c.q.count.Markers += uint64(c.told)
	c.pendingMarkers = append(c.pendingMarkers[:0], c.pendingMarkers[c.told:]...)
	c.markersOut, c.told = 0, 0
}

// takePendingMarkers takes what is owed and was not delivered from the cursor.
func (c *Cursor) takePendingMarkers() []pendingMarker {
	c.dropMarkersOut()
	list := c.pendingMarkers
	c.pendingMarkers = nil
	return list
}
