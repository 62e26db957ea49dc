package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"audisp-relay/host/runnable"
)

// FileOf returns the file that path means: path itself, the audisp-relay.toml in
// it when it is a directory (auditd 2.x passes its own -c DIR on), or the default
// file when it is empty.
func FileOf(path string) string {
	if path == "" {
		return DefaultFile
	}
	if IsDir(path) {
		return filepath.Join(path, filepath.Base(DefaultFile))
	}
	return path
}

// IsDir reports whether path is a directory that holds a configuration. One that has the
// name of a configuration itself is in the place of a file.
func IsDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir() && filepath.Ext(path) != filepath.Ext(DefaultFile)
}

// Load reads and checks the configuration file at path and, where it names a
// plugin_dir, the plugins there. The strings are warnings, one line each.
//
// The error is Errors when a content is wrong, with every error that was
// found; the Config beside them is what Parse says, with the plugins that have
// no error. It wraps fs.ErrNotExist when there is no file at path. Other
// errors, one line too, mean that the file cannot be read or, for root, must
// not be trusted because another user could have written it.
//
// auditLogs are the logs of auditd: no sink may write them, nor their rotations.
func Load(path string, auditLogs ...string) (*Config, []string, error) {
	data, _, err := readTrusted(path, maxConfigSize, 0o022)
	if err != nil {
		return nil, nil, err
	}
	c, warns, err := parse(path, data, auditLogs...)
	if c == nil {
		return nil, warns, err
	}

	for i := range c.Sinks {
		if s := &c.Sinks[i]; s.Files > 0 {
			s.Reserved = reserved(c, auditLogs)
		}
	}
	if c.PluginDir == "" {
		return c, warns, err
	}

	self, _ := os.Executable() // "" without /proc: then it is not known
	more, dirWarns, dirErr := LoadPluginDir(c.PluginDir, c, self)
	warns = append(warns, dirWarns...)
	var errs Errors
	if err != nil {
		errs = asErrors(err, path, 0, "")
	}

	if dirErr != nil {
		lines, _ := findLines(path, string(data)) // parse has accepted its bounds
		errs = append(errs, asErrors(dirErr, path, lines.of("plugin_dir"), "plugin_dir")...)
	}
	c.Sinks = append(c.Sinks, more...)
	slices.SortFunc(c.Sinks, func(a, b Sink) int { return strings.Compare(a.Name, b.Name) })
	if len(errs) > 0 {
		return c, warns, errs
	}
	return c, warns, nil
}

var (
	errNotRegular = errors.New("is not a regular file")
	errChanges    = errors.New("is being written at this moment: try again when that is done")
)

// How often a file that changes while it is read is read again, and how long after.
const (
	readTries = 5
	readPause = 20 * time.Millisecond
)

// readTrusted reads a regular file of at most limit bytes. Running as root it
// refuses files that root does not own or that have one of the mode bits in
// forbidden: who can write them would command root. Symbolic links are
// followed, what counts is the file that was opened. One that is written meanwhile
// is read again, and refused if that does not end.
func readTrusted(path string, limit int, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	return readChecked(path, limit, func(info fs.FileInfo) error { return trusted(path, info, forbidden) })
}

// readChecked reads a regular file that check, if any, has no objection to.
func readChecked(path string, limit int, check func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	for try := 1; ; try++ {
		data, info, err := readOnce(path, limit, check)
		if !errors.Is(err, errChanges) || try == readTries {
			return data, info, err
		}
		time.Sleep(readPause)
	}
}

func readOnce(path string, limit int, check func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if check != nil {
		if err := check(info); err != nil {
			return nil, nil, err
		}
	}

	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > limit {
		return nil, nil, fmt.Errorf("%s: file too large (limit %v)", path, Size(limit))
	}

	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if after.Size() != int64(len(data)) || !after.ModTime().Equal(info.ModTime()) {
		return nil, nil, fmt.Errorf("%s: %w", path, errChanges)
	}
	return data, info, nil
}

// openRegular opens a file for reading, if it is one. A symbolic link that leads nowhere
// is an error of its own kind: a file was wanted there.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	// O_NONBLOCK: opening a FIFO must not wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		if to, lerr := os.Readlink(path); lerr == nil && errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%s: is a symbolic link to %s, which is not there", path, to)
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// trusted checks owner and mode, for root only: anybody else runs with no
// rights that the file's writers could borrow.
func trusted(path string, info fs.FileInfo, forbidden fs.FileMode) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if uid := runnable.OwnerOf(info); uid != 0 {
		return fmt.Errorf("%s: is owned by uid %d, must be root's: run chown root %s", path, uid, path)
	}
	if open := info.Mode().Perm() & forbidden; open != 0 {
		who := "o"
		switch {
		case open&0o020 != 0 && forbidden&0o002 != 0:
			who = "go"
		case open&0o020 != 0:
			who = "g"
		}
		return fmt.Errorf("%s: has mode %04o, others than root must not write it: run chmod %s-w %s", path, info.Mode().Perm(), who, path)
	}
	return nil
}
