package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

func errno(err error) (syscall.Errno, bool) {
	var e syscall.Errno
	return e, errors.As(err, &e)
}

// open opens a directory in a place of its own.
func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

var full = State{
	BootID:  "a-b",
	Saved:   time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC),
	Tracker: json.RawMessage(`{"nodes":{"<n>":[1,2]}}`),
	Input:   map[string]uint64{"records": 1<<64 - 1},
	Consumers: map[string]Consumer{
		"local": {Position: Position{Number: maxNumber, ID: record.ID{Millis: 1795296167053, Serial: 1<<32 - 1, Type: 1300, Sum: 7}, HasID: true},
			Totals: map[string]uint64{"received": 5, "lost.queue-full": 2}},
		"new": {},
	},
}

func TestLoadReturnsWhatWasSaved(t *testing.T) {
	d := open(t)
	for _, s := range []State{{}, full, {BootID: "last"}} {
		if err := d.Save(s); err != nil {
			t.Fatal(err)
		}
		want := s
		want.Version = Version
		if len(s.Tracker) > 0 {
			var b bytes.Buffer
			json.HTMLEscape(&b, s.Tracker) // as Marshal writes it; it means the same
			want.Tracker = b.Bytes()
		}
		got, err := d.Load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if info, err := os.Stat(d.statePath()); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v: want mode 0600", info.Mode(), err)
	}
}

// TestPositionsAreWrittenAsEver: the next relay, or an older one, reads them.
func TestPositionsAreWrittenAsEver(t *testing.T) {
	c := Consumer{Position: Position{Number: 9, ID: record.ID{Millis: 1, Serial: 2, Type: 3, Sum: 4}, HasID: true},
		Floor: &Position{Number: 8, First: true}, Totals: map[string]uint64{"received": 9}}
	const want = `{"number":9,"id":{"millis":1,"serial":2,"type":3,"sum":4},"has_id":true,` +
		`"floor":{"number":8,"id":{"millis":0,"serial":0,"type":0,"sum":0},"has_id":false,"first":true},"totals":{"received":9}}`
	if got, err := json.Marshal(c); err != nil || string(got) != want {
		t.Errorf("written as %s, %v", got, err)
	}
}

func TestLoadBeforeTheFirstSave(t *testing.T) {
	s, err := open(t).Load()
	if diff := cmp.Diff(State{}, s); diff != "" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %+v, %v; want nothing and fs.ErrNotExist", s, err)
	}
}

// No byte can change and no end be missing without being noticed, or else it
// means the same.
func TestADamagedFileIsNotLoaded(t *testing.T) {
	d := open(t)
	if err := d.Save(full); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(d.statePath())
	if err != nil {
		t.Fatal(err)
	}
	want, err := decode(good)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	check := func(what string, at int, data []byte) {
		t.Helper()
		s, err := decode(data)
		switch {
		case err != nil:
			if diff := cmp.Diff(State{}, s); diff != "" || !errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s at %d: %v, with %+v", what, at, err, s)
			}
		case cmp.Equal(want, s):
			same++
		default:
			t.Errorf("%s at %d was not noticed", what, at)
		}
	}
	for i := range good {
		for _, mask := range []byte{0x01, 0x08, 0x20, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= mask
			check("a flip", i, bad)
		}
		check("a cut", i, good[:i])
		check("zeros", i, append(bytes.Clone(good[:i]), make([]byte, len(good)-i)...))
	}
	if same > 30 { // the case of the envelope's keys, the final newline
		t.Errorf("%d of the changes were taken for the same", same)
	}
}

