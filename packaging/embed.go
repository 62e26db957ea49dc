// Package packaging carries the files that packages install, for those who
// install without a package.
package packaging

import _ "embed"

// SampleConfig is audisp-relay.toml: every key with its default. It must not
// be changed.
//
//go:embed audisp-relay.toml
var SampleConfig []byte
