package config

import (
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"audisp-relay/filter"
	"audisp-relay/host/broker"
	"audisp-relay/host/trusted"
)

// ConfigItem is what a worker calls the configuration when it asks its monitor for it.
const ConfigItem = "config"

// Ops of ConfigItem.
const (
	OpLoad = "load" // a descriptor with what is obeyed from then on
	OpDir  = "dir"  // whether it was named by its directory
)

// Reader may be implemented by Settings that name files which the sink reads.
type Reader interface{ Reads() []string }

// Owner may be implemented by Settings that name directories in which the sink alone makes files.
type Owner interface{ Owns() []string }

// Read returns the text of a configuration file, as Load reads it: of a worker the one that its monitor
// has read, and obeys from then on.
func Read(path string) ([]byte, error) {
	m := broker.Monitor()
	if m == nil {
		data, _, err := trusted.Read(path, maxConfigSize, 0o022)
		return data, err
	}
	fd, err := m.Open(ConfigItem, OpLoad, nil, nil)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, maxConfigSize+1))
}

// InMemory returns a file with this content, which belongs to the caller, for a worker to read.
func InMemory(data []byte) (fd int, err error) {
	if fd, err = unix.MemfdCreate("audisp-relay.toml", unix.MFD_CLOEXEC); err != nil {
		return -1, fmt.Errorf("memory for a file: %w", err)
	}
	if _, err := unix.Pwrite(fd, data, 0); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("memory for a file: %w", err)
	}
	return fd, nil
}

// ServeRead opens a file for a worker, if the configuration names it for reading.
func (c *Config) ServeRead(call *broker.Call) (broker.Answer, error) {
	return trusted.Serve(call, c.reads)
}

// reads reports whether c names a file for reading.
func (c *Config) reads(path string) bool {
	if path == "" {
		return false
	}
	if path == c.Metrics.CertFile || path == c.Metrics.KeyFile {
		return true
	}
	for i := range c.Sinks {
		r, ok := c.Sinks[i].Settings.(Reader)
		if (ok && slices.Contains(r.Reads(), path)) || slices.Contains(c.Sinks[i].Lists, path) {
			return true
		}
	}
	return slices.ContainsFunc(c.Rules.Lists(), func(l *filter.List) bool { return l.Path() == path })
}
