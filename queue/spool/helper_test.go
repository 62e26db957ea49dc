package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"audisp-relay/audit/record"
	"audisp-relay/test/lab"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_WRITER"); dir != "" {
		writeForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

// batch makes n records from number first on: their text and header follow
// from the number alone.
func batch(first uint64, n int) *record.Batch {
	var b record.Batch
	for i := range uint64(n) {
		text := fmt.Sprintf("type=SYSCALL msg=audit(%d.%03d:%d): %s\n", (first+i)/1000, (first+i)%1000, first+i,
			strings.Repeat("x", int((first+i)*7%50)))
		b.Recs = append(b.Recs, record.Record{
			Off: uint32(len(b.Buf)), Len: uint32(len(text)), Type: record.TypeSyscall,
			Serial: uint32(first + i), Millis: int64(first + i), Flags: record.FromLog,
		})
		b.Buf = append(b.Buf, text...)
	}
	return &b
}

// check fails unless f holds the records it says, as batch has made them.
func check(t testing.TB, r interface {
	Read(Frame, []byte, []record.Record) (record.Batch, error)
}, f Frame) {
	t.Helper()
	got, err := r.Read(f, nil, nil)
	if err != nil {
		t.Fatalf("frame %d: %v", f.First, err)
	}
	want := batch(f.First, int(f.Records))
	if len(got.Recs) != len(want.Recs) {
		t.Fatalf("frame %d: %d records, want %d", f.First, len(got.Recs), len(want.Recs))
	}
	for i := range want.Recs {
		g, w := got.Recs[i], want.Recs[i]
		g.Off, w.Off = 0, 0
		if g != w || !bytes.Equal(got.Bytes(i), want.Bytes(i)) {
			t.Fatalf("record %d is %+v %q", f.First+uint64(i), g, got.Bytes(i))
		}
	}
	var sum Frame
	sum.count(want.Recs)
	if f.Whole != sum.Whole || f.Events != sum.Events || f.Bytes != sum.Bytes ||
		f.FirstSerial != sum.FirstSerial || f.LastSerial != sum.LastSerial {
		t.Fatalf("frame %+v, want the counts of %+v", f, sum)
	}
}

func open(t testing.TB, dir string, change func(*Options)) *Spool {
	t.Helper()
	o := Options{Dir: dir, MaxSize: 64 << 20}
	if change != nil {
		change(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.closed {
			s.Close()
		}
	})
	return s
}

// fill appends frames of n records each from number first on.
func fill(t testing.TB, s *Spool, first uint64, frames, n int) (all []Frame) {
	t.Helper()
	for range frames {
		f, err := s.Append(first, batch(first, n))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
		first += uint64(n)
	}
	return all
}

func closed(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// kill ends a spool as the end of its process does: nothing is written any more.
func kill(s *Spool) {
	if s.syncing != nil {
		<-s.syncing
	}
	for _, seg := range s.segs {
		if seg.h != nil {
			seg.h.Close()
		}
	}
	s.closeReader()
	s.dirH.Close()
	s.closed = true
}

func firsts(frames []Frame) (n []uint64) {
	for _, f := range frames {
		n = append(n, f.First)
	}
	return n
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// copyDir copies the files of a spool to a new directory.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, path := range segments(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// faultFS is the real file system but for the calls a test makes fail.
type faultFS struct {
	osFS
	lab.Calls
}

// check returns what a call fails with, as the real file system has it.
func (fs *faultFS) check(op, path string) error { return pathError(op, path, fs.Check(op, path)) }

func (fs *faultFS) Open(path string, flags int) (handle, error) {
	op := "open"
	if flags&os.O_CREATE != 0 {
		op = "create"
	}
	if err := fs.check(op, path); err != nil {
		return nil, err
	}
	h, err := fs.osFS.Open(path, flags)
	if err != nil {
		return nil, err
	}
	return &faultFile{h, fs, path}, nil
}

func (fs *faultFS) List(path string) ([]string, error) {
	if err := fs.check("list", path); err != nil {
		return nil, err
	}
	return fs.osFS.List(path)
}

func (fs *faultFS) Remove(path string) error {
	if err := fs.check("remove", path); err != nil {
		return err
	}
	return fs.osFS.Remove(path)
}

type faultFile struct {
	handle
	fs   *faultFS
	path string
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	op := "write"
	if len(p) == headerSize {
		op = "mark"
	}
	if err := f.fs.check(op, f.path); err != nil {
		// As a full disk does: some of it is written.
		f.handle.WriteAt(p[:rand.IntN(len(p))], off)
		return 0, err
	}
	return f.handle.WriteAt(p, off)
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.check("read", f.path); err != nil {
		return 0, err
	}
	return f.handle.ReadAt(p, off)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.check("truncate", f.path); err != nil {
		return err
	}
	return f.handle.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.fs.check("sync", f.path); err != nil {
		return err
	}
	return f.handle.Sync()
}
