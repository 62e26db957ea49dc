package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

const (
	person  = 54321 // a uid and gid of no account here
	program = 321
)

// tree makes files for a test.
type tree struct {
	t   *testing.T
	dir string
}

func (x tree) path(name string) string { return filepath.Join(x.dir, name) }

func (x tree) mkdir(name string, uid, gid int, mode uint32) {
	x.t.Helper()
	must(x.t, os.Mkdir(x.path(name), 0o700))
	must(x.t, os.Lchown(x.path(name), uid, gid))
	must(x.t, unix.Chmod(x.path(name), mode)) // with the sticky bit
}

func (x tree) file(name string, uid int, text string) {
	x.t.Helper()
	must(x.t, os.WriteFile(x.path(name), []byte(text), 0o600))
	must(x.t, os.Lchown(x.path(name), uid, uid))
}

func (x tree) link(to, name string, uid int) {
	x.t.Helper()
	must(x.t, os.Symlink(to, x.path(name)))
	must(x.t, os.Lchown(x.path(name), uid, uid))
}

// TestWhoCanChangeThePath: no file is written that another than root could put in the
// place of the configured one, and what distributions and administrators set up works.
func TestWhoCanChangeThePath(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to give directories away")
	}
	for _, tt := range []struct {
		name  string
		make  func(x tree)
		path  string
		owner string
		says  string // in the error; "": it is written
		warns string // in a warning, "" for none
	}{
		{name: "root's", make: func(x tree) { x.mkdir("a", 0, 0, 0o750) }, path: "a/f"},
		{name: "root's, of another group that reads", make: func(x tree) { x.mkdir("a", 0, program, 0o750) }, path: "a/f"},
		{name: "group root may write", make: func(x tree) { x.mkdir("a", 0, 0, 0o770) }, path: "a/f"},
		{name: "a group may write, as in Debian's log", make: func(x tree) { x.mkdir("a", 0, program, 0o775) }, path: "a/f", warns: "group 321 can write"},
		{name: "the same above", make: func(x tree) { x.mkdir("a", 0, program, 0o775); x.mkdir("a/b", 0, 0, 0o700) }, path: "a/b/f", warns: "group 321 can write"},
		{name: "a program's account owns it", make: func(x tree) { x.mkdir("a", program, 4, 0o755) }, path: "a/f", warns: "belongs to uid 321"},
		{name: "a program's account owns the file, too", make: func(x tree) { x.mkdir("a", program, 4, 0o755); x.file("a/f", program, "") }, path: "a/f", warns: "belongs to uid 321"},
		{name: "a person owns it", make: func(x tree) { x.mkdir("a", person, person, 0o755) }, path: "a/f", says: "belongs to uid 54321"},
		{name: "nobody owns it", make: func(x tree) { x.mkdir("a", 65534, 65534, 0o755) }, path: "a/f", says: "belongs to uid 65534"},
		{name: "a person owns the one above", make: func(x tree) { x.mkdir("a", person, person, 0o755); x.mkdir("a/b", 0, 0, 0o755) }, path: "a/b/f", says: "belongs to uid 54321"},
		{name: "the configured owner owns it", make: func(x tree) { x.mkdir("a", person, person, 0o755) }, path: "a/f", owner: "54321"},
		{name: "everybody may write", make: func(x tree) { x.mkdir("a", 0, 0, 0o777) }, path: "a/f", says: "everybody can write"},
		{name: "everybody may write above", make: func(x tree) { x.mkdir("a", 0, 0, 0o777); x.mkdir("a/b", 0, 0, 0o755) }, path: "a/b/f", says: "everybody can write"},
		{name: "sticky", make: func(x tree) { x.mkdir("a", 0, 0, 0o1777) }, path: "a/f"},
		{name: "sticky, own file", make: func(x tree) { x.mkdir("a", 0, 0, 0o1777); x.file("a/f", 0, "") }, path: "a/f"},
		{name: "sticky, a person's file", make: func(x tree) { x.mkdir("a", 0, 0, 0o1777); x.file("a/f", person, "") }, path: "a/f", says: "it belongs to uid 54321"},
		{name: "sticky, a program's file", make: func(x tree) { x.mkdir("a", 0, 0, 0o1777); x.file("a/f", program, "") }, path: "a/f", says: "it belongs to uid 321"},
		{name: "sticky, a person's directory in it", make: func(x tree) { x.mkdir("a", 0, 0, 0o1777); x.mkdir("a/b", person, person, 0o755) }, path: "a/b/f", says: "belongs to uid 54321"},
		{name: "a person's file that root has put there", make: func(x tree) { x.mkdir("a", 0, 0, 0o755); x.file("a/f", person, "") }, path: "a/f"},
		{name: "a person's file where a group may write", make: func(x tree) { x.mkdir("a", 0, program, 0o775); x.file("a/f", person, "") }, path: "a/f", says: "it belongs to uid 54321", warns: "group 321"},
		{name: "hard link", make: func(x tree) { x.file("victim", 0, "secret\n"); must(x.t, os.Link(x.path("victim"), x.path("f"))) }, path: "f", says: "2 names"},
		{name: "hard link to a person's", make: func(x tree) { x.file("victim", person, "secret\n"); must(x.t, os.Link(x.path("victim"), x.path("f"))) }, path: "f", says: "2 names"},
		{name: "device", make: func(x tree) { must(x.t, unix.Mknod(x.path("f"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))) }, path: "f", says: "not a regular file"},
		{name: "link", make: func(x tree) { x.file("victim", 0, "secret\n"); x.link("victim", "f", 0) }, path: "f", says: "symbolic link"},
		{name: "a directory's link by root", make: func(x tree) { x.mkdir("real", 0, 0, 0o755); x.link("real", "a", 0) }, path: "a/f"},
		{name: "absolute, by several links", make: func(x tree) {
			x.mkdir("real", 0, 0, 0o755)
			x.link(x.path("real"), "one", 0)
			x.mkdir("d", 0, 0, 0o755)
			x.link("../one", "d/two", 0)
		}, path: "d/two/f"},
		{name: "links in a circle", make: func(x tree) { x.link("b", "a", 0); x.link("a", "b", 0) }, path: "a/f", says: "symbolic link"},
		{name: "a directory's link by a person", make: func(x tree) { x.mkdir("etc", 0, 0, 0o755); x.link("etc", "a", person) }, path: "a/f", says: "symbolic link that another user than root can change"},
		{name: "a link where a group may write", make: func(x tree) {
			x.mkdir("etc", 0, 0, 0o755)
			x.mkdir("a", 0, program, 0o775)
			x.link("../etc", "a/b", 0)
		}, path: "a/b/f", says: "symbolic link that another user than root can change"},
		{name: "a link where the configured owner may write", make: func(x tree) {
			x.mkdir("etc", 0, 0, 0o755)
			x.mkdir("a", person, person, 0o755)
			x.link("../etc", "a/b", person)
		}, path: "a/b/f", owner: "54321", says: "symbolic link that another user than root can change"},
		{name: "a link to a person's", make: func(x tree) { x.mkdir("home", person, person, 0o755); x.link("home", "a", 0) }, path: "a/f", says: "belongs to uid 54321"},
		{name: "a file on the way", make: func(x tree) { x.file("a", 0, "") }, path: "a/f", says: "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := tree{t, t.TempDir()}
			tt.make(x)
			before := snapshot(t, x.dir)
			core, logs := observer.New(zapcore.WarnLevel)
			path := x.path(tt.path)
			sink := settings(path, func(f *Config) {
				f.Owner = "root"
				if tt.owner != "" {
					f.Owner = tt.owner
				}
			})
			if _, err := surveyed(sink); (err != nil) != (tt.says != "") || snapshot(t, x.dir) != before {
				t.Errorf("check says %v", err)
			}
			w := newWriter(sink, format.Encoder{}, zap.New(core), osFS{})
			n, err := w.Write(context.Background(), one(sinktest.Lines(0, 1)))
			checkError(t, err, tt.says, path)
			if tt.says != "" && (n != 0 || snapshot(t, x.dir) != before) {
				t.Errorf("%d records written, and the files are\n%s\nwere\n%s", n, snapshot(t, x.dir), before)
			}
			if tt.says == "" && content(t, path) != string(sinktest.Lines(0, 1)) {
				t.Error("the record is not in the file")
			}
			said := ""
			for _, l := range logs.All() {
				said += l.Message + " " + l.ContextMap()["why"].(string)
			}
			if (said != "") != (tt.warns != "") || !strings.Contains(said, tt.warns) {
				t.Errorf("warned of %q, want %q", said, tt.warns)
			}
			must(t, w.Close())
		})
	}
}

