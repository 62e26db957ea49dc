package file

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// TestOnlyRegularFilesAreWritten: nothing but a regular file is written to, and what stands there
// is left as it is.
func TestOnlyRegularFilesAreWritten(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		says string
	}{
		{"fifo", func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o600)) }, "not a regular file"},
		{"directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, "not a regular file"},
		{"socket", func(t *testing.T, path string) { must(t, unix.Mknod(path, unix.S_IFSOCK|0o600, 0)) }, "not a regular file"},
		{"link", func(t *testing.T, path string) { must(t, os.Symlink("/etc/passwd", path)) }, "symbolic link"},
		{"dangling link", func(t *testing.T, path string) { must(t, os.Symlink(path+".new", path)) }, "symbolic link"},
		{"directory missing", func(t *testing.T, path string) { must(t, os.Remove(filepath.Dir(path))) }, "mkdir -p -m 0750"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _, path := testWriter(t, nil)
			tt.make(t, path)
			before, _ := os.Lstat(path)
			n, err := w.Write(context.Background(), one(sinktest.Lines(0, 1)))
			if n != 0 {
				t.Errorf("%d records delivered", n)
			}
			checkError(t, err, tt.says, path)
			after, _ := os.Lstat(path)
			if (before == nil) != (after == nil) || (before != nil && !os.SameFile(before, after)) {
				t.Error("the path was changed")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFileGetsOwnerAndMode: given to a new file and to one that differs.
func TestFileGetsOwnerAndMode(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to give a file away")
	}
	defer unix.Umask(unix.Umask(0o077))
	for _, name := range []string{"new", "existing"} {
		t.Run(name, func(t *testing.T) {
			w, _, path := testWriter(t, func(f *Config) { f.Mode, f.Owner, f.Group = 0o664, "daemon", "12345" })
			if name == "existing" {
				must(t, os.WriteFile(path, nil, 0o600))
			}
			write(t, w, sinktest.Lines(0, 1))
			var st unix.Stat_t
			must(t, unix.Stat(path, &st))
			if st.Mode&0o7777 != 0o664 || st.Uid != 1 || st.Gid != 12345 {
				t.Errorf("mode %o owner %d:%d, want 664 1:12345", st.Mode&0o7777, st.Uid, st.Gid)
			}
		})
	}
}

// TestFileOfAnotherProgramKeepsItsMode: what path names by a mistake is not taken away from its program.
func TestFileOfAnotherProgramKeepsItsMode(t *testing.T) {
	frame := stream.AppendFrame(nil, 1, 1300, []byte("type=SYSCALL msg=audit(1.000:1): "))
	for text, others := range map[string]bool{
		"Nov 29 11:00:00 host sshd[1]: type=x\n": true,
		"root:x:0:0::/:/bin/sh\n":                true,
		"":                                       false,
		"{\"id\":1}\n":                           false,
		"no record\ntype=SYSCALL msg=audit(1.000:1): a\n": false,
		"node=a type=EOE msg=audit(1.000:1): \n":          false,
		string(frame):                                     false,
	} {
		w, _, path := testWriter(t, nil)
		must(t, os.WriteFile(path, []byte(text), 0o604))
		must(t, os.Chmod(path, 0o604))
		write(t, w, sinktest.Lines(0, 1))
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		var s sinks.Status
		w.Extra(&s)
		if left := st.Mode&0o7777 == 0o604; left != others || (s.Flaw != "") != others {
			t.Errorf("%q: mode %04o, flaw %q", text, st.Mode&0o7777, s.Flaw)
		}
		if got := content(t, path); !strings.HasPrefix(got, text) || !strings.HasSuffix(got, string(sinktest.Lines(0, 1))) {
			t.Errorf("%q: the file holds %q", text, got)
		}
	}
}

// TestUnknownOwnerDoesNotStopRecords: records matter more than who owns them.
func TestUnknownOwnerDoesNotStopRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	core, logs := observer.New(zapcore.WarnLevel)
	cfg := settings(path, func(f *Config) { f.Owner, f.Group = "nobody-of-that-name", "nor-such-a-group" })
	w := newWriter(cfg, format.Encoder{}, zap.New(core), osFS{})
	defer w.Close()
	for i := range 3 {
		write(t, w, sinktest.Lines(i, 1))
		must(t, w.Reopen())
	}
	if content(t, path) != string(sinktest.Lines(0, 3)) {
		t.Error("records were not written")
	}
	if logs.Len() != 2 {
		t.Errorf("%d warnings, want one for the owner and one for the group: %v", logs.Len(), logs.All())
	}
}

// madeDir takes note of what is made instead of making it.
type madeDir struct {
	osFS
	dirs []string
}

func (fs *madeDir) OpenDir(path string, g guard) (folder, error) {
	if path != filepath.Dir(defaultDir) {
		return nil, unix.ENOENT
	}
	return &madeIn{fs: fs, path: path}, nil
}

type madeIn struct {
	osDir
	fs   *madeDir
	path string
}

func (d *madeIn) Mkdir(name string, perm uint32) error {
	d.fs.dirs = append(d.fs.dirs, filepath.Join(d.path, name))
	return nil
}

func (d *madeIn) Close() error { return nil }

// TestDefaultDirectory: only the sink's own directory is made by itself.
func TestDefaultDirectory(t *testing.T) {
	fs := &madeDir{}
	for _, path := range []string{"/var/log/other/x.log", "/var/log/audisp-relay/sub/x.log", "/var/log/audisp-relay/x.log"} {
		w := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), fs)
		if _, err := w.Write(context.Background(), one(sinktest.Lines(0, 1))); err == nil {
			t.Error("no error")
		}
	}
	if got := strings.Join(fs.dirs, " "); got != defaultDir {
		t.Errorf("made %q, want %q once", got, defaultDir)
	}
}

// TestNewTouchesNothing: a sink that is made and not run leaves no trace.
func TestNewTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	s := New(settings(filepath.Join(dir, "events.log"), nil), format.Encoder{}, zap.NewNop())
	if s.Status().Degraded {
		t.Error("degraded before it ran")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("made %v", entries)
	}
}
