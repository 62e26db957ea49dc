package file

import (
	"path/filepath"

	"audisp-relay/config"
	"audisp-relay/sinks"
)

// Bounds that keep a typing error from becoming a file for each few records.
const (
	minMaxSize config.Size = 64 << 10
	maxFiles               = 1000
)

// Config is a file that records are appended to.
type Config struct {
	Path     string      // absolute
	Mode     uint32      // permission bits of a file the sink creates
	Owner    string      // user name or number
	Group    string      // group name or number
	MaxSize  config.Size // bytes at which it is rotated; 0 leaves that to logrotate
	MaxFiles int         // files kept, the live one included
	Compress bool        // gzip the rotated files
	Sync     string      // "none", "interval" (once a second) or "batch"

	Checkpoint bool // among the records
}

// Checkpoints implements sinks.Checkpointed.
func (c *Config) Checkpoints() bool { return c.Checkpoint }

func init() {
	sinks.Register(sinks.Kind{Kind: config.Kind{Name: "file", Read: read}, New: New, Warden: newWarden, Try: try, Details: func() sinks.Details { return new(Details) }})
}

// read reads the keys of a sink of type file.
func read(t *config.Table, s *config.Sink) config.Settings {
	c := &Config{Mode: 0o640, Owner: "root", Group: "root", MaxSize: 64 << 20, MaxFiles: 8, Sync: "interval"}
	t.Required("path", "the absolute path of the file")
	t.Str("path", &c.Path, config.FilePath)
	t.Mode("mode", &c.Mode)
	t.Str("owner", &c.Owner, config.Account)
	t.Str("group", &c.Group, config.Account)
	t.SizeOrZero("max_size", &c.MaxSize, minMaxSize)
	t.Integer("max_files", &c.MaxFiles, 1, maxFiles)
	t.Boolean("compress", &c.Compress)
	t.OneOf("sync", &c.Sync, "none", "interval", "batch")
	t.Boolean("checkpoint", &c.Checkpoint)

	s.Output, s.Files = c.Path, c.files()
	if name := c.longestName(); len(name) > config.MaxName {
		t.Errorf("path", "has a name of %d bytes, a rotated file %d with what is added to it: a file can have %d", len(filepath.Base(c.Path)), len(name), config.MaxName)
	}
	return c
}

// files is how many names the sink uses: Path, Path.1, ...
func (c *Config) files() int {
	if c.MaxSize == 0 {
		return 1
	}
	return c.MaxFiles
}

// longestName is the longest of the names that the file has, and those that it is rotated to.
func (c *Config) longestName() string {
	longest := filepath.Base(c.Path)
	if c.Compress {
		longest = tempName(longest)
	}
	if n := c.files(); n > 1 {
		rotated := rotatedName(filepath.Base(c.Path), n-1)
		if c.Compress {
			rotated += gzSuffix
		}
		if len(rotated) > len(longest) {
			longest = rotated
		}
	}
	return longest
}
