package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"audisp-relay/stream"
	"audisp-relay/testdata/captures"
)

func readAll(t testing.TB, data []byte) *stream.Batch {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(data))
	all := new(stream.Batch)
	var b stream.Batch
	for {
		err := r.Next(&b)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Recs {
			rec := b.Recs[i]
			rec.Off = uint32(len(all.Buf))
			all.Buf = append(all.Buf, b.Bytes(i)...)
			all.Recs = append(all.Recs, rec)
		}
	}
}

// capture returns the records of a capture; those of a log are marked FromLog.
func capture(t testing.TB, name string) *stream.Batch {
	t.Helper()
	b := readAll(t, captures.Read(t, name))
	if len(b.Recs) < 500 {
		t.Fatalf("%s: %d records only", name, len(b.Recs))
	}
	if isLog(name) {
		for i := range b.Recs {
			b.Recs[i].Flags |= stream.FromLog
		}
	}
	return b
}

func isLog(name string) bool { return bytes.HasSuffix([]byte(name), []byte(".log.gz")) }

// lines makes a batch of lines.
func lines(t testing.TB, text string) *stream.Batch {
	t.Helper()
	return readAll(t, []byte(text))
}

var epoch = time.Unix(1_800_000_000, 0)

// only returns the records of b that keep says, in the same buffer.
func only(b *stream.Batch, keep func(i int) bool) *stream.Batch {
	out := &stream.Batch{Buf: b.Buf}
	for i := range b.Recs {
		if keep(i) {
			out.Recs = append(out.Recs, b.Recs[i])
		}
	}
	return out
}

// user is a record that makes up an event by itself.
func user(serial uint32) string { return userAt(serial, 1000) }

func userAt(serial uint32, sec int64) string {
	return fmt.Sprintf("type=USER_CMD msg=audit(%d.000:%d): pid=1 uid=0 auid=0 ses=1 msg='cmd=x res=success'\n", sec, serial)
}

// withoutExecs leaves the events with an EXECVE record out: those of the capture
// have arguments of many thousand bytes.
func withoutExecs(b *stream.Batch) *stream.Batch {
	execs := make(map[uint32]bool)
	for i := range b.Recs {
		if b.Recs[i].Type == stream.TypeExecve {
			execs[b.Recs[i].Serial] = true
		}
	}
	return only(b, func(i int) bool { return !execs[b.Recs[i].Serial] })
}