func TestHostileFilesAreNotLoaded(t *testing.T) {
	big := `{"crc32c":0,"state":"` + strings.Repeat("x", maxFile) + `"}`
	for name, put := range map[string]func(path string) error{
		"Empty":     func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"Null":      func(p string) error { return os.WriteFile(p, []byte("null"), 0o600) },
		"Nothing":   func(p string) error { return os.WriteFile(p, []byte("{}"), 0o600) },
		"NoState":   func(p string) error { return os.WriteFile(p, []byte(`{"crc32c":0}`), 0o600) },
		"Nested":    func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("["), 1<<20), 0o600) },
		"Large":     func(p string) error { return os.WriteFile(p, []byte(big), 0o600) },
		"Fifo":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"Directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"Link":      func(p string) error { return os.Symlink("/etc/passwd", p) },
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			if err := put(d.statePath()); err != nil {
				t.Fatal(err)
			}
			s, err := d.Load()
			if diff := cmp.Diff(State{}, s); diff != "" || err == nil {
				t.Errorf("got %+v, %v", s, err)
			}
			if (name != "Link" && !errors.Is(err, ErrDamaged)) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want ErrDamaged", err)
			}
			if name == "Directory" {
				return // cannot be replaced by a file; Save says so
			}
			if err := d.Save(full); err != nil {
				t.Errorf("a new one cannot be saved: %v", err)
			}
			if _, err := d.Load(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What an earlier or a later relay wrote is not guessed at.
func TestAnotherVersionIsNotLoaded(t *testing.T) {
	for _, text := range []string{
		`{"crc32c":3402289634,"state":{"version":2}}`,
		`{"crc32c":4056784643,"state":{"version":0}}`,
	} {
		s, err := decode([]byte(resum(t, text)))
		if err == nil || !strings.Contains(err.Error(), "this relay reads 1") || errors.Is(err, ErrDamaged) || s.Version != 0 {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
}

// resum makes the checksum of a file right.
func resum(t *testing.T, text string) string {
	t.Helper()
	var e envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	*e.Sum = sumOf(e.State)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestATooLargeStateIsNotSaved(t *testing.T) {
	d := open(t)
	if err := d.Save(full); err != nil {
		t.Fatal(err)
	}
	big := State{Tracker: json.RawMessage(`"` + strings.Repeat("x", maxFile) + `"`)}
	if err := d.Save(big); err == nil || !strings.Contains(err.Error(), "more than would be read") {
		t.Errorf("got %v", err)
	}
	if s, err := d.Load(); err != nil || s.BootID != full.BootID {
		t.Errorf("the state before is gone: %v", err)
	}
}

// TestNumbersThatCannotBe: a queue counts on from there, and would come to the end of the numbers.
func TestNumbersThatCannotBe(t *testing.T) {
	const last = 1 << 62
	for name, c := range map[string]Consumer{
		"number": {Position: Position{Number: last + 1}}, "floor": {Position: Position{Number: 1}, Floor: &Position{Number: 1<<64 - 1}},
	} {
		d := open(t)
		if err := d.Save(State{Consumers: map[string]Consumer{"a": c}}); err != nil {
			t.Fatal(err)
		}
		if s, err := d.Load(); !errors.Is(err, ErrDamaged) || len(s.Consumers) > 0 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	d := open(t)
	if err := d.Save(State{Consumers: map[string]Consumer{"a": {Position: Position{Number: last}}}}); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Load(); err != nil || s.Consumers["a"].Number != last {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"crc32c":0,"state":{"version":1,"consumers":{"a":{"number":1}}}}`))
	f.Add([]byte(`{"crc32c":0,"state":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := decode(data); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
		// With the right sum, so that what comes after it is reached.
		var e envelope
		if json.Unmarshal(data, &e) != nil || e.Sum == nil {
			return
		}
		*e.Sum = sumOf(e.State)
		data, err := json.Marshal(e)
		if err != nil {
			return
		}
		if _, err := decode(data); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
	})
}

// TestReplaceFileHasItsMode: node_exporter reads metrics of a relay whose umask lets only root read.
func TestReplaceFileHasItsMode(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	path := t.TempDir() + "/file"
	if err := ReplaceFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestReplaceFileFollowsNothing: what is written does not go through what stands at the temporary
// name.
func TestReplaceFileFollowsNothing(t *testing.T) {
	for name, make := range map[string]func(path, victim string) error{
		"hard link":     func(path, victim string) error { return os.Link(victim, path) },
		"symbolic link": func(path, victim string) error { return os.Symlink(victim, path) },
		"FIFO":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"old report":    func(path, _ string) error { return os.WriteFile(path, []byte("old"), 0o600) },
	} {
		dir := t.TempDir()
		path, victim := filepath.Join(dir, "state"), filepath.Join(dir, "victim")
		if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := make(path+".new", victim); err != nil {
			t.Fatal(err)
		}
		if err := ReplaceFile(path, []byte("new"), 0o640); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		data, _ := os.ReadFile(path)
		other, _ := os.ReadFile(victim)
		if string(data) != "new" || string(other) != "secret" {
			t.Errorf("%s: the file is %q, the other file %q", name, data, other)
		}
	}
}
