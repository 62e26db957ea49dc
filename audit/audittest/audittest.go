// Package audittest has what the tests of several packages of audit share: captured
// streams and lines as records.
package audittest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// ReadAll returns the records of a stream.
func ReadAll(t testing.TB, data []byte) *record.Batch {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(data))
	all := new(record.Batch)
	var b record.Batch
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

// Events calls f for the events of a stream, as they come: an event is records i to j-1 of b. An event that others
// come between is several. b is f's until it returns.
func Events(t testing.TB, data []byte, f func(b *record.Batch, i, j int)) {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(data))
	var b record.Batch
	for {
		if err := r.Next(&b); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for i, j := 0, 0; i < len(b.Recs); i = j {
			for j = i + 1; j < len(b.Recs) && (b.SameEvent(i, j) || b.Recs[j].Flags&record.Cont != 0); j++ {
			}
			f(&b, i, j)
		}
	}
}

// Capture returns the records of a capture; those of a log are marked FromLog.
func Capture(t testing.TB, name string) *record.Batch {
	t.Helper()
	b := ReadAll(t, captures.Read(t, name))
	if len(b.Recs) < 500 {
		t.Fatalf("%s: %d records only", name, len(b.Recs))
	}
	if IsLog(name) {
		for i := range b.Recs {
			b.Recs[i].Flags |= record.FromLog
		}
	}
	return b
}

// IsLog reports whether a capture is an audit.log.
func IsLog(name string) bool { return bytes.HasSuffix([]byte(name), []byte(".log.gz")) }

// Lines makes a batch of lines.
func Lines(t testing.TB, text string) *record.Batch {
	t.Helper()
	return ReadAll(t, []byte(text))
}

// Epoch is a time to begin with.
var Epoch = time.Unix(1_800_000_000, 0)

// Only returns the records of b that keep says, in the same buffer.
func Only(b *record.Batch, keep func(i int) bool) *record.Batch {
	out := &record.Batch{Buf: b.Buf}
	for i := range b.Recs {
		if keep(i) {
			out.Recs = append(out.Recs, b.Recs[i])
		}
	}
	return out
}

// User is a record that makes up an event by itself.
func User(serial uint32) string { return UserAt(serial, 1000) }

// UserAt is User with its time.
func UserAt(serial uint32, sec int64) string {
	return fmt.Sprintf("type=USER_CMD msg=audit(%d.000:%d): pid=1 uid=0 auid=0 ses=1 msg='cmd=x res=success'\n", sec, serial)
}

// WithoutExecs leaves the events with an EXECVE record out: those of the capture
// have arguments of many thousand bytes.
func WithoutExecs(b *record.Batch) *record.Batch {
	execs := make(map[uint32]bool)
	for i := range b.Recs {
		if b.Recs[i].Type == record.TypeExecve {
			execs[b.Recs[i].Serial] = true
		}
	}
	return Only(b, func(i int) bool { return !execs[b.Recs[i].Serial] })
}
