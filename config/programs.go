package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"audisp-relay/runnable"
)

// refuseSelf reports the sinks whose program is the relay itself: each child would
// read the same configuration and start the next.
func (d *document) refuseSelf(c *Config) {
	self, err := os.Executable()
	if err != nil {
		return // no /proc: then nothing can be said about our own binary
	}
	for _, s := range c.Sinks {
		if s.Program != nil && runnable.SameProgram(s.Program.Path, self) {
			d.errorf(toml.Key{"sinks", s.Name, "path"}, "%q is audisp-relay itself, which would start itself over and over: must be another program", s.Program.Path)
		}
	}
}

// CheckPrograms reports what would keep the programs of the sinks from being started at
// present, as far as it can be said beforehand. It is no part of Load: a sink whose program is still to be
// installed waits for it.
func (c *Config) CheckPrograms() Errors {
	var errs Errors
	for i := range c.Sinks {
		s := &c.Sinks[i]
		if s.Program == nil {
			continue
		}
		if err := runnable.Check(s.Program.Path); err != nil {
			errs = append(errs, s.errorf("path", "%v", err))
		}
		if s.Program.User == "" {
			continue
		}
		if _, err := runnable.LookUp(s.Program.User); err != nil {
			errs = append(errs, s.errorf("user", "%v", err))
		}
	}
	return errs
}

// errorf makes an error about one of the sink's keys.
func (s *Sink) errorf(key, format string, args ...any) *Error {
	e := &Error{File: s.Origin, Key: "sinks." + s.Name + "." + key, Msg: fmt.Sprintf(format, args...)}
	if file, line, ok := cutLast(s.Origin, ":"); ok {
		if n, err := strconv.Atoi(line); err == nil {
			e.File, e.Line = file, n
		}
	}
	return e
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
