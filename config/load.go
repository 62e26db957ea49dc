package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"audisp-relay/host/broker"
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
// name of a configuration itself is in the place of a file. In a worker it is about that of its monitor.
func IsDir(path string) bool {
	if m := broker.Monitor(); m != nil {
		var dir bool
		return m.Do(ConfigItem, OpDir, nil, &dir) == nil && dir
	}
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
	data, err := Read(path)
	if err != nil {
		return nil, nil, err
	}
	c, warns, err := LoadText(path, data, auditLogs...)
	if c != nil {
		c.Sum = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return c, warns, err
}

// Unread returns what runs where Load returns no configuration: the defaults. Only if there is no file is the built-in
// sink among them: a file that cannot be read may be meant to keep readers out.
func Unread(err error) *Config {
	c := Default()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Sinks = nil
	}
	return c
}

// reserve notes what the relay must not write, whatever it is called.
func (c *Config) reserve(auditLogs []string) {
	c.Log.Reserved = auditdFiles(c, auditLogs)
	for i := range c.Sinks {
		if s := &c.Sinks[i]; s.Files > 0 {
			s.Reserved = reserved(c, auditLogs)
		}
	}
}

// Reserving returns c with these logs of auditd's among what the relay must not write, besides those that it knows. auditd takes up
// another one by itself, and may do so while the file of c cannot be loaded.
func (c *Config) Reserving(auditLogs ...string) *Config {
	next := *c
	next.Sinks = slices.Clone(c.Sinks)
	next.reserve(auditLogs)
	next.Log.Reserved = withAll(c.Log.Reserved, next.Log.Reserved)
	for i := range next.Sinks {
		next.Sinks[i].Reserved = withAll(c.Sinks[i].Reserved, next.Sinks[i].Reserved)
	}
	return &next
}

// withAll returns list with those of more that are not in it.
func withAll(list, more []Reserved) []Reserved {
	for _, r := range more {
		if !slices.Contains(list, r) {
			list = append(slices.Clip(list), r)
		}
	}
	return list
}

// LoadText is Load for what Read has returned.
func LoadText(path string, data []byte, auditLogs ...string) (*Config, []string, error) {
	c, warns, err := parse(path, data, auditLogs...)
	if c == nil {
		return nil, warns, err
	}

	c.reserve(auditLogs)
	if c.PluginDir == "" {
		return c, warns, err
	}

	self, _ := os.Executable() // "" without /proc: then it is not known
	more, dirWarns, dirErr := loadPluginDir(c.PluginDir, c, self)
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
