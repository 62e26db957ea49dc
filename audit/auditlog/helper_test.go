package auditlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// tb is what both *testing.T and *rapid.T have.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// fakeAuditd writes a log and rotates it as auditd does (auditd-event.c,
// rotate_logs): fchmod, close, rename upward, reopen.
type fakeAuditd struct {
	t       tb
	path    string
	numLogs int // 0: KEEP_LOGS
	f       *os.File
}

func startFake(t tb, dir string, numLogs int) *fakeAuditd {
	a := &fakeAuditd{t: t, path: filepath.Join(dir, "audit.log"), numLogs: numLogs}
	a.open()
	return a
}

func (a *fakeAuditd) open() {
	a.t.Helper()
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	a.must(err)
	a.f = f
}

func (a *fakeAuditd) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatalf("%v", err)
	}
}

func (a *fakeAuditd) write(text string) {
	a.t.Helper()
	_, err := a.f.WriteString(text)
	a.must(err)
}

func (a *fakeAuditd) rotated(n int) string { return fmt.Sprintf("%s.%d", a.path, n) }

// rotate calls between, when not nil, before each of its steps.
func (a *fakeAuditd) rotate(between func()) {
	a.t.Helper()
	step := func() {
		if between != nil {
			between()
		}
	}
	last := a.numLogs
	if last == 0 {
		for last = 1; ; last++ {
			if _, err := os.Stat(a.rotated(last)); err != nil {
				last++
				break
			}
		}
	}
	step()
	a.must(a.f.Chmod(0o400))
	a.must(a.f.Close())
	for n := last - 1; n > 1; n-- {
		step()
		if err := os.Rename(a.rotated(n-1), a.rotated(n)); err != nil && !os.IsNotExist(err) {
			a.must(err)
		}
	}
	step()
	a.must(os.Rename(a.path, a.rotated(1)))
	step()
	a.open()
	step()
}

// logLine is line n of a test, of at least size bytes.
func logLine(n, size int) string {
	s := fmt.Sprintf("type=SYSCALL msg=audit(%d.%03d:%d): arch=c000003e syscall=2 ", 1700000000+n/1000, n%1000, n)
	if len(s)+1 < size {
		s += strings.Repeat("x", size-len(s)-1)
	}
	return s + "\n"
}

// poll takes what there is, until io.EOF. It fails on other errors and checks
// that each batch is as Next promises.
func poll(t tb, l *Reader) string {
	t.Helper()
	got, err := pollErr(t, l)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return got
}

// pollErr ends at the first error, which is nil for io.EOF.
func pollErr(t tb, l *Reader) (string, error) {
	t.Helper()
	var got strings.Builder
	for {
		text, _, err := nextText(t, l)
		got.WriteString(text)
		if errors.Is(err, io.EOF) {
			return got.String(), nil
		}
		if err != nil {
			return got.String(), err
		}
	}
}

func nextText(t tb, l *Reader) (string, Position, error) {
	t.Helper()
	var b record.Batch
	p, err := l.Next(&b)
	if (err == nil) != (len(b.Recs) > 0) {
		t.Fatalf("Next gave %d records and error %v", len(b.Recs), err)
	}
	var got strings.Builder
	for i := range b.Recs {
		if r := b.Recs[i]; r.Kind != record.Line || r.Flags&record.FromLog == 0 {
			t.Fatalf("record %+v is no line from the log", r)
		}
		got.Write(b.Bytes(i))
	}
	return got.String(), p, err
}

func same(t tb, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	cut := func(s string) string { return s[max(0, min(i-60, len(s))):min(i+120, len(s))] }
	t.Fatalf("%s: got %d bytes, want %d; they differ at %d:\ngot  %q\nwant %q", what, len(got), len(want), i, cut(got), cut(want))
}

// scratch is a directory for one run of a property.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
