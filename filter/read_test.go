package filter

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// log is the records of a stream, and its events: the records of the same node, time
// and serial, one after the other.
type log struct {
	batch  record.Batch
	events [][2]int
}

// read reads a string stream or log.
func read(t testing.TB, data []byte) *log {
	t.Helper()
	type id struct {
		node   string
		millis int64
		serial uint32
		alone  int // number of a record without id
	}
	var order []id
	records := make(map[id][]record.Record)
	out := &log{}
	var in record.Batch
	r := stream.NewReader(bytes.NewReader(data))
	for alone := 0; ; {
		err := r.Next(&in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, rec := range in.Recs {
			at := id{node: string(in.Node(k)), millis: rec.Millis, serial: rec.Serial}
			if !rec.HasID() {
				alone++
				at = id{alone: alone}
			}
			if len(records[at]) == 0 {
				order = append(order, at)
			}
			text := in.Bytes(k)
			rec.Off = uint32(len(out.batch.Buf))
			out.batch.Buf = append(out.batch.Buf, text...)
			records[at] = append(records[at], rec)
		}
	}
	for _, at := range order {
		from := len(out.batch.Recs)
		out.batch.Recs = append(out.batch.Recs, records[at]...)
		out.batch.Recs[len(out.batch.Recs)-1].Flags |= record.End
		out.events = append(out.events, [2]int{from, len(out.batch.Recs)})
	}
	return out
}

// lines reads records that stand in a test.
func lines(t testing.TB, records ...string) *log {
	t.Helper()
	return read(t, []byte(strings.Join(records, "\n")+"\n"))
}

// mustCompile compiles an expression that is right.
func mustCompile(t testing.TB, src string) *Filter {
	t.Helper()
	f, err := Compile(src)
	if err != nil {
		t.Fatalf("%s\n%v", src, err)
	}
	return f
}

// cat is a usual event, ENRICHED.
var cat = []string{
	"type=SYSCALL msg=audit(1795298317.864:1730626): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd2c91f8a2 a2=0 a3=0 items=1 ppid=15747 pid=15765 " +
		"auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm=\"cat\" exe=\"/usr/bin/cat\" subj=unconfined key=\"priv\"" +
		"\x1dARCH=x86_64 SYSCALL=openat AUID=\"cloudsdk\" UID=\"root\" GID=\"root\" EUID=\"root\" SUID=\"root\" FSUID=\"root\" EGID=\"root\" SGID=\"root\" FSGID=\"root\"",
	"type=CWD msg=audit(1795298317.864:1730626): cwd=\"/etc\"",
	"type=PATH msg=audit(1795298317.864:1730626): item=0 name=\"shadow\" inode=247149 dev=fe:00 mode=0100640 ouid=0 ogid=42 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\x1dOUID=\"root\" OGID=\"shadow\"",
	"type=PROCTITLE msg=audit(1795298317.864:1730626): proctitle=63617400736861646F77",
	"type=EOE msg=audit(1795298317.864:1730626): ",
}
