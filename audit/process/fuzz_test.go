package process

import (
	"bytes"
	"io"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// FuzzTable reads bytes as a stream: the table holds together, and answers.
func FuzzTable(f *testing.F) {
	var e event
	for i, body := range []string{
		syscall(sysExec, 0, 1, 1, 100, "/bin/bash"), syscall(sysClone, 101, 0x11, 1, 100, "/bin/bash"), syscall(sysClone3, 100, 0, 101, 101, "/bin/bash"),
		syscall(sysOpen, 3, 1, 100, 101, "/bin/bash"), syscall(sysExit, 0, 0, 100, 101, "/bin/bash"), syscall(sysClone, 102, 0x11, 102, 102, "/bin/a b"),
	} {
		e.add(record.TypeSyscall, at(int64(i), uint32(10+i)), "", body)
		e.add(record.TypeExecve, at(int64(i), uint32(10+i)), "", execve("bash", "a b", ""))
		f.Add(bytes.Clone(e.Buf), uint16(i))
	}
	e.add(record.TypeConfig, at(9, 90), "", "op=remove_rule res=1")
	e.add(record.TypeSyscall, at(5, 9), "other", syscall(sysExec, 0, 1, 1, 100, "/x"))
	e.add(record.TypeSyscall, at(5, 1<<31), "", syscall(sysExec, 0, 1, 1, 100, "/x"))
	f.Add(e.Buf, uint16(99))

	f.Fuzz(func(t *testing.T, data []byte, bound uint16) {
		x := NewTable(Options{MaxBytes: 200 + int(bound)})
		r := stream.NewReader(bytes.NewReader(data))
		var b record.Batch
		for {
			if err := r.Next(&b); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			x.Note(&b)
			checkTable(t, x)
			for i := range b.Recs {
				var c Context
				if x.Of(&c, &b, i, len(b.Recs)); c.Depth > MaxAncestors {
					t.Fatalf("%+v", c)
				}
				for _, p := range []*Process{c.Self, c.Parent, c.SpawnedBy} {
					if p != nil && (p.Exe() == "" || len(p.Comm()) > maxComm || len(p.args()) > maxArgs) {
						t.Fatalf("%+v", p)
					}
				}
			}
			if len(b.Recs) > 0 {
				x.Lost("", b.Recs[0].Serial, b.Recs[0].Serial+uint32(bound))
			}
		}
	})
}
