package file

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
)

// wardenFor returns a warden of a sink that writes dir/out, and the directory as that has opened it.
func wardenFor(t testing.TB, dir string) (*warden, uint64) {
	t.Helper()
	w := newWarden().(*warden)
	w.Configure(config.Sink{Name: "f", Type: "file", Settings: &Config{Path: dir + "/out", Mode: 0o640, MaxFiles: 4}})
	t.Cleanup(w.Close)
	a, err := ask(w, opDir, asked{Name: dir})
	if err != nil {
		t.Fatal(err)
	}
	return w, a.Result.(openedDir).Dir
}

func ask(w *warden, op string, args asked) (broker.Answer, error) {
	text, _ := json.Marshal(args)
	return w.Serve(broker.NewCall("file/f", op, string(text)))
}

// TestWardenGivesTheSinksFilesOnly: its own file, rotations and temporary file; nothing beside them, by no name, way or link.
func TestWardenGivesTheSinksFilesOnly(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	for _, name := range []string{secret, dir + "/out.2", dir + "/two"} {
		if err := os.WriteFile(name, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, d := wardenFor(t, dir)
	a, err := ask(w, opOpen, asked{Dir: d, Name: "out", How: howMake})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(a.FDs[0])
	if a, err = ask(w, opOpen, asked{Dir: d, Name: "out.2", How: howRead}); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Write(a.FDs[0], []byte("x")); err == nil {
		t.Errorf("a rotated file can be written to: %d", n)
	}
	unix.Close(a.FDs[0])

	if err := os.Symlink(secret, dir+"/out.3"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(secret, dir+"/out.1"); err != nil {
		t.Fatal(err)
	}
	for _, x := range refusedByWarden {
		x.args.Dir = d
		a, err := ask(w, x.op, x.args)
		if err == nil {
			t.Errorf("%s %+v is done: %+v", x.op, x.args, a)
		}
		if len(a.FDs) > 0 && err != nil {
			t.Errorf("%s %+v: a descriptor in spite of %v", x.op, x.args, err)
		}
	}
	for _, path := range []string{"/etc", filepath.Dir(dir), dir + "/", dir + "/..", ""} {
		if a, err := ask(w, opDir, asked{Name: path}); err == nil {
			t.Errorf("directory %q is opened: %+v", path, a)
		}
	}
	if a, err := ask(w, opNames, asked{Dir: d}); err != nil || fmt.Sprint(a.Result) == "" || strings.Contains(fmt.Sprint(a.Result), "secret") {
		t.Errorf("names: %v, %v", a.Result, err)
	}
	if text, err := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("it has %q now, %v", text, err)
	}
	if _, err := ask(w, opLstat, asked{Dir: d + 1, Name: "out"}); err == nil {
		t.Error("a directory that was not opened is used")
	}
}

// TestWardenNamesRotations: they are found among any number of other files, and the directory is not read without end.
func TestWardenNamesRotations(t *testing.T) {
	dir := t.TempDir()
	rotations := []string{"out", "out.1", "out.2.gz", "out-20260102"}
	for _, name := range rotations {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	for n := range 1500 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%0200d", n)), nil, 0o600))
	}
	w, d := wardenFor(t, dir)
	a, err := ask(w, opNames, asked{Dir: d})
	must(t, err)
	if got := slices.Sorted(slices.Values(a.Result.([]string))); !slices.Equal(got, slices.Sorted(slices.Values(rotations))) {
		t.Errorf("%q", got)
	}
	times := 1
	for err == nil && times < 10_000 {
		_, err = ask(w, opNames, asked{Dir: d})
		times++
	}
	if err == nil {
		t.Errorf("the directory was read %d times", times)
	}
}

// refusedByWarden is what no sink asks for.
var refusedByWarden = []struct {
	op   string
	args asked
}{
	{opOpen, asked{Name: "secret", How: howRead}}, {opOpen, asked{Name: "out.3", How: howRead}}, {opOpen, asked{Name: "out.1", How: howRead}},
	{opOpen, asked{Name: "./secret", How: howRead}}, {opOpen, asked{Name: "", How: howRead}}, {opOpen, asked{Name: ".", How: howRead}},
	{opOpen, asked{Name: "new", How: howMake}}, {opOpen, asked{Name: "out", How: howTemp}}, {opOpen, asked{Name: "out", How: howRead}},
	{opOpen, asked{Name: "out.2", How: howAppend}}, {opOpen, asked{Name: "out", How: "other"}}, {opOpen, asked{Name: "out.4", How: howRead}},
	{opOpen, asked{Name: "out.02", How: howRead}}, {opOpen, asked{Name: "out.-1", How: howRead}}, {opOpen, asked{Name: "out.2/../secret", How: howRead}},
	{opRemove, asked{Name: "secret"}}, {opRename, asked{Name: "secret", To: "out.2"}}, {opRename, asked{Name: "out.2", To: "secret"}},
	{opRename, asked{Name: "out", To: "out.2", Replace: true}}, {opRename, asked{Name: "out", To: "out.2"}}, {opLstat, asked{Name: "secret"}},
	{opChmod, asked{Name: "secret", Mode: 0o777}}, {opChmod, asked{Name: "out", Mode: 0o4755}}, {opChmod, asked{Name: "out", Mode: 0o666}},
	{opChmod, asked{Name: "out.3", Mode: 0o644}}, {opChmod, asked{Name: "out.1", Mode: 0o644}}, {opChown, asked{Name: "out", UID: 12345}},
	{opMkdir, asked{Name: "out", Mode: 0o777}}, {opGive, asked{}}, {"other", asked{Name: "out"}},
}

// TestWardenRotates: what a sink does to rotate and compress works by way of the warden.
func TestWardenRotates(t *testing.T) {
	dir := t.TempDir()
	w, d := wardenFor(t, dir)
	must := func(op string, args asked) broker.Answer {
		t.Helper()
		args.Dir = d
		a, err := ask(w, op, args)
		if err != nil {
			t.Fatalf("%s %+v: %v", op, args, err)
		}
		return a
	}
	unix.Close(must(opOpen, asked{Name: "out", How: howMake}).FDs[0])
	unix.Close(must(opOpen, asked{Name: "out", How: howAppend}).FDs[0])
	must(opChmod, asked{Name: "out", Mode: 0o640})
	must(opChown, asked{Name: "out"})
	must(opRename, asked{Name: "out", To: "out.1"})
	unix.Close(must(opOpen, asked{Name: "out.compress.tmp", How: howTemp}).FDs[0])
	must(opRename, asked{Name: "out.compress.tmp", To: "out.1.gz", Replace: true})
	must(opRemove, asked{Name: "out.1"})
	must(opSync, asked{})
	must(opClose, asked{})
	if left, err := filepath.Glob(dir + "/*"); len(left) != 1 || left[0] != dir+"/out.1.gz" {
		t.Errorf("%q, %v", left, err)
	}
}

// givenDir takes note of the group that it is given to.
type givenDir struct {
	osDir
	gid int
}

func (d *givenDir) Give(gid int, _ uint32) error {
	d.gid = gid
	return nil
}

// TestWardenGivesToAGroupThatComesLater: a directory that was opened while the file's group was not known is given to the group, not to root's.
func TestWardenGivesToAGroupThatComesLater(t *testing.T) {
	w, dir := newWarden().(*warden), &givenDir{gid: -1}
	cfg := &Config{Path: filepath.Join(defaultDir, "out"), Group: "4711"} // known now, and not by the guard of then
	w.Configure(config.Sink{Name: "f", Type: "file", Settings: cfg})
	w.dirs[1] = &wardenDir{folder: dir, cfg: cfg}
	if _, err := ask(w, opGive, asked{Dir: 1}); err != nil || dir.gid != 4711 {
		t.Errorf("given to group %d, %v", dir.gid, err)
	}
}

// FuzzWarden: whatever a worker asks for, nothing but the sink's own names changes.
func FuzzWarden(f *testing.F) {
	for _, seed := range []string{`{"Dir":1,"Name":"out","How":"make"}`, `{"Dir":1,"Name":"out","To":"out.1"}`, `{"Dir":1,"Name":"../secret","How":"read"}`, `{"Name":"/etc"}`, "[]", ""} {
		for n := range wardenOps {
			f.Add(uint8(n), seed)
		}
	}
	f.Fuzz(func(t *testing.T, op uint8, args string) {
		top := t.TempDir()
		dir, secret := top+"/logs", top+"/secret"
		for _, path := range []string{secret, dir + "/other", dir + "/out.2"} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("as it was"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w, _ := wardenFor(t, dir)
		a, err := w.Serve(broker.NewCall("file/f", wardenOps[int(op)%len(wardenOps)], args))
		for _, fd := range a.FDs {
			if err != nil {
				t.Errorf("a descriptor in spite of %v", err)
			}
			unix.Close(fd)
		}
		for _, path := range []string{secret, dir + "/other"} {
			info, err := os.Lstat(path)
			if text, _ := os.ReadFile(path); err != nil || string(text) != "as it was" || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %q, %v", path, text, err)
			}
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if name := e.Name(); name != "other" && name != "out" && !strings.HasPrefix(name, "out.") {
				t.Errorf("%s was made", name)
			}
		}
	})
}

var wardenOps = []string{opDir, opLook, opOpen, opLstat, opNames, opMkdir, opRename, opRemove, opSync, opGive, opChmod, opChown, opClose, "other"}

// TestWardenIsConfiguredWhileADiskHangs: a reload does not wait for what is being done for the sink, as the desk is locked meanwhile.
func TestWardenIsConfiguredWhileADiskHangs(t *testing.T) {
	w := newWarden().(*warden)
	w.mu.Lock()
	defer w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		w.Configure(config.Sink{Name: "f", Type: "file", Settings: &Config{Path: "/out"}})
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it waits")
	}
}
