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
)

// FileOf returns the file that path stands for: path itself, the
// audisp-relay.toml in it when it is a directory (auditd 2.x passes its own -c
// DIR on), or the default file when it is empty.
func FileOf(path string) string {
	if path == "" {
		return DefaultFile
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return filepath.Join(path, filepath.Base(DefaultFile))
	}
	return path
}

// Load reads and checks the configuration file at path and, where it names a
// plugin_dir, the plugins there. The strings are warnings, one line each.
//
// The error is Errors when a content is wrong, with every error that was
// found; the Config beside them is what Parse says, with the plugins that have
// no error. It wraps fs.ErrNotExist when there is no file at path. Other
// errors, one line too, mean that the file cannot be read or, for root, must
// not be believed because somebody else could have written it.
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
		if f := c.Sinks[i].File; f != nil {
			f.Reserved = reserved(c, auditLogs)
		}
	}
	if c.PluginDir == "" {
		return c, warns, err
	}
	self, selfErr := os.Executable()
	if selfErr != nil {
		self = "" // no /proc: then nothing can be said about our own binary
	}
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

var errNotRegular = errors.New("is not a regular file")

// readTrusted reads a regular file of at most limit bytes. Running as root it
// refuses files that root does not own or that have one of the mode bits in
// forbidden: who can write them would command root. Symbolic links are
// followed, what counts is the file that was opened.
func readTrusted(path string, limit int, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	// O_NONBLOCK: opening a FIFO must not wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err := trusted(path, info, forbidden); err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > limit {
		return nil, nil, fmt.Errorf("%s: is larger than it may be, %v", path, Size(limit))
	}
	return data, info, nil
}

// trusted checks owner and mode, for root only: anybody else runs with no
// rights that the file's writers could borrow.
func trusted(path string, info fs.FileInfo, forbidden fs.FileMode) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return fmt.Errorf("%s: is owned by uid %d, must be root's: run chown root %s", path, st.Uid, path)
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
