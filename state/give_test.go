package state

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/test/lab"
)

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// TestGive gives what is in a directory, and nothing that a link in it leads to, nor what belongs to others; and back.
func TestGive(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	top := t.TempDir()
	dir, outside := filepath.Join(top, "state"), filepath.Join(top, "outside")
	if err := os.MkdirAll(dir+"/spool/a", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{outside, dir + "/state.json", dir + "/spool/a/1", dir + "/others"} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink(outside, dir+"/link"), os.Link(outside, dir+"/second"), syscall.Mkfifo(dir+"/fifo", 0o600), os.Chown(dir+"/others", 12345, 12345),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Give(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		dir: uid, dir + "/state.json": uid, dir + "/spool": uid, dir + "/spool/a": uid, dir + "/spool/a/1": uid,
		outside: 0, dir + "/second": 0, dir + "/link": 0, dir + "/fifo": 0, dir + "/others": 12345,
	} {
		if got := ownerOf(t, path); got != want {
			t.Errorf("%s is uid %d's, want %d", path, got, want)
		}
	}
	if !IsWorkers(dir) {
		t.Error("it is not the worker's")
	}
	if err := Give(dir, 0, 0); err != nil || ownerOf(t, dir+"/spool/a/1") != 0 || IsWorkers(dir) {
		t.Errorf("it is not root's again: %v", err)
	}
}

// TestGiveRemovesWhatAWorkerHasPlanted: root, which gets its directory back, is led nowhere by it, and waits for no FIFO.
func TestGiveRemovesWhatAWorkerHasPlanted(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	top := t.TempDir()
	dir, outside := filepath.Join(top, "state"), filepath.Join(top, "outside")
	for _, err := range []error{
		os.MkdirAll(dir+"/spool", 0o700), os.Mkdir(outside, 0o700), os.Symlink(outside, dir+"/spool/sink"), os.Symlink(outside, dir+"/roots"),
		syscall.Mkfifo(dir+"/state.json", 0o600), os.Lchown(dir+"/spool/sink", uid, gid), os.Lchown(dir+"/state.json", uid, gid),
		os.WriteFile(outside+"/file", nil, 0o600), os.Link(outside+"/file", dir+"/second"), os.WriteFile(outside+"/others", nil, 0o600),
		os.Chown(outside+"/others", 12345, 12345), os.Link(outside+"/others", dir+"/third"), os.Symlink(outside, outside+"/link"),
		os.Link(outside+"/link", dir+"/fourth"), os.WriteFile(dir+"/own", nil, 0o600), os.Chown(dir+"/own", uid, gid), os.Link(dir+"/own", dir+"/again"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Give(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	planted := []string{dir + "/spool/sink", dir + "/state.json", dir + "/second", dir + "/third", dir + "/fourth"}
	for _, path := range planted {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("a worker that begins has not: %v", err)
		}
	}
	if err := Give(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range planted {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	for path, want := range map[string]int{ // root has made all but the last two, which are the worker's by either name
		outside + "/file": 0, outside + "/link": 0, outside + "/others": 12345, dir + "/roots": 0, dir + "/own": uid, dir + "/again": uid,
	} {
		if got := ownerOf(t, path); got != want {
			t.Errorf("%s is uid %d's", path, got)
		}
	}
}

// TestGiveFollowsOnlyRootsLinks: in a directory where everybody makes files a link of another user could lead to any directory.
func TestGiveFollowsOnlyRootsLinks(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	top := t.TempDir()
	dir, to := filepath.Join(top, "all", "state"), filepath.Join(top, "elsewhere")
	for _, err := range []error{
		os.Mkdir(filepath.Dir(dir), 0o700), os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky), os.Mkdir(to, 0o700), os.Symlink("../elsewhere", dir),
		os.Lchown(dir, 12345, 12345),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Give(dir, uid, gid); err == nil || !strings.Contains(err.Error(), "symbolic link of uid 12345") || ownerOf(t, to) != 0 {
		t.Errorf("what it leads to is uid %d's, %v", ownerOf(t, to), err)
	}
	if is, err := Real(dir); err == nil {
		t.Errorf("it leads to %s", is)
	}
	if err := os.Lchown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	if is, err := Real(dir); filepath.Clean(is) != to || err != nil {
		t.Errorf("it leads to %s, %v, want %s", is, err, to)
	}
	if err := Give(dir, uid, gid); err != nil || ownerOf(t, to) != uid {
		t.Errorf("what root's leads to is uid %d's, %v", ownerOf(t, to), err)
	}
}

// TestGiveKeepsWhatOthersHave: a directory with others' directories in it is not the relay's own, and stays root's; one that a worker has
// is its own, whatever it makes there.
func TestGiveKeepsWhatOthersHave(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	dir := filepath.Join(t.TempDir(), "lib")
	for _, name := range []string{"spool", "dead", "engine", "lost+found", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Give(dir+"/", uid, gid); err == nil || !strings.Contains(err.Error(), "lib/other is in it") || ownerOf(t, dir+"/spool") != 0 || IsWorkers(dir) {
		t.Errorf("given: %v", err)
	}
	if err := os.Remove(dir + "/other"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Give(dir+"/", uid, gid); err != nil || ownerOf(t, dir+"/spool") != uid {
			t.Errorf("spool is uid %d's: %v", ownerOf(t, dir+"/spool"), err)
		}
		if err := os.MkdirAll(dir+"/of the worker", 0o700); err != nil {
			t.Fatal(err)
		}
	}

	// With the next package it is root's again, all but what a later relay had made in it.
	for _, err := range []error{os.Chown(dir, 0, 0), os.Chown(dir+"/of the worker", uid, gid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Foreign(dir); err != nil {
		t.Error(err)
	}
	if err := Give(dir, uid, gid); err != nil || !IsWorkers(dir) {
		t.Errorf("not given: %v", err)
	}
}

// TestGiveMakesNothingForAnother: in a directory of the worker's root makes none, and follows no link that leads out of it.
func TestGiveMakesNothingForAnother(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	top := t.TempDir()
	dir, outside := filepath.Join(top, "state"), filepath.Join(top, "outside")
	for _, err := range []error{
		os.Mkdir(dir, 0o700), os.Mkdir(outside, 0o700), os.Symlink(outside, dir+"/dead"), os.Lchown(dir+"/dead", uid, gid), os.Chown(dir, uid, gid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Give(dir+"/dead/sink", uid, gid); err == nil {
		t.Error("given")
	}
	if entries, err := os.ReadDir(outside); len(entries) > 0 || err != nil {
		t.Errorf("root has made %v, %v", entries, err)
	}
}

// TestGiveAgainIsBounded: however much a worker has made, the next one begins.
func TestGiveAgainIsBounded(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	dir := t.TempDir()
	for n := range 20 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := giver{uid: uid, gid: gid, left: 7}
	if err := g.content(f, 0); err != nil {
		t.Fatal(err)
	}
	given := 0
	for n := range 20 {
		if ownerOf(t, filepath.Join(dir, strconv.Itoa(n))) == uid {
			given++
		}
	}
	if given != 7 || g.left != 0 {
		t.Errorf("%d are given, %d left", given, g.left)
	}
}

// TestGiveMakesIt, with directories above it that the worker can pass; and refuses a way that others can change.
func TestGiveMakesIt(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b", "state")
	defer syscall.Umask(syscall.Umask(0o077))
	if err := Give(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 || ownerOf(t, dir) != uid {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || info.Mode().Perm()&0o011 != 0o011 {
		t.Errorf("above it: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(filepath.Join(top, "a"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Give(dir, uid, gid); err == nil {
		t.Error("given, though everybody can put another directory there")
	}
	if err := os.Chmod(filepath.Join(top, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Reach(dir, uid, gid); err == nil || !strings.Contains(err.Error(), "chmod o+x") {
		t.Errorf("the way is shut: %v", err)
	}
}
