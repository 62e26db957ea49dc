package record_test

import (
	"bytes"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// enriched is a usual record of auditd 3.0.9.
const enriched = `type=SYSCALL msg=audit(1795298389.176:1731606): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffc75b2f180 a2=241 a3=1b6 items=2 ppid=17519 pid=17520 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts1 ses=7 comm="python3" exe="/usr/bin/python3.11" key="watch"` +
	"\x1d" + `ARCH=x86_64 SYSCALL=openat AUID="labuser" UID="root" GID="root" EUID="root" SUID="root" FSUID="root" EGID="root" SGID="root" FSGID="root"`

func BenchmarkScan(b *testing.B) {
	batch := one(b, enriched)
	r := record.Parse(batch, 0)
	b.Run("cut", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			record.Parse(batch, 0)
		}
	})
	scan := func(text []byte) (n int) {
		s := record.Scan(text)
		for s.Next() {
			n++
		}
		return n
	}
	b.Run("body", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			scan(r.Body)
		}
	})
	b.Run("whole record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := record.Parse(batch, 0)
			scan(r.Body)
			scan(r.Names)
		}
	})
	b.Run("with classes and names", func(b *testing.B) {
		b.ReportAllocs()
		named := 0
		for b.Loop() {
			r := record.Parse(batch, 0)
			names := r.NameCursor()
			s := record.Scan(r.Body)
			for s.Next() {
				if record.ClassOf(s.Key) == record.UserID {
					if _, ok := names.Name(nil, s.Key); ok {
						named++
					}
				}
			}
		}
		if named != 9*b.N {
			b.Fatal(named, b.N)
		}
	})
}

// BenchmarkScanCapture scans what auditd really sent, records of all types.
func BenchmarkScanCapture(b *testing.B) {
	var batch record.Batch
	each(captures.Read(b, "audit-3.0.9-enriched.string.gz"), func(got *record.Batch, i int) {
		rec := got.Recs[i]
		rec.Off = uint32(len(batch.Buf))
		batch.Buf = append(batch.Buf, got.Bytes(i)...)
		batch.Recs = append(batch.Recs, rec)
	})
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch.Recs {
			r := record.Parse(&batch, i)
			s := record.Scan(r.Body)
			for s.Next() {
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Recs)), "ns/record")
}

func BenchmarkClassOf(b *testing.B) {
	var keys [][]byte
	batch := one(b, enriched)
	r := record.Parse(batch, 0)
	for s := record.Scan(r.Body); s.Next(); {
		keys = append(keys, s.Key)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, k := range keys {
			n += int(record.ClassOf(k))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
}

func BenchmarkArgs(b *testing.B) {
	body := []byte(`argc=7 a0="env" a1="-i" a2="PATH=/usr/sbin:/usr/bin:/sbin:/bin" a3="HOME=/srv/demo" a4="LANG=C.UTF-8" a5="/bin/bash" a6=6120622063`)
	var a record.Args
	b.ReportAllocs()
	for b.Loop() {
		a.Reset()
		a.Add(body)
	}
	if !a.Regular() {
		b.Fatal("not regular")
	}
}

func BenchmarkSockaddr(b *testing.B) {
	for _, tt := range []struct{ name, saddr string }{
		{"inet", "02000035C0A80001"}, {"unix", "01002F6465762F6C6F6700"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			saddr, scratch := []byte(tt.saddr), make([]byte, 0, 128)
			for b.Loop() {
				if _, _, ok := record.Sockaddr(scratch, saddr); !ok {
					b.Fatal()
				}
			}
		})
	}
}

// Records that are made to be costly cost no more than their length.
func BenchmarkHostile(b *testing.B) {
	for _, tt := range []struct{ name, unit string }{
		{"regular", "a=1 "},
		{"opening quotes", "k='x "},
		{"opening double quotes", `k="x `},
		{"double quotes", `k="x"y `},
		{"no keys", "a b c "},
		{"separators", "'\x1d"},
		{"separators and names", "'\x1dA=\"b\" "},
		{"separators and braces", "'\x1dA={ } "},
		{"names that are not there", "uid=1 "},
	} {
		for _, size := range []int{8000, 64000} {
			b.Run(tt.name, func(b *testing.B) {
				text := bytes.Repeat([]byte(tt.unit), size/len(tt.unit)/2)
				line := "type=USER_AUTH msg=audit(1.002:3): " + string(text) + "\x1d" + string(bytes.ToUpper(text)) + "x"
				batch := &record.Batch{}
				each([]byte(line+"\n"), func(got *record.Batch, i int) {
					batch = &record.Batch{Buf: bytes.Clone(got.Buf), Recs: []record.Record{got.Recs[i]}}
				})
				b.SetBytes(int64(len(line)))
				for b.Loop() {
					r := record.Parse(batch, 0)
					names := r.NameCursor()
					s := record.Scan(r.Body)
					for s.Next() {
						names.Name(nil, []byte("auid"))
					}
				}
			})
		}
	}
}
