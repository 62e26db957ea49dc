package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

const testSize = 64 << 10 // the smallest max_size the configuration takes

func rotating(files int) func(*Config) {
	return func(f *Config) { f.MaxSize, f.MaxFiles = testSize, files }
}

// TestRotationKeepsTheNewestRecords: no file is ever larger than max_size, there are never more than
// max_files, and together they hold the newest records without a hole.
func TestRotationKeepsTheNewestRecords(t *testing.T) {
	for _, files := range []int{1, 2, 3, 8} {
		w, _, path := testWriter(t, rotating(files))
		all := sinktest.Lines(0, 3000)
		write(t, w, all)
		found, err := filepath.Glob(path + "*")
		must(t, err)
		if len(found) != min(files, len(all)/testSize+1) {
			t.Errorf("max_files %d: %v", files, found)
		}
		for _, name := range found {
			if n := len(content(t, name)); n > testSize {
				t.Errorf("%s has %d bytes", name, n)
			}
		}
		if got := string(readAll(path)); !strings.HasSuffix(string(all), got) || len(got) < min(len(all), (files-1)*testSize*9/10) {
			t.Errorf("max_files %d: the files hold %d bytes that are not the last of what was written", files, len(got))
		}
	}
}

// TestRotationOfEvents: an event stands whole in one file, also one that is larger
// than any file may be.
func TestRotationOfEvents(t *testing.T) {
	w, _, path := testWriter(t, rotating(100))
	w.enc = format.Encoder{Format: format.Events, NewEvents: sinktest.NewEvents}
	enc, want := w.enc, ""
	for i, size := range []int{2 * testSize, 10, testSize / 2, testSize/2 + 1, 2 * testSize, 10, 3 * testSize, testSize - 200, 10, 10} {
		b := sinktest.Event(i, 5, size)
		want += string(enc.Encode(b).Bytes)
		for len(b.Recs) > 0 {
			n, err := w.Write(context.Background(), b)
			must(t, err)
			if n != len(b.Recs) {
				t.Errorf("%d of the %d records of an event of %d bytes are written", n, len(b.Recs), size)
			}
			b.Recs = b.Recs[n:]
		}
	}
	if got := string(readAll(path)); got != want {
		t.Errorf("the files hold %d bytes, want %d", len(got), len(want))
	}
}

// TestRotationObstacles: what is no rotated file of ours is not touched, and the
// disk does not fill up because a rotation fails.
func TestRotationObstacles(t *testing.T) {
	full := sinktest.Lines(0, 500)
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T, fs *faultFS, path string)
		clear func(t *testing.T, fs *faultFS, path string)
		says  string
	}{
		{"directory in the way",
			func(t *testing.T, _ *faultFS, path string) { must(t, os.Mkdir(path+".1", 0o700)) },
			func(t *testing.T, _ *faultFS, path string) { must(t, os.Remove(path+".1")) },
			"events.log.1 stands in the way"},
		{"link in the way",
			func(t *testing.T, _ *faultFS, path string) { must(t, os.Symlink("/etc/passwd", path+".1.gz")) },
			func(t *testing.T, _ *faultFS, path string) { must(t, os.Remove(path+".1.gz")) },
			"events.log.1.gz stands in the way"},
		{"rename fails",
			func(t *testing.T, fs *faultFS, _ string) { fs.Fail(unix.EACCES, "rename") },
			func(t *testing.T, fs *faultFS, _ string) { fs.Set(nil) },
			"rename"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, fs, path := testWriter(t, rotating(3))
			tt.make(t, fs, path)
			b := one(full)
			n, err := w.Write(context.Background(), b)
			if err != nil || n == 0 || n == len(b.Recs) {
				t.Fatalf("first write: %d records, %v", n, err)
			}
			b.Recs = b.Recs[n:]
			for range 3 {
				k, err := w.Write(context.Background(), b)
				if k != 0 {
					t.Errorf("%d records written to a full file", k)
				}
				checkError(t, err, tt.says, path)
			}
			tt.clear(t, fs, path)
			if n, err := w.Write(context.Background(), b); n != len(b.Recs) || err != nil {
				t.Fatalf("after the fault: %d of %d records, %v", n, len(b.Recs), err)
			}
			if string(readAll(path)) != string(full) {
				t.Error("records are missing or there twice")
			}
		})
	}
}

// TestRotationCrash: after a crash between any two steps of a rotation nothing
// is missing, and rotation continues.
func TestRotationCrash(t *testing.T) {
	all := sinktest.Lines(0, 1400)
	for crash := 1; crash <= 5; crash++ {
		w, fs, path := testWriter(t, rotating(6))
		write(t, w, sinktest.Lines(0, 700))
		steps := 0
		fs.Set(func(op, path string) error {
			if op == "rename" || (op == "remove" && !strings.HasSuffix(path, ".tmp")) {
				if steps++; steps >= crash {
					return unix.EIO
				}
			}
			return nil
		})
		b := one(sinktest.Lines(700, 700))
		n := 0
		for {
			k, err := w.Write(context.Background(), b)
			n += k
			b.Recs = b.Recs[k:]
			if err != nil || len(b.Recs) == 0 {
				break
			}
		}
		if w.f != nil {
			w.f.Unlock() // as the kernel does when a process ends
		}
		// A new process finds what the old one has left.
		again := newWriter(settings(path, rotating(6)), format.Encoder{}, zap.NewNop(), osFS{})
		write(t, again, sinktest.Lines(700+n, 700-n))
		must(t, again.Close())
		if got := readAll(path); string(got) != string(all) {
			t.Errorf("crash at step %d: the files hold %d bytes, want %d", crash, len(got), len(all))
		}
	}
}

