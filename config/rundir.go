package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"audisp-relay/host/runnable"
)

// CheckRunDir says why a directory is not one for run_dir: another user could put a socket or a report of his own there. Its
// error wraps fs.ErrNotExist where there is none.
func CheckRunDir(dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		if err := ownRunDir(at, at == dir); err != nil {
			return err
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// ownRunDir says what is wrong with the directory itself, or one above it, that others may put things in or away. In a sticky one
// they cannot replace what is ours.
func ownRunDir(dir string, itself bool) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory: remove it", dir)
	}
	open := info.Mode().Perm() & 0o002
	if itself {
		open = info.Mode().Perm() & 0o022
	}

	switch {
	case !runnable.Trusted(info):
		return fmt.Errorf("%s belongs to uid %d, who could put a socket of his own there: chown root %s, or choose another run_dir", dir, runnable.OwnerOf(info), dir)
	case open != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("%s has mode %04o, others could put a socket of their own there: chmod go-w %s, or choose another run_dir", dir, info.Mode().Perm(), dir)
	}
	return nil
}
