package recovery

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
)

// foreignEvery is how often is said what was not given.
const foreignEvery = time.Minute

// noteForeign counts line i of b, which is not given.
func (f *Merger) noteForeign(b *record.Batch, i int, now time.Time) {
	id := b.ID(i)
	if slices.Contains(f.foreignLast[:], id) {
		return // the log was read again
	}
	f.foreignLast[f.count.Foreign%uint64(len(f.foreignLast))] = id
	f.count.Foreign++
	if f.foreignFirst.Len == 0 {
		f.foreignFirst = b.Recs[i]
	}
	f.sayForeign(now, false)
}

// sayForeign says what was not given, at most once a minute.
func (f *Merger) sayForeign(now time.Time, end bool) {
	if f.count.Foreign == f.foreignSaid || !end && now.Sub(f.foreignAt) < foreignEvery {
		return
	}
	r := &f.foreignFirst
	f.say.Warn("audit.log has lines that auditd's stream does not: forged or foreign, not given",
		zap.Uint64("lines", f.count.Foreign-f.foreignSaid), zap.Uint64("total", f.count.Foreign),
		zap.ByteString("first_type", record.AppendTypeName(nil, r.Type)), zap.Uint32("first_serial", r.Serial),
		zap.Time("first_time", time.UnixMilli(r.Millis)))
	f.foreignSaid, f.foreignAt, f.foreignFirst = f.count.Foreign, now, record.Record{}
}
