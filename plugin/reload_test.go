package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/config"
)

// TestUnreadConfigRunsNoSink: at a start on a file of which nothing can be read there is no built-in sink in the place of those
// that were asked for.
func TestUnreadConfigRunsNoSink(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	for name, put := range map[string]func() error{
		"empty":     func() error { return os.WriteFile(file, nil, 0o640) },
		"not TOML":  func() error { return os.WriteFile(file, []byte(strings.Repeat("= x\n", 20)), 0o640) },
		"NUL bytes": func() error { return os.WriteFile(file, make([]byte, 100), 0o640) },
		"FIFO":      func() error { return syscall.Mkfifo(file, 0o640) },
		"directory": func() error { return os.Mkdir(file, 0o750) },
		"dangling":  func() error { return os.Symlink("nowhere", file) },
		"large":     func() error { return os.WriteFile(file, make([]byte, 2<<20), 0o640) },
	} {
		if err := errors.Join(os.RemoveAll(file), put()); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := loadConfig(file, os.Getppid())
		if err == nil || cfg == nil || len(cfg.Sinks) != 0 || cfg.RunDir != config.DefaultRunDir {
			t.Errorf("%s: %+v, %v", name, cfg, err)
		}
	}
}
