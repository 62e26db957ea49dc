package file

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

// TestConformance: whatever its settings, the file loses nothing, repeats
// nothing and holds whole records only, through breaks and restarts.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for name, change := range map[string]func(*Config){
		"plain":    nil,
		"interval": func(f *Config) { f.Sync = "interval" },
		"batch":    func(f *Config) { f.Sync = "batch" },
		"rotated":  func(f *Config) { f.MaxSize, f.MaxFiles, f.Sync = 64<<10, 1000, "interval" },
		"compressed": func(f *Config) {
			f.MaxSize, f.MaxFiles, f.Compress = 256<<10, 1000, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Target{
				Formats: []format.Format{format.String, format.Binary},
				Place:   func(t *testing.T) sinktest.Place { return place(t, change) },
			})
		})
	}
}

func place(t *testing.T, change func(*Config)) sinktest.Place {
	path := filepath.Join(t.TempDir(), "events.log")
	fs := &faultFS{short: 100}
	broken := false // used by the test's goroutine only
	return sinktest.Place{
		New: func(enc format.Encoder) sinks.Sink {
			p := sinks.NewPump("test", newWriter(settings(path, change), enc, zap.NewNop(), fs), zap.NewNop())
			p.MinBackoff, p.MaxBackoff = time.Millisecond, 20*time.Millisecond
			return p
		},
		Read: func() []byte {
			if broken {
				return nil // a torn line may stand there until it is taken back
			}
			return readAll(path)
		},
		// A full disk: one short write after the other.
		Break: func() {
			broken = true
			shorts := 0
			fs.Set(func(op, _ string) error {
				if op != "write" {
					return nil
				}
				if shorts++; shorts%2 == 1 {
					return errShort
				}
				return unix.ENOSPC
			})
		},
		Repair: func() { broken = false; fs.Set(nil) },
	}
}
