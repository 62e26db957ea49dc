package recovery

import (
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// heldBatch is a copy of records of the stream that wait for the log.
type heldBatch struct {
	record.Batch
	at   time.Time
	size int // see sizeOf
}

// holdBatch holds records of the stream until the log has been read that far. It reports false when the stream leads
// again before there is room for them.
func (f *Merger) holdBatch(b *record.Batch, now time.Time) bool {
	for f.heldSize > f.o.MaxHeld && f.mode != direct {
		if !f.ioSince.IsZero() && time.Since(f.ioSince) > stuckAfter {
			f.bypass(now)
			break
		}
		f.mu.Unlock()
		select {
		case <-f.room:
		case <-time.After(stuckAfter / 10):
		}
		f.mu.Lock()
	}

	if f.mode == direct {
		return false
	}
	f.witness.note(b)
	h := heldBatch{Batch: copyRecords(nil, b.Buf, b.Recs), at: now}
	h.size = sizeOf(&h.Batch)
	f.held = append(f.held, h)
	f.heldSize += h.size
	poke(f.wake)
	return true
}

// copyRecords copies records and the part of buf that they lie in, which it puts into to.
func copyRecords(to, buf []byte, recs []record.Record) record.Batch {
	first, end := recs[0].Off, uint32(0)
	for i := range recs {
		first, end = min(first, recs[i].Off), max(end, recs[i].Off+recs[i].Len)
	}
	b := record.Batch{Buf: append(slices.Grow(to, int(end-first)), buf[first:end]...), Recs: slices.Clone(recs)}
	for i := range b.Recs {
		b.Recs[i].Off -= first
	}
	return b
}

// leastSize is what a record that waits counts for at least: what is known of it takes room, too. Few have so little text.
const leastSize = 128

// sizeOf returns how many bytes records that wait count for.
func sizeOf(b *record.Batch) int {
	size := len(b.Buf)
	for i := range b.Recs {
		size += max(0, leastSize-int(b.Recs[i].Len))
	}
	return size
}
