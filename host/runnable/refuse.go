package runnable

import (
	"fmt"
	"sync/atomic"
)

// refused is why this process starts no program any more; nil: it may.
var refused atomic.Pointer[string]

// Refuse makes MayStart refuse every program from now on, in the whole process and for good. why ends
// with what to do.
func Refuse(why string) { refused.Store(&why) }

// Refused returns why this process starts no program, "" if it may.
func Refused() string {
	if why := refused.Load(); why != nil {
		return *why
	}
	return ""
}

// MayStart is Check for a program that this process is about to start.
func MayStart(path string) error {
	if why := Refused(); why != "" {
		return fmt.Errorf("%s: %s", path, why)
	}
	return Check(path)
}
