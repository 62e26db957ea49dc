package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/runnable"
)

// refuseSelf takes the sinks out whose program is the relay itself, at self: each child would
// read the same configuration and start the next.
func (c *Config) refuseSelf(file, self string) (errs Errors) {
	c.Sinks = slices.DeleteFunc(c.Sinks, func(s Sink) bool {
		if s.Program == nil || !runnable.SameProgram(s.Program.Path, self) {
			return false
		}
		errs = append(errs, s.errorf("path", "%q is audisp-relay itself, which would start itself over and over: must be another program", s.Program.Path))
		return true
	})
	return errs
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
