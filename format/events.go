package format

import (
	"audisp-relay/audit/record"
	"audisp-relay/host/athand"
)

// endRecords says that the records before j end here.
func (e *Encoder) endRecords(j int) {
	for len(e.ends) < j {
		e.ends = append(e.ends, uint32(len(e.buf)))
	}
}

// appendEvent appends the event that record i begins, nothing when it begins none.
func (e *Encoder) appendEvent(dst []byte, batch record.Batch, i int) []byte {
	b := e.beginBatch(batch)
	if i > 0 && !endsEvent(b, i-1) {
		return dst
	}
	e.slot = e.AtHand.Take()
	defer e.giveSlot()
	return e.appendWhole(dst, b, i, EventEnd(b, i))
}

// giveSlot ends what is noted of the event at hand.
func (e *Encoder) giveSlot() {
	e.slot.Give()
	e.slot = athand.Slot{}
}

// appendWhole appends the event that records i..j-1 of b are, with the names of its rules.
func (e *Encoder) appendWhole(dst []byte, b *record.Batch, i, j int) []byte {
	if e.slot.Hold(b, i) {
		return e.rescue(dst, b, i, j, athand.ErrPoison)
	}
	dst = e.events.AppendEvent(dst, b, i, j)
	if e.tag == nil {
		return dst
	}
	if names := e.tag(b, i, j); len(names) > 0 {
		return e.AddRules(dst, names)
	}
	return dst
}

// beginBatch turns to a batch.
func (e *Encoder) beginBatch(b record.Batch) *record.Batch {
	if e.events == nil && e.Format.Events() {
		e.events = e.NewEvents()
	}
	if e.tag == nil && e.NewTagger != nil {
		e.tag = e.NewTagger()
	}
	e.batch = b
	return &e.batch
}

// EventEnd returns where the event that record i begins ends in b: after the record
// with flag record.End. Records that were queued before the consumer asked for
// events have none; then it is where the id changes.
func EventEnd(b *record.Batch, i int) int {
	for ; i < len(b.Recs) && !endsEvent(b, i); i++ {
	}
	return min(i+1, len(b.Recs))
}

// endsEvent reports whether record i is the last one of its event in b.
func endsEvent(b *record.Batch, i int) bool {
	if i+1 == len(b.Recs) || b.Recs[i].Flags&(record.End|record.Marker) != 0 {
		return true
	}
	return b.Recs[i+1].Flags&record.Cont == 0 && !b.SameEvent(i, i+1)
}
