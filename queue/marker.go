package queue

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// When nothing is taken after a loss, a consumer that has read everything gets its
// marker after firstMarker, and, while that lasts, further ones no more often than
// nextMarker.
const (
	firstMarker = time.Second
	nextMarker  = time.Minute
)

// maxLeft bounds the losses that are kept for clients to come.
const maxLeft = 64

// macSize is how many bytes of the HMAC a marker has.
const macSize = 16

// MAC returns what proves that a marker with this text, from "type=" to before
// " mac=", was made by the owner of the key: HMAC-SHA256, the first 16 bytes, in hex.
func MAC(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return hex.AppendEncode(nil, h.Sum(nil)[:macSize])
}

// pendingMarker is a loss that is still to be reported to a consumer.
type pendingMarker struct {
	cause Cause
	loss  Loss
}

// lossMarkers are the losses that the stream is still to report. The queue's lock
// guards them, but for name and key, which never change.
type lossMarkers struct {
	name    string // of the consumer
	key     []byte
	serial  uint32          // of the last marker; as auditd's own records begin, somewhere below 10000
	losses  [NumCauses]Loss // for the next markers
	pending bool            // there is one among them
	batch   record.Batch    // scratch of emitMarkers
	timer   *time.Timer     // emits them when nothing is taken any more
	idle    bool            // it has since something was taken
	left    []pendingMarker // for the next clients
}

// add appends the marker of a loss to b. Its type is AUDIT_DAEMON_ERR of
// audit-records.h.
func (m *lossMarkers) add(b *record.Batch, cause Cause, l *Loss) {
	m.addOwn(b, record.TypeDaemonErr, "DAEMON_ERR", func(dst []byte) []byte {
		return fmt.Appendf(dst, "op=relay-loss sink=%s cause=%s records=%d events=%d first=%d last=%d res=failed",
			m.name, cause, l.Records, l.Events, l.First, l.Last)
	})
}

// addOwn appends a record of the relay's own to b, with what text appends after the id, and
// signed where there is a key.
func (m *lossMarkers) addOwn(b *record.Batch, number uint32, name string, text func(dst []byte) []byte) {
	now := time.Now()
	m.serial++
	from := len(b.Buf)
	b.Buf = fmt.Appendf(b.Buf, "type=%s msg=audit(%d.%03d:%d): ", name, now.Unix(), now.Nanosecond()/1e6, m.serial)
	b.Buf = text(b.Buf)
	if len(m.key) > 0 {
		mac := MAC(m.key, b.Buf[from:])
		b.Buf = append(append(b.Buf, " mac="...), mac...)
	}
	b.Buf = append(b.Buf, '\n')
	b.Recs = append(b.Recs, record.Record{
		Off: uint32(from), Len: uint32(len(b.Buf) - from), Type: number, Serial: m.serial,
		Millis: now.UnixMilli(), Kind: record.Line, Flags: record.Marker, Head: uint16(bytes.IndexByte(b.Buf[from:], ')') + 1),
	})
}

// pendingLoss returns where a loss is to be noted whose marker goes in front of the
// next record that is taken; nil without markers.
func (q *Queue) pendingLoss(cause Cause) *Loss {
	if !q.cfg.Markers {
		return nil
	}
	if !q.markers.pending {
		q.markers.pending = true
		wait := firstMarker
		if q.markers.idle {
			wait = nextMarker
		}
		q.markers.timer.Reset(wait)
	}
	return &q.markers.losses[cause]
}

// reportLoss notes a loss whose sum is known for the next marker.
func (q *Queue) reportLoss(cause Cause, l *Loss) {
	if l.none() {
		return
	}
	if pending := q.pendingLoss(cause); pending != nil {
		pending.merge(l)
	}
}

// emitMarkers puts the markers of what was lost into the stream.
func (q *Queue) emitMarkers() {
	m := &q.markers
	b := &m.batch
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	for cause := range NumCauses {
		if l := &m.losses[cause]; !l.none() {
			m.add(b, cause, l)
			*l = Loss{}
		}
	}

	m.pending = false
	m.timer.Stop()
	if len(b.Recs) > 0 {
		q.count.Markers += uint64(len(b.Recs))
		q.copy(b, 0, len(b.Recs))
	}
}

// emitMarkersWhenIdle gives their markers to a consumer that has read everything and
// gets nothing more. It runs in a timer's goroutine.
func (q *Queue) emitMarkersWhenIdle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !q.markers.pending {
		return
	}
	readAll := slices.ContainsFunc(q.cursors, func(c *Cursor) bool { return c.pos == q.tail })
	if q.openLine || !readAll {
		q.markers.timer.Reset(firstMarker)
		return
	}
	q.emitMarkers()
	q.markers.idle = true
	q.wake()
}

// emitLastMarkers reports at the end what no cursor was given, so that the consumer
// learns of it when what is stored is delivered.
func (q *Queue) emitLastMarkers() {
	all := q.markers.left
	q.markers.left = nil
	for _, c := range q.cursors {
		all = append(all, c.takePendingMarkers()...)
	}
	for i := range all {
		q.reportLoss(all[i].cause, &all[i].loss)
	}
	if q.markers.pending && !q.openLine {
		q.emitMarkers()
	}
}

// leaveMarkers keeps losses for the next client.
func (q *Queue) leaveMarkers(list ...pendingMarker) {
	if !q.cfg.Markers {
		return
	}
	m := &q.markers
	for _, p := range list {
		switch {
		case p.loss.none():
		case len(m.left) == maxLeft:
			m.left[maxLeft-1].loss.merge(&p.loss)
		default:
			m.left = append(m.left, p)
		}
	}
}

// addPendingMarker notes a loss that the cursor's client is to learn of before the
// next record.
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

// markers returns a batch of the pending markers.
func (c *Cursor) markers() record.Batch {
	b := &c.marks
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	for i := range c.pendingMarkers {
		c.q.markers.add(b, c.pendingMarkers[i].cause, &c.pendingMarkers[i].loss)
	}
	c.markersOut, c.markersRead = len(c.pendingMarkers), 0
	return *b
}

// dropMarkersOut forgets the markers that were delivered.
func (c *Cursor) dropMarkersOut() {
	c.q.count.Markers += uint64(c.markersRead)
	c.pendingMarkers = append(c.pendingMarkers[:0], c.pendingMarkers[c.markersRead:]...)
	c.markersOut, c.markersRead = 0, 0
}

// takePendingMarkers takes the markers that were not delivered from the cursor.
func (c *Cursor) takePendingMarkers() []pendingMarker {
	c.dropMarkersOut()
	list := append(c.pendingMarkers, c.putOff...)
	c.pendingMarkers, c.putOff = nil, nil
	return list
}
