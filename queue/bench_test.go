package queue

import (
	"fmt"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

// BenchmarkEverythingToTheSpool: the consumer is dead, and every batch goes to
// disk. The disk is emptied now and then, outside the time.
func BenchmarkEverythingToTheSpool(b *testing.B) {
	s, err := spool.Open(spool.Options{Dir: b.TempDir(), MaxSize: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	q := New(Options{Config: spooled(16384), Name: "box", Spool: s})
	defer q.Shutdown()
	var batch record.Batch
	for i := range 1000 {
		line := fmt.Sprintf("type=PATH msg=audit(1700000000.123:%d): item=0 name=\"/usr/share/zoneinfo/Europe/Berlin\" inode=131 dev=fe:01 mode=0100644 ouid=0 ogid=0\n", i/5)
		batch.Recs = append(batch.Recs, record.Record{Off: uint32(len(batch.Buf)), Len: uint32(len(line)), Type: 1302, Serial: uint32(i / 5), Millis: 1700000000123})
		batch.Buf = append(batch.Buf, line...)
	}
	b.ReportAllocs()
	var n int
	for b.Loop() {
		q.Put(&batch)
		if n++; n%1000 == 0 {
			b.StopTimer()
			cfg := spooled(16384)
			cfg.Hold = false
			q.SetConfig(cfg)
			q.SetConfig(spooled(16384))
			for q.Counts().SpoolBytes > 16<<20 {
				time.Sleep(time.Millisecond)
			}
			b.StartTimer()
		}
	}
	c := q.Counts()
	if c.LostRecords() > 0 {
		b.Errorf("%d records lost", c.LostRecords())
	}
	b.ReportMetric(float64(n)*1000/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(c.Spilled)/float64(c.Received), "stored")
}
