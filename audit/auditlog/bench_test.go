package auditlog

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"audisp-relay/audit/record"
)

// fiveFiles is what auditd keeps as shipped: num_logs 5, max_log_file 8.
func fiveFiles(b testing.TB) (path string, first, last record.ID, size int64) {
	a := startFake(b, b.TempDir(), 5)
	const fileSize, block = 8 << 20, 4096
	n, text := 0, make([]byte, 0, block+1024)
	for file := range 5 {
		for done := 0; done < fileSize; done += len(text) {
			text = text[:0]
			for len(text) < block {
				text = fmt.Appendf(text, "type=PATH msg=audit(%d.%03d:%d): item=0 name=\"/var/lib/app/f%06d\" inode=1311768 dev=08:01 mode=0100644 "+
					"ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\x1dOUID=\"root\" OGID=\"root\"\n",
					1_700_000_000+n/20000, n/20%1000, n/4, n)
				n++
			}
			a.write(string(text))
			size += int64(len(text))
		}
		if file < 4 {
			a.rotate(nil)
		}
	}
	l := New(a.path)
	defer l.Close()
	var batch record.Batch
	if _, err := l.Next(&batch); err != nil {
		b.Fatal(err)
	}
	first = batch.ID(0)
	for {
		_, err := l.Next(&batch)
		if errors.Is(err, io.EOF) {
			return a.path, first, last, size
		}
		if err != nil {
			b.Fatal(err)
		}
		last = batch.ID(len(batch.Recs) - 1)
	}
}

// BenchmarkLogRead reads 5 files of 8 MiB.
func BenchmarkLogRead(b *testing.B) {
	path, _, _, size := fiveFiles(b)
	l := New(path)
	defer l.Close()
	var batch record.Batch
	b.SetBytes(size)
	b.ReportAllocs()
	records := 0
	for b.Loop() {
		if err := l.Go(Position{}); err != nil {
			b.Fatal(err)
		}
		for {
			_, err := l.Next(&batch)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			records += len(batch.Recs)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
}

// BenchmarkLogSeek finds a position in 5 files of 8 MiB.
func BenchmarkLogSeek(b *testing.B) {
	path, first, last, _ := fiveFiles(b)
	gone := last
	gone.Sum++
	for _, c := range []struct {
		name string
		id   record.ID
	}{{"oldest", first}, {"newest", last}, {"gone", gone}} {
		b.Run(c.name, func(b *testing.B) {
			l := New(path)
			defer l.Close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.SeekAfter(c.id); err != nil && !errors.Is(err, ErrGone) {
					b.Fatal(err)
				}
			}
		})
	}
}
