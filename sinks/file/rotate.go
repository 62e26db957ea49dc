package file

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const gzSuffix = ".gz"

func rotatedName(path string, i int) string { return fmt.Sprintf("%s.%d", path, i) }

// rotate renames the full file out of the way: PATH.1 becomes PATH.2 and so
// on, PATH becomes PATH.1, what would be beyond the count is removed. Nothing is
// ever renamed onto something: a crash between two steps leaves a gap in the
// numbers, which the next rotation fills.
//
// When it fails the file stays as it is and no record is written: disk space
// is bounded whatever happens.
func (w *writer) rotate() error {
	if !w.inPlace() { // another program was faster
		return w.letGo()
	}
	if err := w.shift(); err != nil {
		return err
	}
	var dirErr error
	if w.cfg.Sync != "none" {
		if dirErr = w.dir.Sync(); dirErr != nil {
			dirErr = w.fail("sync the directory of", dirErr)
		}
	}
	err := w.letGo()
	if w.cfg.Compress {
		w.zip.wake()
	}
	return cmp.Or(err, dirErr)
}

func (w *writer) shift() error {
	// The compressor must not look for a file while names change.
	w.zip.names.Lock()
	defer w.zip.names.Unlock()
	if w.cfg.MaxFiles <= 1 {
		return w.remove(filepath.Base(w.cfg.Path))
	}

	path, keep := filepath.Base(w.cfg.Path), w.cfg.MaxFiles-1
	free := 1
	for free <= keep {
		used, err := w.present(rotatedName(path, free))
		if err != nil {
			return err
		}
		if !used {
			break
		}
		free++
	}
	if free > keep {
		free = keep
		for _, suffix := range []string{"", gzSuffix} {
			if err := w.remove(rotatedName(path, keep) + suffix); err != nil {
				return err
			}
		}
	}

	for i := free - 1; i >= 1; i-- {
		for _, suffix := range []string{"", gzSuffix} {
			err := w.move(rotatedName(path, i)+suffix, rotatedName(path, i+1)+suffix)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	}
	return w.move(path, rotatedName(path, 1))
}

// present reports whether there is a rotated file of that name, compressed or
// not. Something else of that name is nothing that may be removed or renamed.
func (w *writer) present(name string) (bool, error) {
	found := false
	for _, p := range []string{name, name + gzSuffix} {
		st, err := w.dir.Lstat(p)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return false, fmt.Errorf("rotate %s: stat %s: %w%s", w.cfg.Path, w.beside(p), err, advice(err))
		case !regular(&st):
			return false, fmt.Errorf("rotate %s: %s stands in the way: %w", w.cfg.Path, w.beside(p), errNotRegular)
		default:
			found = true
		}
	}
	return found, nil
}

// beside is the path of a name in the file's directory.
func (w *writer) beside(name string) string { return filepath.Join(filepath.Dir(w.cfg.Path), name) }

func (w *writer) remove(p string) error {
	if err := w.dir.Remove(p); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("rotate %s: remove %s: %w%s", w.cfg.Path, w.beside(p), err, advice(err))
	}
	return nil
}

func (w *writer) move(from, to string) error {
	err := w.dir.Rename(from, to, false)
	if err != nil {
		return fmt.Errorf("rotate %s: rename %s to %s: %w%s", w.cfg.Path, w.beside(from), w.beside(to), err, advice(err))
	}
	return nil
}
