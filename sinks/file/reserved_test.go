package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// privately runs f in a mount namespace of its own, which ends with it.
func privately(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to mount")
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		defer func() { done <- err }()
		if err == nil {
			f()
		}
	}()
	if err := <-done; err != nil {
		lab.Missing(t, "no mount namespace: %v", err)
	}
}

// bind makes a name for a file or directory.
func (x tree) bind(what, name string) {
	x.t.Helper()
	if st, err := os.Stat(x.path(what)); err == nil && st.IsDir() {
		must(x.t, os.Mkdir(x.path(name), 0o755))
	} else {
		must(x.t, os.WriteFile(x.path(name), nil, 0o600))
	}
	must(x.t, unix.Mount(x.path(what), x.path(name), "", unix.MS_BIND, ""))
}

// TestReservedByOtherNames: auditd's log, its rotations, the relay's own log and state_dir are
// not written whatever they are called, and nothing is changed there.
func TestReservedByOtherNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(x tree)
		path string
		says string // "": written
	}{
		{"the log itself", nil, "audit/audit.log", "auditd"},
		{"a rotation", nil, "audit/audit.log.1", "auditd"},
		{"a rotation to come", nil, "audit/audit.log.7", "auditd"},
		{"a rotation that is packed", nil, "audit/audit.log.3.gz", "auditd"},
		{"its directory by a link", func(x tree) { x.link("audit", "a", 0) }, "a/audit.log", "auditd"},
		{"its directory by a link, a rotation to come", func(x tree) { x.link("audit", "a", 0) }, "a/audit.log.9", "auditd"},
		{"its directory by a mount", func(x tree) { x.bind("audit", "a") }, "a/audit.log", "auditd"},
		{"its directory by a mount, to come", func(x tree) { x.bind("audit", "a") }, "a/audit.log.2", "auditd"},
		{"the log by a mount", func(x tree) { x.bind("audit/audit.log", "f") }, "f", "auditd"},
		{"a rotation by a mount", func(x tree) { x.bind("audit/audit.log.1", "f") }, "f", "auditd"},
		{"a link to it", func(x tree) { x.link("audit/audit.log", "f", 0) }, "f", "symbolic link"},
		{"the relay's log by a mount", func(x tree) { x.bind("relay.log", "f") }, "f", "log.output"},
		{"in state_dir by a link", func(x tree) { x.link("state", "s", 0) }, "s/f", "state_dir"},
		{"in state_dir by a mount", func(x tree) { x.bind("state", "s") }, "s/f", "state_dir"},
		{"below state_dir", func(x tree) { x.bind("state", "s") }, "s/spool/f", "state_dir"},
		{"what we rename is the log's", nil, "audit/kept", "auditd"},
		{"what we rename is the log's, by a link", func(x tree) { x.link("audit", "a", 0) }, "a/kept", "auditd"},
		{"what we rename is none of the log's", nil, "audit/kept.log", ""},
		{"beside the log", nil, "audit/events.log", ""},
		{"a name that only begins alike", nil, "audit/audit.log.old", ""},
		{"where none of that is", nil, "f", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := tree{t, t.TempDir()}
			privately(t, func() {
				x.mkdir("audit", 0, 0, 0o750)
				x.mkdir("state", 0, 0, 0o750)
				x.mkdir("state/spool", 0, 0, 0o750)
				for _, name := range []string{"audit/audit.log", "audit/audit.log.1", "relay.log"} {
					x.file(name, 0, "what was there\n")
				}
				if tt.make != nil {
					tt.make(x)
				}
				before := snapshot(t, x.dir)
				path := x.path(tt.path)
				cfg := settings(path, func(c *Config) { c.MaxSize = 1 << 20 })
				cfg.Reserved = []config.Reserved{{Path: x.path("audit/kept.3"), Of: "auditd"}, {Path: x.path("none/audit.log"), Of: "nobody"}, {Path: x.path("audit/audit.log"), Of: "auditd"},
					{Path: x.path("relay.log"), Of: "log.output"}, {Path: x.path("state"), Dir: true, Of: "state_dir"}}
				if _, err := surveyed(cfg); (err != nil) != (tt.says != "") {
					t.Errorf("check says %v", err)
				}
				w := newWriter(cfg, format.Encoder{}, zap.NewNop(), osFS{})
				n, err := w.Write(context.Background(), one(sinktest.Lines(0, 1)))
				checkError(t, err, tt.says, path)
				if tt.says == "" && content(t, path) != string(sinktest.Lines(0, 1)) {
					t.Error("the record is not in the file")
				}
				if after := snapshot(t, x.dir); tt.says != "" && (n != 0 || after != before) {
					t.Errorf("%d records written, and the files are\n%s\nwere\n%s", n, after, before)
				}
				must(t, w.Close())
			})
		})
	}
}

