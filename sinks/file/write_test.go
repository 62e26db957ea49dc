package file

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// TestFaultsTearNoRecord: whatever call fails, the file holds whole records, the error
// names the file, the reason and what to do, and after the fault each record is
// there once.
func TestFaultsTearNoRecord(t *testing.T) {
	lines := sinktest.Lines(0, 20)
	for _, tt := range []struct {
		name   string
		change func(*Config)
		fault  func(fs *faultFS)
		n      int    // records reported as delivered
		says   string // in the error; "" for none
	}{
		{"no space", nil, func(fs *faultFS) { fs.Fail(unix.ENOSPC, "write") }, 0, "free space"},
		{"read-only", nil, func(fs *faultFS) { fs.Fail(unix.EROFS, "write") }, 0, "remount"},
		{"short within the first record", nil, func(fs *faultFS) { fs.short = 50; fs.Fail(errShort, "write") }, 0, "short write: free space"},
		{"short after some records", nil, func(fs *faultFS) { fs.short = 1000; fs.Fail(errShort, "write") }, 4, ""},
		{"short and cannot be cut", nil, func(fs *faultFS) {
			fs.short = 1000
			fs.Set(func(op, _ string) error {
				return map[string]error{"write": errShort, "truncate": unix.EPERM}[op]
			})
		}, 4, ""},
		{"sync of the batch", func(f *Config) { f.Sync = "batch" }, func(fs *faultFS) { fs.Fail(unix.EIO, "sync") }, 0, "fdatasync"},
		{"sync of the directory", func(f *Config) { f.Sync = "batch" }, func(fs *faultFS) { fs.Fail(unix.EIO, "syncdir") }, 0, "check the disk"},
		{"open", nil, func(fs *faultFS) { fs.Fail(unix.EACCES, "open") }, 0, "check owner and mode"},
		{"no descriptors", nil, func(fs *faultFS) { fs.Fail(unix.EMFILE, "open") }, 0, "limit of open files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, fs, path := testWriter(t, tt.change)
			tt.fault(fs)
			b := one(lines)
			n, err := w.Write(context.Background(), b)
			if n != tt.n {
				t.Errorf("%d records delivered, want %d", n, tt.n)
			}
			checkError(t, err, tt.says, path)
			fs.Set(nil)
			b.Recs = b.Recs[n:]
			if n, err := w.Write(context.Background(), b); n != len(b.Recs) || err != nil {
				t.Fatalf("after the fault: %d of %d records, %v", n, len(b.Recs), err)
			}
			if got := content(t, path); got != string(lines) {
				t.Errorf("file holds\n%s\nwant\n%s", got, lines)
			}
		})
	}
}

func checkError(t *testing.T, err error, says, path string) {
	t.Helper()
	switch {
	case says == "":
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
	case err == nil:
		t.Error("no error")
	case !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n"):
		t.Errorf("error %q, want one line with %q and the path", err, says)
	}
}

// TestNothingTornMeanwhile: while the disk is full the file ends with a whole
// record, for whoever reads it then.
func TestNothingTornMeanwhile(t *testing.T) {
	w, fs, path := testWriter(t, nil)
	write(t, w, sinktest.Lines(0, 3))
	b := one(sinktest.Lines(3, 5))
	for fs.short = 1; fs.short < len(b.Buf); fs.short += 37 {
		fs.Fail(errShort, "write")
		n, _ := w.Write(context.Background(), b)
		if got := content(t, path); !strings.HasSuffix(got, "\n") {
			t.Fatalf("torn after a write of %d bytes: %q", fs.short, got)
		}
		fs.Set(nil)
		b.Recs = b.Recs[n:]
		if len(b.Recs) == 0 {
			break
		}
	}
}

// TestIntervalSync: the file is synced without a batch waiting for it, and a
// sync that fails is said.
func TestIntervalSync(t *testing.T) {
	w, fs, path := testWriter(t, func(f *Config) { f.Sync = "interval" })
	write(t, w, sinktest.Lines(0, 1))
	if fs.Count("sync") != 0 {
		t.Errorf("%d syncs right after the first record, want none", fs.Count("sync"))
	}
	fs.Fail(unix.EIO, "sync")
	w.synced = w.synced.Add(-2 * checkEvery)
	// The syncer works beside; its failure is reported by whichever comes next.
	err := w.Tick(context.Background())
	err = cmp.Or(err, w.Reopen()) // has the syncer sync and close
	err = cmp.Or(err, w.Close())  // waits for it
	checkError(t, err, "fdatasync", path)
	if fs.Count("sync") != 2 {
		t.Errorf("%d syncs, want 2", fs.Count("sync"))
	}
}

