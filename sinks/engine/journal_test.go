package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/fleet/wire"
)

func testBatch(seq, count uint64, body string) *Batch {
	b := &Batch{Body: []byte(body), next: seq + count}
	b.Header = wire.Header{Host: testHost.ID, Name: "web1", Epoch: "0123456789abcdef", Sink: "fleet", Seq: seq, Count: count,
		Last: wire.Last{Millis: 1700000000123, Serial: uint32(seq), N: 1}, Format: "string"}
	for i := range count {
		b.ids = append(b.ids, seq+i)
	}
	return b
}

func mustOpen(t *testing.T, dir string) (*journal, *found) {
	t.Helper()
	j, f, err := openJournal(dir, 4<<20, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.close)
	return j, f
}

// TestJournalKeepsItsBound: a journal is read as it was written, by one relay at a time, and old
// segments go.
func TestJournalKeepsItsBound(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir)
	body := string(make([]byte, 100<<10))
	const batches = 200
	for i := range uint64(batches) {
		if err := j.append(testBatch(i*2+1, 2, body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := openJournal(dir, 4<<20, time.Hour); err == nil {
		t.Error("two relays have one journal")
	}
	first, next := uint64(0), uint64(0)
	err := j.replay(1, func(b *Batch) error {
		if first == 0 {
			first, next = b.Header.Seq, b.Header.Seq
		}
		if b.Header.Seq != next || len(b.Body) != len(body) {
			return fmt.Errorf("batch %d of %d bytes, expected %d", b.Header.Seq, len(b.Body), next)
		}
		next = b.Header.Next()
		return nil
	})
	if err != nil || first == 1 || next != 2*batches+1 {
		t.Errorf("%v; batches of records %d to %d", err, first, next)
	}

	files, _ := j.files()
	total := int64(0)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 5<<20 {
		t.Errorf("%d bytes", total)
	}
	j.close()
	_, f := mustOpen(t, dir)
	if f.last.Header.Seq != 2*batches-1 || f.last.next != 2*batches+1 || f.last.run != thisRun || time.Since(f.at) > time.Hour {
		t.Errorf("%+v", f.last)
	}
}

// TestJournalTornOrDamaged: what a kill or a power cut leaves is read up to there, and what is
// written then is found the next time.
func TestJournalTornOrDamaged(t *testing.T) {
	dir := t.TempDir()
	j, _ := mustOpen(t, dir)
	for i := range uint64(3) {
		if err := j.append(testBatch(i+1, 1, "a record\n")); err != nil {
			t.Fatal(err)
		}
	}
	j.close()
	files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], data[:len(data)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	j, f := mustOpen(t, dir)
	if f.last.Header.Seq != 2 || f.damage == nil {
		t.Fatalf("last %d, damage %v", f.last.Header.Seq, f.damage)
	}
	if err := j.append(testBatch(3, 1, "another\n")); err != nil {
		t.Fatal(err)
	}
	j.close()
	_, f = mustOpen(t, dir)
	if f.last.Header.Seq != 3 || len(f.entries) != 3 {
		t.Errorf("last %d of %d entries", f.last.Header.Seq, len(f.entries))
	}
}

// FuzzEntry: whatever is in a file, an entry is read as it was written or not at all.
func FuzzEntry(f *testing.F) {
	f.Add(appendEntry(nil, testBatch(1, 2, "x\n"), 7))
	f.Add(appendEntry(nil, testBatch(1<<40, 0, ""), 7)[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		e, n, err := parseEntry(data)
		if err != nil {
			return
		}
		again, m, err := parseEntry(appendEntry(nil, &e.Batch, e.run))
		if err != nil || n > len(data) {
			t.Fatalf("%v; %d of %d bytes", err, n, len(data))
		}
		_ = m
		if diff := cmp.Diff(e.Header, again.Header); diff != "" || string(e.Body) != string(again.Body) || e.next != again.next {
			t.Errorf("it reads otherwise: %s", diff)
		}
	})
}
