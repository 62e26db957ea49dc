package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faultFS is the real file system but for the calls a test makes fail.
type faultFS struct {
	osFS
	lab.Calls
	short int // bytes that a write takes when errShort is its fault
}

var errShort = errors.New("short write")

func (fs *faultFS) OpenDir(path string, g guard) (folder, error) {
	d, err := fs.osFS.OpenDir(path, g)
	if err != nil {
		return nil, err
	}
	return &faultDir{d, fs, path}, nil
}

type faultDir struct {
	folder
	fs   *faultFS
	path string
}

func (d *faultDir) Open(name string, flags int, perm uint32) (handle, error) {
	path := filepath.Join(d.path, name)
	if err := d.fs.Check("open", path); err != nil {
		return nil, err
	}
	h, err := d.folder.Open(name, flags, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{h, d.fs, path}, nil
}

func (d *faultDir) Rename(from, to string, replace bool) error {
	if err := d.fs.Check("rename", filepath.Join(d.path, from)); err != nil {
		return err
	}
	return d.folder.Rename(from, to, replace)
}

func (d *faultDir) Remove(name string) error {
	if err := d.fs.Check("remove", filepath.Join(d.path, name)); err != nil {
		return err
	}
	return d.folder.Remove(name)
}

func (d *faultDir) Sync() error {
	if err := d.fs.Check("syncdir", d.path); err != nil {
		return err
	}
	return d.folder.Sync()
}

type faultFile struct {
	handle
	fs   *faultFS
	path string
}

func (f *faultFile) Write(p []byte) (int, error) {
	err := f.fs.Check("write", f.path)
	if err == errShort {
		return f.handle.Write(p[:min(f.fs.short, len(p))])
	}
	if err != nil {
		return 0, err
	}
	return f.handle.Write(p)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.Check("truncate", f.path); err != nil {
		return err
	}
	return f.handle.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.fs.Check("sync", f.path); err != nil {
		return err
	}
	return f.handle.Sync()
}

// settings is a sink's configuration for a file at path.
func settings(path string, change func(*Config)) config.Sink {
	f := &Config{
		Path: path, Mode: 0o640, Owner: strconv.Itoa(os.Getuid()), Group: strconv.Itoa(os.Getgid()),
		MaxFiles: 8, Sync: "none",
	}
	if change != nil {
		change(f)
	}
	return config.Sink{Name: "test", Type: "file", Format: "string", Settings: f}
}

// testWriter returns a writer to a new file, closed when the test ends.
func testWriter(t *testing.T, change func(*Config)) (*writer, *faultFS, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.log")
	fs := &faultFS{}
	w := newWriter(settings(path, change), format.Encoder{}, zap.NewNop(), fs)
	t.Cleanup(func() {
		fs.Set(nil)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, fs, path
}

// write writes lines as the Pump does, retrying what was not delivered, and
// fails the test when there is no progress.
func write(t *testing.T, w *writer, data []byte) {
	t.Helper()
	for _, b := range sinktest.Batches(data, 4096) {
		for len(b.Recs) > 0 {
			n, err := w.Write(context.Background(), b)
			if err != nil || n == 0 {
				t.Fatalf("wrote %d records: %v", n, err)
			}
			b.Recs = b.Recs[n:]
		}
	}
}

func one(data []byte) record.Batch { return sinktest.Batches(data, stream.BufferSize)[0] }

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// readAll returns what the file and its rotations hold, oldest first. A file
// that is both plain and compressed counts once, and so does one that is renamed
// while we read: the directory is read until it stays the same.
func readAll(path string) []byte {
	for range 1000 {
		before := numbers(path)
		var out []byte
		ok := true
		for _, i := range before {
			data, err := readRotated(path, i)
			ok = ok && err == nil
			out = append(out, data...)
		}
		if ok && slices.Equal(before, numbers(path)) {
			return out
		}
	}
	return nil
}

// numbers lists the rotations that exist, oldest first, 0 for the file itself.
func numbers(path string) []int {
	var out []int
	for _, p := range []string{path, path + ".*"} {
		found, _ := filepath.Glob(p)
		for _, name := range found {
			s := strings.TrimSuffix(strings.TrimPrefix(name, path), ".gz")
			n, err := strconv.Atoi(strings.TrimPrefix(s, "."))
			if s == "" {
				n = 0
			} else if err != nil {
				continue
			}
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

func readRotated(path string, i int) ([]byte, error) {
	name := path
	if i > 0 {
		name = rotatedName(path, i)
	}
	data, err := os.ReadFile(name)
	if i == 0 || err == nil {
		return data, err
	}
	return gunzip(name + gzSuffix)
}

func gunzip(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(gz)
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}
