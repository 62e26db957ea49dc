package spool

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"audisp-relay/audit/record"
)

// fullBatch makes a batch as a queue's block holds them: 64 KiB of records of 300 bytes.
func fullBatch() *record.Batch {
	var b record.Batch
	for i := 0; len(b.Buf)+300 <= 64<<10; i++ {
		text := fmt.Sprintf("type=SYSCALL msg=audit(1700000000.000:%d): ", i)
		text += strings.Repeat("x", 299-len(text)) + "\n"
		b.Recs = append(b.Recs, record.Record{
			Off: uint32(len(b.Buf)), Len: 300, Type: record.TypeSyscall, Serial: uint32(i), Millis: 1700000000000,
		})
		b.Buf = append(b.Buf, text...)
	}
	return &b
}

// BenchmarkAppend: full batches, each released 100 later.
func BenchmarkAppend(b *testing.B) {
	for name, sync := range map[string]Sync{"none": None, "interval": Interval} {
		b.Run(name, func(b *testing.B) {
			s := open(b, b.TempDir(), func(o *Options) { o.MaxSize, o.Sync = 256<<20, sync })
			batch := fullBatch()
			var held [100]Frame
			next, n := uint64(1), 0
			b.ReportAllocs()
			for b.Loop() {
				f, err := s.Append(next, batch)
				if err != nil {
					b.Fatal(err)
				}
				if sync == Interval && n%100 == 0 {
					s.Tick(time.Now())
				}
				next = f.end()
				s.Release(held[n%len(held)])
				held[n%len(held)] = f
				n++
			}
			b.ReportMetric(float64(n*len(batch.Recs))/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s := open(b, b.TempDir(), nil)
	batch := fullBatch()
	f, err := s.Append(1, batch)
	if err != nil {
		b.Fatal(err)
	}
	buf, recs, n := make([]byte, 64<<10), make([]record.Record, 0, 4096), 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(f, buf, recs); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n*len(batch.Recs))/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkOpen: 256 MiB of full frames, in the page cache.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, func(o *Options) { o.MaxSize = 256 << 20 })
	batch := fullBatch()
	for next := uint64(1); ; next += uint64(len(batch.Recs)) {
		if _, err := s.Append(next, batch); err != nil {
			break
		}
	}
	kill(s)
	b.ReportAllocs()
	for b.Loop() {
		s := open(b, dir, nil)
		if len(s.Frames()) < 3000 {
			b.Fatal(len(s.Frames()))
		}
		kill(s)
	}
}

// TestAStoredFrameCostsLittle: what a stored frame costs in memory, and that storing and reading
// costs none.
func TestAStoredFrameCostsLittle(t *testing.T) {
	if n := unsafe.Sizeof(Frame{}); n > 64 {
		t.Errorf("a frame takes %d bytes", n)
	}
	s := open(t, t.TempDir(), nil)
	batch := fullBatch()
	buf, recs, next := make([]byte, 64<<10), make([]record.Record, 0, 4096), uint64(1)
	step := func() {
		f, err := s.Append(next, batch)
		if err != nil {
			t.Fatal(err)
		}
		next = f.end()
		if _, err := s.Read(f, buf, recs); err != nil {
			t.Fatal(err)
		}
		s.Release(f)
	}
	step()
	if n := testing.AllocsPerRun(50, step); n >= 1 {
		t.Errorf("%v allocations a batch", n)
	}
}
