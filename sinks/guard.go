package sinks

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// PanicError is a panic that was caught: a fault of the program's, or of a library.
type PanicError struct {
	Fault any
	At    string // where, as in "sink.go:12"
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic at %s: %v: this is a fault in audisp-relay, please report it", e.At, e.Fault)
}

// Recovered is to be deferred: it makes the panic that it finds an error.
func Recovered(err *error) {
	if fault := recover(); fault != nil {
		*err = &PanicError{fault, PanicAt()}
	}
}

// Guard calls f. A panic in it becomes an error.
func Guard(f func() error) (err error) {
	defer Recovered(&err)
	return f()
}

// PanicAt returns where the panic that is being recovered from began. It is to be called by a
// deferred function.
func PanicAt() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	began := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if began && !inRuntime {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		began = began || f.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}