// TestRotatedFilesAreCompressed: rotated files become gzip files with the same content, mode
// and owner, and nothing else is left.
func TestRotatedFilesAreCompressed(t *testing.T) {
	w, _, path := testWriter(t, func(f *Config) {
		f.MaxSize, f.MaxFiles, f.Compress, f.Mode = testSize, 20, true, 0o604
	})
	must(t, os.WriteFile(path+".compress.tmp", []byte("left by a crash"), 0o600))
	all := sinktest.Lines(0, 3000)
	write(t, w, all)
	waitCompressed(t, path)
	must(t, w.Close())
	for _, i := range numbers(path) {
		name := rotatedName(path, i) + gzSuffix
		if i == 0 {
			name = path
		}
		st, err := os.Stat(name)
		must(t, err)
		if st.Mode().Perm() != 0o604 {
			t.Errorf("%s has mode %o", name, st.Mode().Perm())
		}
	}
	if got := readAll(path); string(got) != string(all) {
		t.Errorf("the files hold %d bytes, want %d", len(got), len(all))
	}
}

// waitCompressed waits until all that is left is PATH and PATH.n.gz.
func waitCompressed(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		found, _ := filepath.Glob(path + ".*")
		plain := 0
		for _, name := range found {
			if !strings.HasSuffix(name, gzSuffix) {
				plain++
			}
		}
		if plain == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v", found)
		}
	}
}

// TestCompressionCrash: a failure or crash at any step leaves every record
// there, and the next start finishes the work.
func TestCompressionCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	gz := func(f *Config) { f.MaxSize, f.MaxFiles, f.Compress = testSize, 20, true }
	all := sinktest.Lines(0, 2000)
	for name, fault := range map[string]func(op, path string) error{
		"open": func(op, path string) error { return failOn(op == "open" && strings.HasSuffix(path, ".tmp")) },
		"write": func(op, path string) error {
			return failOn(op == "write" && strings.HasSuffix(path, ".tmp"))
		},
		"sync":   func(op, path string) error { return failOn(op == "sync" && strings.HasSuffix(path, ".tmp")) },
		"rename": func(op, path string) error { return failOn(op == "rename" && strings.HasSuffix(path, ".tmp")) },
		"remove": func(op, path string) error { return failOn(op == "remove" && !strings.HasSuffix(path, ".tmp")) },
		"removes": func(op, path string) error {
			return failOn(op == "remove")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, fs, path := testWriter(t, gz)
			fs.Set(fault)
			write(t, w, all)
			if got := readAll(path); string(got) != string(all) {
				t.Errorf("with the fault the files hold %d bytes, want %d", len(got), len(all))
			}
			must(t, w.Close())
			again := newWriter(settings(path, gz), format.Encoder{}, zap.NewNop(), osFS{})
			write(t, again, sinktest.Lines(2000, 1))
			waitCompressed(t, path)
			must(t, again.Close())
			if got := readAll(path); string(got) != string(sinktest.Lines(0, 2001)) {
				t.Errorf("afterwards the files hold %d bytes", len(got))
			}
		})
	}
}

func failOn(cond bool) error {
	if cond {
		return unix.EIO
	}
	return nil
}

// TestCompressionIsCancelled: Close does not wait for a large file.
func TestCompressionIsCancelled(t *testing.T) {
	w, _, path := testWriter(t, func(f *Config) { f.Compress = true })
	f, err := os.Create(path + ".1")
	must(t, err)
	must(t, f.Truncate(1<<40)) // sparse: compressing it would take an hour
	must(t, f.Close())
	write(t, w, sinktest.Lines(0, 1))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path + ".compress.tmp"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("compression did not begin")
		}
	}
	must(t, w.Close())
	found, _ := filepath.Glob(path + "*")
	if len(found) != 2 {
		t.Errorf("left: %v", found)
	}
}

// TestRotatedWhileCompressed: a file that moves on while it is compressed ends
// up under its new name.
func TestRotatedWhileCompressed(t *testing.T) {
	w, fs, path := testWriter(t, func(f *Config) { f.MaxSize, f.MaxFiles, f.Compress = testSize, 20, true })
	moved := make(chan struct{})
	held := make(chan struct{})
	first := true
	fs.Set(func(op, p string) error {
		if op == "sync" && strings.HasSuffix(p, ".tmp") && first {
			first = false
			close(held)
			fs.Wait(func() { <-moved })
		}
		return nil
	})
	write(t, w, evenLines(0, 1024*3/2))
	<-held
	was := inode(t, path+".1")
	write(t, w, evenLines(1024*3/2, 2048)) // rotates twice
	if got := inode(t, path+".1"); got == was {
		t.Fatal("no rotation happened")
	}
	want := string(readAll(path))
	close(moved)
	waitCompressed(t, path)
	if got := string(readAll(path)); got != want {
		t.Errorf("the files hold %d bytes, want %d", len(got), len(want))
	}
}

// evenLines are n lines of 64 bytes: all rotated files get the same size.
func evenLines(first, n int) []byte {
	var out []byte
	for i := range n {
		line := fmt.Appendf(nil, "type=USER msg=audit(1700000000.123:%d): ", 1_000_000+first+i)
		out = append(out, line...)
		out = append(out, strings.Repeat("x", 63-len(line))...)
		out = append(out, '\n')
	}
	return out
}