// TestQuietFileWorksAgain: a file that could not be synced is synced again, without a record, and counts as one
// that works when that has succeeded.
func TestQuietFileWorksAgain(t *testing.T) {
	w, fs, path := testWriter(t, func(f *Config) { f.Sync = "interval" })
	fs.Fail(unix.EIO, "sync")
	write(t, w, sinktest.Lines(0, 1))
	tick := func() error {
		w.synced = time.Time{} // it is time
		err := w.Tick(t.Context())
		w.sync.close() // what it has asked for is done
		return err
	}
	failures := 0
	for range 6 { // an attempt, and a tick that says what has become of it
		err := tick()
		if err != nil {
			failures++
			checkError(t, err, "check the disk", path)
		}
		if failures > 0 && w.Steady() {
			t.Fatalf("steady after %d failures, %v", failures, err)
		}
	}
	if failures < 3 {
		t.Errorf("%d failures", failures)
	}
	fs.Set(nil)
	var err error
	for range 3 { // the last failure, an attempt, what has become of it
		err = tick()
	}
	if err != nil || !w.Steady() || w.dirty {
		t.Errorf("%v, steady %v, dirty %v", err, w.Steady(), w.dirty)
	}

	fs.Fail(unix.ENOSPC, "write")
	if _, err := w.Write(t.Context(), one(sinktest.Lines(1, 1))); err == nil || w.Steady() {
		t.Errorf("%v, steady %v", err, w.Steady())
	}
	if err := tick(); err != nil || w.Steady() {
		t.Errorf("steady though a record waits: %v", err)
	}
	fs.Set(nil)
	if write(t, w, sinktest.Lines(1, 1)); !w.Steady() {
		t.Error("not steady")
	}
}

// TestOthersAtTheFile: what logrotate and administrators do to the file.
func TestOthersAtTheFile(t *testing.T) {
	lines := func(i int) string { return string(sinktest.Lines(i*10, 10)) }
	for _, tt := range []struct {
		name      string
		do        func(t *testing.T, w *writer, path string)
		old, want string // in path.old and path
	}{
		{"renamed", func(t *testing.T, w *writer, path string) { rename(t, path) }, lines(0), lines(1)},
		{"deleted", func(t *testing.T, w *writer, path string) { os.Remove(path) }, "", lines(1)},
		{"copied and truncated", func(t *testing.T, w *writer, path string) { os.Truncate(path, 0) }, "", lines(1)},
		{"renamed and reopened", func(t *testing.T, w *writer, path string) {
			rename(t, path)
			w.checked = w.checked.Add(2 * checkEvery) // the path is not looked at
			if err := w.Reopen(); err != nil {
				t.Error(err)
			}
		}, lines(0), lines(1)},
		{"cut in the middle of a line", func(t *testing.T, w *writer, path string) {
			w.Reopen()
			os.Truncate(path, 20)
		}, "", lines(0)[:20] + "\n" + lines(1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _, path := testWriter(t, nil)
			write(t, w, []byte(lines(0)))
			tt.do(t, w, path)
			w.checked = w.checked.Add(-2 * checkEvery)
			if err := w.Tick(context.Background()); err != nil {
				t.Error(err)
			}
			write(t, w, []byte(lines(1)))
			if got := content(t, path); got != tt.want {
				t.Errorf("file holds\n%s\nwant\n%s", got, tt.want)
			}
			if tt.old != "" && content(t, path+".old") != tt.old {
				t.Errorf("renamed file holds\n%s\nwant\n%s", content(t, path+".old"), tt.old)
			}
		})
	}
}

func rename(t *testing.T, path string) {
	t.Helper()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
}

// TestLongLineStaysInOneFile: neither rotation nor reopen splits a line.
func TestLongLineStaysInOneFile(t *testing.T) {
	w, _, path := testWriter(t, func(f *Config) { f.MaxSize = 64 << 10 })
	long := sinktest.LongLine(200 << 10)
	for _, b := range sinktest.Batches(long, 4096) {
		for len(b.Recs) > 0 {
			n, err := w.Write(context.Background(), b)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			if b.Recs[n-1].Flags&record.Open != 0 {
				w.Reopen()
			}
			b.Recs = b.Recs[n:]
		}
	}
	if got := string(readAll(path)); got != string(long) {
		t.Fatalf("%d bytes, want %d", len(got), len(long))
	}
	for _, i := range numbers(path) {
		data, _ := readRotated(path, i)
		if len(data) > 0 && data[len(data)-1] != '\n' {
			t.Errorf("rotation %d ends within a line", i)
		}
	}
}

