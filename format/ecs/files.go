package ecs

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
)

// Kinds of a file's mode (inode(7)).
var fileTypes = map[uint64]string{
	0o100000: "file", 0o040000: "directory", 0o020000: "character-device", 0o060000: "block-device",
	0o010000: "named-pipe", 0o120000: "symlink", 0o140000: "socket",
}

// fixFileType says what kind of file an event is about. aucoalesce tests the mode's
// bits as if they were Go's os.FileMode, so that everything is a file.
func fixFileType(ev *aucoalesce.Event) {
	if ev.File == nil || ev.Summary.Object.Type != "file" {
		return
	}
	if mode, err := strconv.ParseUint(pathOf(ev)["mode"], 8, 32); err == nil {
		if name := fileTypes[mode&0o170000]; name != "" {
			ev.Summary.Object.Type = name
		}
	}
}

// isFile reports whether a path is the one that aucoalesce has made the event's file.
func isFile(f *aucoalesce.File, path map[string]string) bool {
	if f.Path != path["name"] || f.Inode != path["inode"] || f.Device != path["rdev"] || f.UID != path["ouid"] || f.GID != path["ogid"] {
		return false
	}
	mode, err := strconv.ParseUint(path["mode"], 8, 64)
	return (err != nil && f.Mode == "") || (err == nil && strings.HasSuffix(f.Mode, fmt.Sprintf("%04o", mode&0o7777)))
}

// pathOf returns the path of the event's file, nil without.
func pathOf(ev *aucoalesce.Event) map[string]string {
	i := slices.IndexFunc(ev.Paths, func(p map[string]string) bool { return isFile(ev.File, p) })
	if i < 0 {
		return nil
	}
	return ev.Paths[i]
}

// completePath makes the event's file an absolute path, as the schema has it, where the
// records say what it is relative to: cwd, unless the system call was given a directory's
// descriptor. ".." and "//" are worked out as the filter's path_under does.
func (e *Encoder) completePath() {
	ev := e.doc.event
	if ev.File == nil || ev.File.Path == "" {
		return
	}
	name := ev.File.Path
	if name[0] != '/' {
		cwd := e.cwd()
		if cwd == "" || !e.countsFromCwd() {
			return
		}
		name = cwd + "/" + name
	} else if !strings.Contains(name, "//") && !strings.Contains(name, "/.") {
		return
	}
	ev.File.Path = path.Clean(name)
}

// cwd returns the directory that the event's CWD record names.
func (e *Encoder) cwd() string {
	for k := range e.recs {
		if r := &e.recs[k]; r.typ() == auparse.AUDIT_CWD {
			if cwd := e.value(r, "cwd"); cwd != "" && cwd[0] == '/' {
				return cwd
			}
		}
	}
	return ""
}

// countsFromCwd reports whether a relative name of the event's file counts from the process's
// working directory.
func (e *Encoder) countsFromCwd() bool {
	ev := e.doc.event
	call := ev.Data["syscall"]
	if ofCwd[call] {
		return true
	}
	args := record.DirFDs(call)
	if len(args) == 0 || args[0] > 2 {
		return false // names that are nowhere to be found: io_uring, fsconfig, calls without a name here
	}

	old, created := e.isAtCwd(args[0]), e.isAtCwd(args[len(args)-1])
	if old == created {
		return old
	}
	switch path := pathOf(ev); {
	case path == nil:
		return false
	case path["nametype"] == "CREATE":
		return created
	}
	return old
}

// isAtCwd reports whether an argument of the system call is AT_FDCWD. The kernel takes a descriptor as
// an int, so the upper half of the register does not matter.
func (e *Encoder) isAtCwd(arg int) bool {
	val := strings.TrimPrefix(e.doc.event.Data["a"+strconv.Itoa(arg)], "0x")
	n, ok := record.ParseHex([]byte(val))
	return ok && int32(n) == -100
}

// ofCwd are the system calls that take a name and no directory.
var ofCwd = func() map[string]bool {
	m := make(map[string]bool)
	for _, call := range strings.Fields(`access acct chdir chmod chown chown32 chroot creat execve getxattr inotify_add_watch lchown lchown32 lgetxattr
		link listxattr llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mknod mount oldlstat oldstat open pivot_root quotactl readlink
		removexattr rename rmdir setxattr stat stat64 statfs statfs64 swapoff swapon symlink truncate truncate64 umount umount2 unlink uselib
		utime utimes`) {
		m[call] = true
	}
	return m
}()