// surveyed is what check says of a sink.
func surveyed(sink config.Sink) (warns []string, err error) {
	c := config.Default()
	c.Sinks = []config.Sink{sink}
	said, all := config.Survey(c)
	errs, _ := errors.AsType[config.Errors](all)
	for _, e := range errs {
		if strings.HasPrefix(e.Key, "sinks.") { // the rest is about this machine
			err = e
		}
	}
	return slices.DeleteFunc(said, func(text string) bool { return !strings.Contains(text, "sinks.") }), err
}

// snapshot is what lies below dir: names, owners, modes, sizes.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		fmt.Fprintf(&b, "%s %o %d:%d %d\n", path, st.Mode, st.Uid, st.Gid, st.Size)
		return err
	}))
	return b.String()
}

// TestSwappedDirectory: records continue where the directory is that was looked at, and
// nothing is made in the one that was put in its place.
func TestSwappedDirectory(t *testing.T) {
	for _, tt := range []struct {
		name string
		swap func(x tree) // "app" was renamed to "app.old"
		says string       // "": records continue in the new one
	}{
		{"link", func(x tree) { x.link("etc", "app", 0) }, "leads to"},
		{"link to where it went", func(x tree) { x.link("app.old", "app", 0) }, ""},
		{"a new directory, as at a rotation by hand", func(x tree) { x.mkdir("app", 0, 0, 0o755) }, ""},
		{"a person's directory", func(x tree) { x.mkdir("app", person, person, 0o755) }, "belongs to uid"},
		{"a person's link", func(x tree) { x.link("etc", "app", person) }, "symbolic link"},
		{"nothing", func(x tree) {}, "its directory is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if os.Getuid() != 0 {
				lab.Missing(t, "needs root to give directories away")
			}
			x := tree{t, t.TempDir()}
			x.mkdir("app", 0, 0, 0o755)
			x.mkdir("etc", 0, 0, 0o755)
			path := x.path("app/events.log")
			w := newWriter(settings(path, rotating(3)), format.Encoder{}, zap.NewNop(), osFS{})
			write(t, w, sinktest.Lines(0, 5))
			must(t, os.Rename(x.path("app"), x.path("app.old")))
			tt.swap(x)

			w.checked = w.checked.Add(-2 * checkEvery)
			n, err := w.Write(context.Background(), one(sinktest.Lines(5, 5)))
			checkError(t, err, tt.says, path)
			if tt.says == "" {
				if n != 5 || !strings.HasSuffix(content(t, path), string(sinktest.Lines(5, 5))) {
					t.Errorf("%d records written", n)
				}
			} else if left, _ := os.ReadDir(x.path("etc")); n != 0 || len(left) != 0 {
				t.Errorf("%d records written, made %v", n, left)
			}
			if got := content(t, x.path("app.old/events.log")); !strings.HasPrefix(got, string(sinktest.Lines(0, 5))) {
				t.Errorf("the old file holds %q", got)
			}
			must(t, w.Close())
		})
	}
}

