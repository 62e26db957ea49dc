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

// owed is a loss of which a consumer is still to be told.
type owed struct {
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

// news returns where a loss is to be noted whose marker goes in front of the
// next record that is taken; nil without markers.
func (q *Queue) news(cause Cause) *Loss {
	if !q.cfg.Markers {
		return nil
	}
	if !q.untoldAny {
		q.untoldAny = true
		wait := firstTell
		if q.toldQuietly {
			wait = tellAgain
		}
		q.arm(wait)
	}
	return &q.untold[cause]
}

// tellOf notes a loss whose sum is known for the next marker.
func (q *Queue) tellOf(cause Cause, l *Loss) {
	if l.none() {
		return
	}
	if news := q.news(cause); news != nil {
		news.merge(l)
	}
}

func (q *Queue) arm(d time.Duration) {
	if q.quiet == nil {
		q.quiet = time.AfterFunc(d, q.tellQuiet)
		return
	}
	q.quiet.Reset(d)
}

// tell puts the markers of what was lost into the stream.
func (q *Queue) tell() {
	b := &q.marks
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	for cause := range NumCauses {
		if l := &q.untold[cause]; !l.none() {
			q.addMarker(b, cause, l)
			*l = Loss{}
		}
	}
	q.untoldAny = false
	q.quiet.Stop()
	if len(b.Recs) > 0 {
		q.count.Markers += uint64(len(b.Recs))
		q.copy(b, 0, len(b.Recs))
	}
}

// tellQuiet tells a consumer that has read everything and gets nothing more. It
// runs in a timer's goroutine.
func (q *Queue) tellQuiet() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !q.untoldAny {
		return
	}
	if q.openLine || !q.readUp() {
		q.arm(firstTell)
		return
	}
	q.tell()
	q.toldQuietly = true
	q.wake()
}

// readUp reports whether a cursor has taken everything.
func (q *Queue) readUp() bool {
	for _, c := range q.cursors {
		if c.pos == q.tail {
			return true
		}
	}
	return false
}

// tellLast tells at the end what no cursor was told, so that the consumer learns
// it when what is stored is delivered.
func (q *Queue) tellLast() {
	all := q.heirs
	q.heirs = nil
	for _, c := range q.cursors {
		all = append(all, c.takeOwed()...)
	}
	for i := range all {
		q.tellOf(all[i].cause, &all[i].loss)
	}
	if q.untoldAny && !q.openLine {
		q.tell()
	}
}

// bequeath keeps a loss for the next client.
func (q *Queue) bequeath(list ...owed) {
	if !q.cfg.Markers {
		return
	}
	for _, o := range list {
		if o.loss.none() {
			continue
		}
		if len(q.heirs) == maxHeirs {
			q.heirs[maxHeirs-1].loss.merge(&o.loss)
			continue
		}
		q.heirs = append(q.heirs, o)
	}
}

// owe notes that the cursor's client is to be told of a loss before it goes on.
func (c *Cursor) owe(cause Cause, l *Loss) {
	if !c.q.cfg.Markers || l.none() {
		return
	}
	if k := len(c.owed) - 1; k >= c.telling && c.owed[k].cause == cause {
		c.owed[k].loss.merge(l)
		return
	}
	c.owed = append(c.owed, owed{cause, *l})
}

// markers returns a batch of the markers that are owed.
func (c *Cursor) markers() record.Batch {
	b := &c.marks
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	for i := range c.owed {
		c.q.addMarker(b, c.owed[i].cause, &c.owed[i].loss)
	}
	c.telling, c.told = len(c.owed), 0
	return *b
}

// endTelling forgets the markers that were delivered.
func (c *Cursor) endTelling() {
	c.q.count.Markers += uint64(c.told)
	c.owed = append(c.owed[:0], c.owed[c.told:]...)
	c.telling, c.told = 0, 0
}

// takeOwed takes what is owed and was not delivered from the cursor.
func (c *Cursor) takeOwed() []owed {
	c.endTelling()
	list := c.owed
	c.owed = nil
	return list
}
