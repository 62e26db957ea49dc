package plugin

import (
	"crypto/fips140"
	"runtime/debug"
	"sync"
)

// FIPSModule returns the version of the Go Cryptographic Module that this process runs in FIPS 140-3
// mode, "" outside of that mode. A program built with GOFIPS140 is in it from its start, without
// anything in the environment (go.dev/doc/security/fips140). "latest" is a module that is not validated:
// that of the Go release, of a program that GODEBUG has put into the mode.
func FIPSModule() string { return fipsModule() }

var fipsModule = sync.OnceValue(func() string {
	if !fips140.Enabled() {
		return ""
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "GOFIPS140" {
				return s.Value // v1.0.0-c2097c7c: which of several copies of v1.0.0 only this says
			}
		}
	}
	return fips140.Version()
})
