package recovery

import (
	"fmt"
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// maxTitled is how many events may wait for their EOE record at a time: as many as processors end one at once.
const maxTitled = 64

// eoes is what is known of the EOE records of a stream that has lost their ids, as auditd 4.2 and 4.2.1 cut 16 bytes off
// each record (auditd-dispatch.c, dispatch_event).
type eoes struct {
	last   record.Record   // the stream's last record that had an id
	serial uint32          // of the last EOE record
	titled []record.Record // PROCTITLE records whose EOE record has not come, the newest last
	of     record.Record   // a record of the event whose EOE record is to be given
}

// note takes in a record with an id that was dealt with. The kernel sends PROCTITLE right before EOE, though records of
// other events may come between the two.
func (e *eoes) note(r *record.Record) {
	switch r.Type {
	case record.TypeEOE:
		e.forget(r)
	case record.TypeProctitle:
		if e.forget(r); len(e.titled) == maxTitled {
			e.titled = slices.Delete(e.titled, 0, 1)
		}
		e.titled = append(e.titled, *r)
	}
}

// forget takes an event out of those that have no EOE record yet.
func (e *eoes) forget(r *record.Record) {
	e.titled = slices.DeleteFunc(e.titled, func(x record.Record) bool { return x.Serial == r.Serial && x.Millis == r.Millis })
}

// take finds the event that an EOE record without an id ends: the one that had its PROCTITLE last and no EOE, and where types are
// excluded that of the last record.
func (e *eoes) take() *record.Record {
	e.of = e.last
	if k := len(e.titled) - 1; k >= 0 {
		e.of, e.titled = e.titled[k], e.titled[:k]
	}
	return &e.of
}

// giveEOE gives the EOE record of the event of f.eoe.of, unless that has had its own.
func (f *Merger) giveEOE(now time.Time) {
	of := &f.eoe.of
	if of.Serial == f.eoe.serial {
		return
	}
	f.eoe.serial = of.Serial
	b := eoe(of.Millis, of.Serial)
	f.tracker.Observe(b, now)
	f.o.Out.Put(b)
}

// eoe returns the EOE record of an event.
func eoe(millis int64, serial uint32) *record.Batch {
	text := fmt.Appendf(nil, "type=EOE msg=audit(%d.%03d:%d): \n", millis/1000, millis%1000, serial)
	return &record.Batch{Buf: text, Recs: []record.Record{{Len: uint32(len(text)), Type: record.TypeEOE, Serial: serial, Millis: millis, Kind: record.Line}}}
}

// isTruncatedEOE reports whether record i is an EOE record whose id was cut off.
func isTruncatedEOE(b *record.Batch, i int) bool {
	if r := &b.Recs[i]; r.Kind == record.Ver0 {
		return r.Type == record.TypeEOE
	}
	return record.HasPrefix(b.AfterNode(i), "type=EOE ")
}