// TestSwappedAndMeant: a link in the place of the directory is taken after SIGHUP, and
// not before, also where the directory was refused.
func TestSwappedAndMeant(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to give directories away")
	}
	for _, uid := range []int{0, person} {
		x := tree{t, t.TempDir()}
		x.mkdir("app", uid, uid, 0o755)
		x.mkdir("data", 0, 0, 0o755)
		path := x.path("app/events.log")
		w := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), osFS{})
		b := one(sinktest.Lines(0, 1))
		if _, err := w.Write(context.Background(), b); (err != nil) != (uid != 0) {
			t.Errorf("directory of uid %d: %v", uid, err)
		}
		must(t, os.Rename(x.path("app"), x.path("app.old")))
		x.link("data", "app", 0)
		for range 3 {
			w.checked = w.checked.Add(-2 * checkEvery)
			n, err := w.Write(context.Background(), b)
			checkError(t, err, "SIGHUP", path)
			if _, err := os.Lstat(x.path("data/events.log")); n != 0 || err == nil {
				t.Errorf("%d records written by a link that was not confirmed", n)
			}
		}
		must(t, w.Reopen())
		write(t, w, sinktest.Lines(0, 1))
		if got := content(t, x.path("data/events.log")); got != string(sinktest.Lines(0, 1)) {
			t.Errorf("after SIGHUP the file holds %q", got)
		}
		must(t, w.Close())
	}
}

