package event

import (
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// bulk cuts a capture into batches of 64 KiB, as a Reader of a stream that comes in
// bulk does.
func bulk(all *record.Batch) (list []*record.Batch) {
	from, size := 0, 0
	for i := range all.Recs {
		if size += int(all.Recs[i].Len); size > 64<<10 {
			list = append(list, &record.Batch{Buf: all.Buf, Recs: all.Recs[from:i]})
			from, size = i, int(all.Recs[i].Len)
		}
	}
	return append(list, &record.Batch{Buf: all.Buf, Recs: all.Recs[from:]})
}

// again makes the batches new ones, with serials and times that follow.
func again(list []*record.Batch) (records int) {
	first, last := list[0].Recs[1], list[len(list)-1].Recs[0]
	serials, millis := last.Serial-first.Serial+1000, last.Millis-first.Millis+1000
	for _, b := range list {
		for i := range b.Recs {
			r := &b.Recs[i]
			r.Serial += serials
			r.Millis += millis
			r.Flags &^= record.End | record.Partial | record.Late
		}
		records += len(b.Recs)
	}
	return records
}

// interleaved makes batches where every two events of a system call lie within
// each other.
func interleaved(list []*record.Batch) []*record.Batch {
	for _, b := range list {
		var mixed, held []record.Record
		from := 0
		for i := range b.Recs {
			if i+1 < len(b.Recs) && b.SameEvent(from, i+1) {
				continue
			}
			e := b.Recs[from : i+1]
			from = i + 1
			switch {
			case len(e) < 3:
				mixed = append(mixed, e...)
			case held == nil:
				held = e
			default:
				for len(e) > 0 || len(held) > 0 {
					n, m := min(1, len(held)), min(1, len(e))
					mixed = append(append(mixed, held[:n]...), e[:m]...)
					held, e = held[n:], e[m:]
				}
				held = nil
			}
		}
		b.Recs = append(mixed, held...)
	}
	return list
}

func BenchmarkAssembler(b *testing.B) {
	run := func(name string, list []*record.Batch) {
		b.Run(name, func(b *testing.B) {
			events := 0
			a := NewAssembler(AssemblerOptions{Out: func(x *record.Batch) { events += len(x.Recs) }})
			now := audittest.Epoch
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				n += again(list) // one to two nanoseconds a record
				for _, x := range list {
					now = now.Add(20 * time.Millisecond)
					a.Add(x, now)
					a.Expire(now)
				}
			}
			b.ReportMetric(float64(events)/float64(a.Counts().Events), "records/event")
		})
	}
	for _, name := range []string{"audit-3.0.9-raw.string.gz", "audit-3.0.9-enriched.string.gz", "audit-3.0.9-node.string.gz", "audit-3.0.9-enriched.binary.gz", "audit-3.0.9-enriched.log.gz"} {
		all := audittest.Capture(b, name)
		run(name, bulk(all))
		run(name+" without EXECVE", bulk(audittest.WithoutExecs(all)))
	}
	run("interleaved", interleaved(bulk(audittest.WithoutExecs(audittest.Capture(b, "audit-3.0.9-enriched.string.gz")))))
}
