// Package runnable answers one question for everything that starts a program: may this
// file be run by a process that has all rights? Otherwise whoever can write to the file, or
// put another one in its place, could do anything.
//
// It only looks. All functions may be called from any goroutine.
package runnable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links the kernel follows in one path
// (path_resolution(7)).
const maxLinks = 40

// Error is why a program must not be run.
type Error struct {
	Path string // the program, as it was named
	File string // the file or directory that is in the way
	Why  string
	Fix  string // the command, or what else to do
	Err  error  // of the system, if that was asked in vain
}

func (e *Error) Error() string {
	if e.File == e.Path {
		return fmt.Sprintf("%s %s: %s", e.Path, e.Why, e.Fix)
	}
	return fmt.Sprintf("%s must not be run: %s %s: %s", e.Path, e.File, e.Why, e.Fix)
}

func (e *Error) Unwrap() error { return e.Err }

// Check reports why the program at path must not be run, nil when it may be: path has
// to be absolute, and after all symbolic links a regular file that is
// executable, belongs to root or to the user of this process, and that only its owner
// can write. The same holds for every directory on the way, of links too; in a sticky
// directory, as /tmp is, others may write, since they cannot replace what is not theirs.
func Check(path string) error { return In{}.Check(path) }

// In is a tree of files; the zero value is that of this machine.
type In struct {
	// Root is put before every path. What lies above it is not looked at.
	Root string
}

// Check is the function of that name for a tree.
func (in In) Check(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return &Error{Path: path, File: path, Why: "is not an absolute path", Fix: "name the program by a path that begins with /"}
	}
	w := walk{in: in, path: path, at: "/", rest: parts(path)}
	return w.run()
}

// CheckWay reports, as Check does, why what is at path can be replaced by others than its owner
// and root. It need not be there, and may be anything.
func (in In) CheckWay(path string) error {
	w := walk{in: in, path: path, at: "/", rest: parts(path), wayOnly: true}
	return w.run()
}

// walk follows a path one name at a time, as the kernel does.
type walk struct {
	in    In
	path  string
	at    string   // the directory that is reached
	rest  []string // names still to be followed
	links int

	wayOnly bool // what the path leads to does not matter
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func (w *walk) run() error {
	if err := w.enter("/"); err != nil {
		return err
	}
	for len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		next := filepath.Join(w.at, name) // of "." and "..", too: what was reached has no links
		info, err := os.Lstat(w.in.real(next))
		last := len(w.rest) == 0
		if last && w.wayOnly && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return w.failed(next, err)
		}

		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			err = w.follow(next, info)
		case info.IsDir():
			err = w.enter(next)
		case !last:
			err = w.refuse(next, "is not a directory", "correct the path")
		case w.wayOnly:
			return nil
		default:
			return w.program(next, info)
		}
		if err != nil {
			return err
		}
	}
	if w.wayOnly {
		return nil
	}
	return w.refuse(w.path, "is not a regular file", "name the program itself")
}

func (in In) real(path string) string { return filepath.Join(in.Root, path) }

// enter continues from a directory.
func (w *walk) enter(dir string) error {
	info, err := os.Lstat(w.in.real(dir))
	if err != nil {
		return w.failed(dir, err)
	}
	w.at = dir
	mode := info.Mode()
	switch {
	case !Trusted(info):
		return w.refuse(dir, fmt.Sprintf("belongs to uid %d, who can replace what is in it", OwnerOf(info)), "chown root "+dir)
	case mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0:
		return w.refuse(dir, fmt.Sprintf("has mode %04o, so that others than root can replace what is in it", mode.Perm()), "chmod go-w "+dir)
	}
	return nil
}

// follow goes where a symbolic link leads.
func (w *walk) follow(link string, info fs.FileInfo) error {
	if !Trusted(info) { // in a sticky directory anybody makes one
		return w.refuse(link, fmt.Sprintf("is a symbolic link of uid %d", OwnerOf(info)), "chown -h root "+link)
	}
	if w.links++; w.links > maxLinks {
		return w.failed(link, syscall.ELOOP)
	}
	to, err := os.Readlink(w.in.real(link))
	if err != nil {
		return w.failed(link, err)
	}
	if filepath.IsAbs(to) {
		w.at = "/"
		if w.in.Root != "" {
			to = strings.TrimPrefix(to, filepath.Clean(w.in.Root))
		}
	}
	w.rest = append(parts(to), w.rest...)
	return nil
}

// program judges the file that the path leads to.
func (w *walk) program(file string, info fs.FileInfo) error {
	perm := info.Mode().Perm()
	switch {
	case !info.Mode().IsRegular():
		return w.refuse(file, "is not a regular file", "name the program itself")
	case perm&0o111 == 0:
		return w.refuse(file, fmt.Sprintf("has mode %04o, it is not executable", perm), "chmod 0750 "+file)
	case !Trusted(info):
		return w.refuse(file, fmt.Sprintf("belongs to uid %d and not to root", OwnerOf(info)), "chown root "+file)
	case perm&0o022 != 0:
		return w.refuse(file, fmt.Sprintf("has mode %04o, which lets others write to it", perm), "chmod go-w "+file)
	}
	return nil
}

func (w *walk) refuse(file, why, fix string) error {
	return &Error{Path: w.path, File: file, Why: why, Fix: fix}
}

func (w *walk) failed(file string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	e := &Error{Path: w.path, File: file, Why: "cannot be looked at: " + err.Error(), Fix: "see who may read it and its directory", Err: err}
	if errors.Is(err, fs.ErrNotExist) {
		e.Why, e.Fix = "does not exist: "+err.Error(), "install it or correct path"
	}
	return e
}

// Trusted reports whether a file belongs to a user who has our rights anyway.
func Trusted(info fs.FileInfo) bool { return TrustedUID(OwnerOf(info)) }

// TrustedUID reports whether a user can do no less than the process itself: root, or its own user.
func TrustedUID(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// OwnerOf returns the uid that owns a file.
func OwnerOf(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// SameProgram reports whether path starts the program at self, by whatever name or link.
// After an upgrade the file that runs is no longer the one at its path, so
// equal paths count, too. An empty self is no program.
func SameProgram(path, self string) bool {
	if self == "" || path == "" {
		return false
	}
	self = strings.TrimSuffix(self, " (deleted)") // as /proc/PID/exe has it
	real, err := filepath.EvalSymlinks(path)
	if (err == nil && real == filepath.Clean(self)) || filepath.Clean(path) == filepath.Clean(self) {
		return true
	}
	a, errA := os.Stat(path)
	b, errB := os.Stat(self)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