// TestRotationStaysInItsDirectory: a rotation that is under way when the directory is
// swapped touches nothing in the one that is in its place.
func TestRotationStaysInItsDirectory(t *testing.T) {
	x := tree{t, t.TempDir()}
	must(t, os.Mkdir(x.path("app"), 0o755))
	must(t, os.Mkdir(x.path("etc"), 0o755))
	for _, name := range []string{"events.log", "events.log.1", "events.log.2"} {
		must(t, os.WriteFile(x.path("etc/"+name), []byte(name), 0o600))
	}
	fs := &faultFS{}
	path := x.path("app/events.log")
	w := newWriter(settings(path, rotating(3)), format.Encoder{}, zap.NewNop(), fs)
	write(t, w, evenLines(0, 3*testSize/64))
	swapped := false
	fs.Set(func(op, _ string) error {
		if op == "rename" && !swapped {
			swapped = true
			return cmp.Or(os.Rename(x.path("app"), x.path("app.old")), os.Symlink("etc", x.path("app")))
		}
		return nil
	})
	_, _ = w.Write(context.Background(), one(evenLines(3*testSize/64, 5)))
	must(t, w.Close())
	if !swapped {
		t.Fatal("no rotation")
	}
	for _, name := range []string{"events.log", "events.log.1", "events.log.2"} {
		if got := content(t, x.path("etc/"+name)); got != name {
			t.Errorf("etc/%s holds %d bytes that are not its own", name, len(got))
		}
	}
	if got := numbers(x.path("app.old/events.log")); len(got) < 2 {
		t.Errorf("rotated files where they belong: %v", got)
	}
}

// linkingFS makes the file's name another file while it is opened, and takes that back
// before anybody looks.
type linkingFS struct {
	osFS
	victim string
}

type linkingDir struct {
	folder
	fs *linkingFS
	at string
}

func (fs *linkingFS) OpenDir(path string, g guard) (folder, error) {
	d, err := fs.osFS.OpenDir(path, g)
	if err != nil {
		return nil, err
	}
	return &linkingDir{d, fs, path}, nil
}

func (d *linkingDir) Open(name string, flags int, perm uint32) (handle, error) {
	path := filepath.Join(d.at, name)
	if flags&unix.O_CREAT != 0 {
		return d.folder.Open(name, flags, perm)
	}
	if err := cmp.Or(os.Rename(path, path+".own"), os.Link(d.fs.victim, path)); err != nil {
		return nil, err
	}
	h, err := d.folder.Open(name, flags, perm)
	if err := cmp.Or(os.Remove(path), os.Rename(path+".own", path)); err != nil {
		return nil, err
	}
	return h, err
}

// TestLinkForAMoment: what was opened by a hard link that is gone again is not written to.
func TestLinkForAMoment(t *testing.T) {
	x := tree{t, t.TempDir()}
	path := x.path("events.log")
	must(t, os.WriteFile(x.path("victim"), []byte("secret\n"), 0o604))
	must(t, os.WriteFile(path, nil, 0o600))
	before := snapshot(t, x.dir)
	w := newWriter(settings(path, nil), format.Encoder{}, zap.NewNop(), &linkingFS{victim: x.path("victim")})
	n, err := w.Write(context.Background(), one(sinktest.Lines(0, 1)))
	checkError(t, err, "replaced again and again", path)
	if after := snapshot(t, x.dir); n != 0 || after != before {
		t.Errorf("%d records written, and the files are\n%s\nwere\n%s", n, after, before)
	}
	must(t, w.Close())
}