// TestGroupCanReach: the directory that is made is for the file's group; where an existing one
// does not let it pass that is said, once, and nothing of it is changed.
func TestGroupCanReach(t *testing.T) {
	for _, tt := range []struct {
		name  string
		group string
		mode  uint32
		make  func(x tree) // in /var/log
		path  string
		warns string // the directory that is in the way
		dir   string // mode and group of the file's
	}{
		{"made", "4242", 0o640, nil, "audisp-relay/f", "", "750 4242"},
		{"made for root", "root", 0o640, nil, "audisp-relay/f", "", "750 0"},
		{"there for root", "4242", 0o640, func(x tree) { x.mkdir("audisp-relay", 0, 0, 0o750) }, "audisp-relay/f", "/var/log/audisp-relay", "750 0"},
		{"there for the group", "4242", 0o640, func(x tree) { x.mkdir("a", 0, 4242, 0o750) }, "a/f", "", "750 4242"},
		{"there for all", "4242", 0o640, func(x tree) { x.mkdir("a", 0, 0, 0o711) }, "a/f", "", "711 0"},
		{"the group may read, not pass", "4242", 0o640, func(x tree) { x.mkdir("a", 0, 4242, 0o740) }, "a/f", "/var/log/a", "740 4242"},
		{"one above", "4242", 0o640, func(x tree) { x.mkdir("a", 0, 0, 0o700); x.mkdir("a/b", 0, 0, 0o755) }, "a/b/f", "/var/log/a", "755 0"},
		{"a file for its owner", "4242", 0o600, func(x tree) { x.mkdir("a", 0, 0, 0o700) }, "a/f", "", "700 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			privately(t, func() {
				defer unix.Umask(unix.Umask(0o077)) // auditd's own, or stricter
				must(t, unix.Mount("tmpfs", "/var/log", "tmpfs", 0, "mode=0755"))
				if tt.make != nil {
					tt.make(tree{t, "/var/log"})
				}
				core, logs := observer.New(zapcore.WarnLevel)
				path := filepath.Join("/var/log", tt.path)
				sink := settings(path, func(f *Config) { f.Group, f.Mode = tt.group, tt.mode })
				if warns, err := surveyed(sink); err != nil || (len(warns) == 1) != (tt.warns != "") || !strings.Contains(strings.Join(warns, "\n"), tt.warns) {
					t.Errorf("check says %q, %v", warns, err)
				}
				w := newWriter(sink, format.Encoder{}, zap.New(core), osFS{})
				for i := range 3 {
					write(t, w, sinktest.Lines(i, 1))
					must(t, w.Reopen())
				}
				var st unix.Stat_t
				must(t, unix.Stat(filepath.Dir(path), &st))
				if got := fmt.Sprintf("%o %d", st.Mode&0o7777, st.Gid); got != tt.dir {
					t.Errorf("the directory is %q, want %q", got, tt.dir)
				}
				said := logs.FilterField(zap.String("directory", tt.warns)).Len()
				if all := logs.Len(); all != said || said > 1 || (said == 1) != (tt.warns != "") {
					t.Errorf("want a warning of %q, got %v", tt.warns, logs.All())
				}
				must(t, w.Close())
			})
		})
	}
}

// TestGroupThatComesLater: owner and group are given, without a signal, when they are there, to
// the directory that was made, too.
func TestGroupThatComesLater(t *testing.T) {
	privately(t, func() {
		must(t, unix.Mount("tmpfs", "/var/log", "tmpfs", 0, "mode=0755"))
		groups := filepath.Join(t.TempDir(), "group")
		had, err := os.ReadFile("/etc/group")
		must(t, err)
		must(t, os.WriteFile(groups, had, 0o644))
		must(t, unix.Mount(groups, "/etc/group", "", unix.MS_BIND, ""))
		core, logs := observer.New(zapcore.InfoLevel)
		path := filepath.Join(defaultDir, "f")
		w := newWriter(settings(path, func(f *Config) { f.Group = "readers-of-audit" }), format.Encoder{}, zap.New(core), osFS{})
		owner := func(path string) (gid uint32) {
			var st unix.Stat_t
			must(t, unix.Stat(path, &st))
			return st.Gid
		}
		tick := func() {
			w.ownedAt = w.ownedAt.Add(-ownEvery)
			must(t, w.Tick(context.Background()))
		}
		write(t, w, sinktest.Lines(0, 1))
		tick()
		if owner(path) != 0 || logs.Len() != 1 || !strings.Contains(logs.All()[0].Message, "group") {
			t.Errorf("group %d without one of that name, said %v", owner(path), logs.All())
		}
		f, err := os.OpenFile(groups, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString("readers-of-audit:x:4711:\n")
		must(t, err)
		must(t, f.Close())
		tick()
		tick()
		if owner(path) != 4711 || owner(defaultDir) != 4711 || logs.Len() != 2 {
			t.Errorf("file of group %d, directory of %d, want 4711; said %v", owner(path), owner(defaultDir), logs.All())
		}
		write(t, w, sinktest.Lines(1, 1))
		must(t, w.Close())
		if content(t, path) != string(sinktest.Lines(0, 2)) {
			t.Error("records are missing")
		}
	})
}
