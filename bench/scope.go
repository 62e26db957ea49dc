package main

import (
	"errors"
	"fmt"
	"os"
)

// scope is a lab.TB outside of go test: it collects clean-ups and runs them
// when its function ends, however that is.
type scope struct {
	name     string
	cleanups []func()
	failed   error
}

// stop unwinds a scope; nothing else is recovered.
type stop struct{ err error }

// inScope runs fn and returns what it failed or was skipped with.
func inScope(name string, fn func(t *scope)) (err error) {
	t := &scope{name: name}
	defer func() { err = t.end(recover()) }()
	fn(t)
	return nil
}

// end runs the clean-ups, last one first; each may fail as well.
func (t *scope) end(reason any) error {
	t.note(reason)
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		fn := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		func() {
			defer func() { t.note(recover()) }()
			fn()
		}()
	}
	return t.failed
}

func (t *scope) note(reason any) {
	if reason == nil {
		return
	}
	s, ok := reason.(stop)
	if !ok {
		s.err = fmt.Errorf("panic: %v", reason)
	}
	t.failed = errors.Join(t.failed, s.err)
}

func (t *scope) Helper() {}

func (t *scope) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", t.name, fmt.Sprintf(format, args...))
}

func (t *scope) Errorf(format string, args ...any) {
	t.failed = errors.Join(t.failed, fmt.Errorf(format, args...))
}

func (t *scope) Fatalf(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

func (t *scope) Fatal(args ...any) { panic(stop{errors.New(fmt.Sprint(args...))}) }

func (t *scope) Skipf(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

func (t *scope) Cleanup(fn func()) { t.cleanups = append(t.cleanups, fn) }
