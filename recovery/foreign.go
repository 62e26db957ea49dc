package recovery

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
)

// foreignEvery is how often the lines that were not given are reported.
const foreignEvery = time.Minute

// foreignLines are the lines of the log that were not given.
type foreignLines struct {
	said  uint64         // how many of those counted were reported
	at    time.Time      // of the last report
	first record.Record  // the first one not reported yet
	last  [256]record.ID // those counted last
}

// noteForeign counts line i of b, which is not given.
func (f *Merger) noteForeign(b *record.Batch, i int, now time.Time) {
	id := b.ID(i)
	if slices.Contains(f.foreign.last[:], id) {
		return // the log was read again
	}
	f.foreign.last[f.count.Foreign%uint64(len(f.foreign.last))] = id
	f.count.Foreign++
	if f.foreign.first.Len == 0 {
		f.foreign.first = b.Recs[i]
	}
	f.reportForeign(now, false)
}

// reportForeign logs what was not given, at most once a minute.
func (f *Merger) reportForeign(now time.Time, end bool) {
	if f.count.Foreign == f.foreign.said || (!end && now.Sub(f.foreign.at) < foreignEvery) {
		return
	}
	r := &f.foreign.first
	f.o.Say.Warn("audit.log has lines that the stream from auditd lacks: forged or foreign, not delivered",
		zap.Uint64("lines", f.count.Foreign-f.foreign.said), zap.Uint64("total", f.count.Foreign),
		zap.ByteString("first_type", record.AppendTypeName(nil, r.Type)), zap.Uint32("first_serial", r.Serial),
		zap.Time("first_time", time.UnixMilli(r.Millis)))
	f.foreign.said, f.foreign.at, f.foreign.first = f.count.Foreign, now, record.Record{}
}

// auditds reports whether a line looks like one that auditd has written. A line without an id may be a record that
// auditd could not print (msg=lost).
func auditds(b *record.Batch, i int) bool {
	return b.Recs[i].HasID() || record.HasPrefix(b.AfterNode(i), "type=")
}