// TestReopenWithinALine: the rest of the line goes where its beginning is, the
// next record into the new file.
func TestReopenWithinALine(t *testing.T) {
	w, _, path := testWriter(t, nil)
	long := sinktest.LongLine(200 << 10)
	moved := false
	for _, b := range sinktest.Batches(long, 4096) {
		for i := range b.Recs {
			rec := record.Batch{Buf: b.Buf, Recs: b.Recs[i : i+1]}
			if n, err := w.Write(context.Background(), rec); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if rec.Recs[0].Flags&record.Open == 0 || moved {
				continue
			}
			moved = true
			rename(t, path)
			if err := w.Reopen(); err != nil {
				t.Fatal(err)
			}
			w.checked = w.checked.Add(-2 * checkEvery)
			if err := w.Tick(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := sinktest.Lines(2001, 1)
	if got := content(t, path); got != string(last) {
		t.Errorf("new file holds %.200q", got)
	}
	if got := content(t, path+".old"); got != string(long[:len(long)-len(last)]) {
		t.Errorf("old file holds %d bytes, want %d", len(got), len(long)-len(last))
	}
}

// TestOneWriteABatch: a record costs no allocation, a batch one write.
func TestOneWriteABatch(t *testing.T) {
	w, fs, _ := testWriter(t, nil)
	writes := 0
	fs.Set(func(op, _ string) error {
		if op == "write" {
			writes++
		}
		return nil
	})
	b := one(sinktest.Lines(0, 200))
	write := func() {
		if n, err := w.Write(context.Background(), b); n != 200 || err != nil {
			t.Fatal(n, err)
		}
	}
	write()
	if writes != 1 {
		t.Errorf("%d writes, want 1", writes)
	}
	if allocs := testing.AllocsPerRun(50, write); allocs > 8 {
		t.Errorf("%v allocations a batch of 200 records", allocs)
	}
}

// TestFullFileSystem: a real tmpfs that fills up while records come, and has
// room again.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		lab.Missing(t, "cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	path := filepath.Join(dir, "events.log")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), osFS{})
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	lines := sinktest.Lines(0, 200) // more than 24 KiB
	b := one(lines)
	failed := false
	for len(b.Recs) > 0 {
		n, err := w.Write(context.Background(), b)
		b.Recs = b.Recs[n:]
		switch {
		case err == nil && n == 0:
			t.Fatal("neither progress nor error")
		case err != nil && failed:
			t.Fatal(err)
		case err != nil:
			failed = true
			if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
				t.Fatalf("%v, want a full file system", err)
			}
			if got := content(t, path); !strings.HasPrefix(string(lines), got) || !strings.HasSuffix(got, "\n") {
				t.Errorf("torn on the full file system: ...%q", got[max(0, len(got)-80):])
			}
			os.Remove(ballast)
		}
	}
	if !failed {
		t.Error("the file system was never full")
	}
	if content(t, path) != string(lines) {
		t.Error("records are missing or there twice")
	}
}

// TestRealLogrotate: the snippet of the README with the real logrotate, once with
// a signal and once with copytruncate.
func TestRealLogrotate(t *testing.T) {
	bin, err := exec.LookPath("logrotate")
	if err != nil {
		lab.Missing(t, "logrotate is not installed")
	}
	for _, how := range []string{"nocopytruncate", "copytruncate"} {
		t.Run(how, func(t *testing.T) {
			w, _, path := testWriter(t, nil)
			dir := filepath.Dir(path)
			os.Chmod(dir, 0o750)
			conf := filepath.Join(dir, "rotate.conf")
			text := path + " {\n rotate 5\n nocompress\n missingok\n " + how + "\n}\n"
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				write(t, w, sinktest.Lines(i*100, 100))
				out, err := exec.Command(bin, "-f", "-s", filepath.Join(dir, "state"), conf).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if how == "nocopytruncate" {
					w.Reopen()
				}
			}
			write(t, w, sinktest.Lines(300, 100))
			if got := string(readAll(path)); got != string(sinktest.Lines(0, 400)) {
				t.Errorf("%d bytes, want %d", len(got), len(sinktest.Lines(0, 400)))
			}
		})
	}
}
