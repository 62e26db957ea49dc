package file

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

// TestTruncatedByOthers: it is noticed at the next record, or within a second, counted, said
// once a minute with what the copy lacks, and writing continues at the new end.
func TestTruncatedByOthers(t *testing.T) {
	before, after := string(sinktest.Lines(0, 50)), string(sinktest.Lines(50, 3))
	for _, tt := range []struct {
		name string
		to   int64  // size it is cut to
		copy string // what a copy was made of before
		as   string
		left string // in the file at the end
		miss int64  // that is said, -1: nothing
	}{
		{"to nothing, with a copy", 0, before[:len(before)-100], ".1", after, 100},
		{"to nothing, with a copy by date", 0, before, "-20260102", after, 0},
		{"to nothing, without one", 0, "", "", after, -1},
		{"a copy of something larger", 0, before + before, ".1", after, -1},
		{"a copy that is packed", 0, "x", ".1.gz", after, -1},
		{"within a record", 10, "", "", before[:10] + "\n" + after, -1},
	} {
		for _, tick := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				core, logs := observer.New(zapcore.WarnLevel)
				x := tree{t, t.TempDir()}
				w := newWriter(settings(x.path("f"), nil), format.Encoder{}, zap.New(core), osFS{})
				write(t, w, []byte(before))
				if tt.as != "" {
					must(t, os.WriteFile(x.path("f"+tt.as), []byte(tt.copy), 0o600))
				}
				must(t, os.Truncate(x.path("f"), tt.to))
				if tick {
					must(t, w.Tick(context.Background()))
				}
				write(t, w, []byte(after))
				must(t, w.Tick(context.Background()))
				if got := content(t, x.path("f")); got != tt.left {
					t.Errorf("the file holds %q", got)
				}
				var s sinks.Status
				w.Extra(&s)
				if d := s.Details.(*Details); d.Truncated != 1 || d.TruncatedBytes != uint64(len(before))-uint64(tt.to) || logs.Len() != 1 {
					t.Fatalf("%+v, said %v", s, logs.All())
				}
				miss, known := logs.All()[0].ContextMap()["bytes_missing_at_most"]
				if known != (tt.miss >= 0) || (known && miss != tt.miss) {
					t.Errorf("said %v", logs.All()[0].ContextMap())
				}
				for range 5 { // by the minute
					must(t, os.Truncate(x.path("f"), 0))
					write(t, w, []byte(after))
				}
				if w.Extra(&s); s.Details.(*Details).Truncated != 6 || logs.Len() != 1 {
					t.Errorf("%d times, said %d times", s.Details.(*Details).Truncated, logs.Len())
				}
				w.cuts.at = w.cuts.at.Add(-cutEvery)
				must(t, os.Truncate(x.path("f"), 0))
				must(t, w.Tick(context.Background()))
				if logs.Len() != 2 {
					t.Errorf("said %d times a minute later", logs.Len())
				}
				must(t, w.Close())
			})
		}
	}
}

// TestOwnChangesAreNoTruncation: what the sink itself takes back, rotates or reopens, and what others append,
// is no truncation.
func TestOwnChangesAreNoTruncation(t *testing.T) {
	w, fs, path := testWriter(t, rotating(3))
	write(t, w, evenLines(0, 4*testSize/64))
	for _, fault := range []struct {
		op  string
		err error
	}{{"write", unix.ENOSPC}, {"write", errShort}, {"sync", unix.EIO}} {
		fs.short = 40
		fs.Fail(fault.err, fault.op)
		for range 3 {
			_, _ = w.Write(context.Background(), one(sinktest.Lines(0, 3)))
			_ = w.Tick(context.Background())
		}
		fs.Set(nil)
		write(t, w, sinktest.Lines(0, 3))
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("somebody else's\n")
	must(t, errors.Join(err, f.Close()))
	write(t, w, sinktest.Lines(0, 3))
	must(t, w.Reopen())
	write(t, w, sinktest.Lines(0, 3))
	if n := w.cuts.times.Load(); n != 0 {
		t.Errorf("%d truncations, of no program", n)
	}
}

// TestTruncatedWithHalfARecord: the rest of a record that could not be taken back does not go
// into the file that was emptied meanwhile.
func TestTruncatedWithHalfARecord(t *testing.T) {
	w, fs, path := testWriter(t, nil)
	all := sinktest.Lines(0, 5)
	fs.short = len(all) - 10
	fs.Set(func(op, _ string) error {
		return map[string]error{"write": errShort, "truncate": unix.EPERM}[op]
	})
	n, err := w.Write(context.Background(), one(all))
	if n != 4 || w.partial == 0 {
		t.Fatalf("%d records written: %v, %d bytes of the next", n, err, w.partial)
	}
	fs.Set(nil)
	must(t, os.Truncate(path, 0))
	write(t, w, sinktest.Lines(4, 1))
	if got := content(t, path); got != string(sinktest.Lines(4, 1)) {
		t.Errorf("the file holds %q", got)
	}
}

// TestOneRelayAFile: a file that another one writes is left alone until that one lets go of
// it, and the message says who it is.
func TestOneRelayAFile(t *testing.T) {
	for _, sync := range []string{"none", "interval", "batch"} {
		path := tree{t, t.TempDir()}.path("events.log")
		cfg := settings(path, nil)
		cfg.Settings.(*Config).Sync = sync
		w := newWriter(cfg, format.Encoder{}, zap.NewNop(), osFS{})
		write(t, w, sinktest.Lines(0, 2))
		other := newWriter(cfg, format.Encoder{}, zap.NewNop(), osFS{})
		other.made = other.made.Add(-heldTime)
		for range 2 {
			n, err := other.Write(context.Background(), one(sinktest.Lines(2, 2)))
			checkError(t, err, "locked by pid", path)
			if n != 0 || content(t, path) != string(sinktest.Lines(0, 2)) {
				t.Fatalf("%d records written", n)
			}
		}
		must(t, w.Reopen()) // no other file, and none of its own in the way
		write(t, w, sinktest.Lines(2, 2))
		must(t, w.Close())
		write(t, other, sinktest.Lines(4, 2))
		must(t, other.Close())
		if content(t, path) != string(sinktest.Lines(0, 6)) {
			t.Error("records are missing or mixed up")
		}
	}
}

// TestNextWaitsForTheLast: a sink that begins while the one before it is ending waits for that
// without a word.
func TestNextWaitsForTheLast(t *testing.T) {
	path := tree{t, t.TempDir()}.path("events.log")
	w := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), osFS{})
	write(t, w, sinktest.Lines(0, 2))
	next := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), osFS{})
	next.made = time.Now().Add(time.Hour) // as long as it takes
	wrote := make(chan error, 1)
	go func() {
		_, err := next.Write(context.Background(), one(sinktest.Lines(2, 2)))
		wrote <- err
	}()
	write(t, w, sinktest.Lines(0, 2))
	must(t, w.Close())
	must(t, <-wrote)
	must(t, next.Close())
	if got := content(t, path); !strings.HasSuffix(got, string(sinktest.Lines(2, 2))) {
		t.Errorf("the file holds %q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	last := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), osFS{})
	w = newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), osFS{})
	write(t, w, sinktest.Lines(4, 1))
	if _, err := last.Write(ctx, one(sinktest.Lines(4, 1))); !errors.Is(err, context.Canceled) {
		t.Errorf("a sink that is to end: %v", err)
	}
	must(t, errors.Join(last.Close(), w.Close()))
}
