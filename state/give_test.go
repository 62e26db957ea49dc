package state

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/host/broker"
)

// asNobody makes a user that every system has the worker's.
func asNobody(t *testing.T) (uid, gid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	was := broker.User
	broker.User = "nobody"
	t.Cleanup(func() { broker.User = was })
	uid, gid, err := broker.Account()
	if err != nil {
		t.Skip(err)
	}
	return uid, gid
}

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
	uid, gid := asNobody(t)
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

// TestGiveMakesIt, with directories above it that the worker can pass; and refuses a way that others can change.
func TestGiveMakesIt(t *testing.T) {
	uid, gid := asNobody(t)
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b", "state")
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
