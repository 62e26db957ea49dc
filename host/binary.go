package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"audisp-relay/host/runnable"
)

// CheckBinary says whether an auditd will start the program at path, and
// whether that is safe: it runs as root. The rules are those of auditd's
// sanity_check (audisp/audispd-pconfig.c): absolute, in a directory whose name
// has at least 4 characters, a regular file, owner root, mode at least 0750, or
// from 4.0.4 on 0550. Those of package runnable
// come on top: only root may be able to write to it or to put another file in its place. The error
// says how to correct it.
//
// An auditd 2.x has one more rule, for dispatcher=: mode exactly 0750 or
// 0755 (dispatch_parser in src/auditd-config.c).
func (m Machine) CheckBinary(path string, a Auditd) error {
	least := fs.FileMode(0o750)
	if a.AtLeast(4, 0, 4) {
		least = 0o550
	}
	if !filepath.IsAbs(path) || path != filepath.Clean(path) {
		return fmt.Errorf("binary %s: not a plain absolute path: name it with --binary", path)
	}
	if strings.ContainsAny(path, " \t\n") || len(filepath.Dir(path)) < 4 {
		return fmt.Errorf("binary %s: auditd takes no spaces in a path and no directory as short as %s: %s", path, filepath.Dir(path), moveIt(path))
	}
	st, err := os.Stat(m.path(path))
	if err != nil {
		return fmt.Errorf("binary %s: %w: build it, or name it with --binary", path, Pathless(err))
	}

	mode := st.Mode().Perm()
	switch {
	case !st.Mode().IsRegular():
		return fmt.Errorf("binary %s: not a regular file: name it with --binary", path)
	case runnable.OwnerOf(st) != m.owner:
		return fmt.Errorf("binary %s: owned by uid %d, auditd only runs what belongs to root: %s", path, runnable.OwnerOf(st), moveIt(path))
	case mode&least != least:
		return fmt.Errorf("binary %s: mode %04o lacks some of %04o: chmod 0755 %s", path, mode, least, path)
	case a.OneDispatcher() && mode != 0o750 && mode != 0o755:
		return fmt.Errorf("binary %s: mode %04o, auditd 2.x wants exactly 0750 or 0755: chmod 0755 %s", path, mode, path)
	}
	if err := (runnable.In{Root: m.Root}).Check(path); err != nil {
		return fmt.Errorf("binary %w", err)
	}
	return nil
}

// checkParents looks at the directories on the way to path, and on the way to what it links
// to: who can write one of them can put another file there. advice is the way out besides
// taking the right away.
func (m Machine) checkParents(what, path, advice string) error {
	err := runnable.In{Root: m.Root}.CheckWay(path)
	if e, ok := errors.AsType[*runnable.Error](err); ok {
		return fmt.Errorf("%s %s: %s %s: %s, or %s", what, path, e.File, e.Why, e.Fix, advice)
	}
	return err
}

// moveIt is the way out of most trouble with a binary.
func moveIt(path string) string {
	to := "/usr/sbin/" + filepath.Base(path)
	return fmt.Sprintf("install -o root -g root -m 0755 %s %s && %s install", path, to, to)
}

// Pathless takes operation and path out of an error of package os, for messages that name the path themselves.
func Pathless(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
