// Package dropin carries the files that make auditd start the relay, so that
// the binary can install itself; see README.md beside it.
package dropin

import _ "embed"

// Relay is audisp-relay.conf: the drop-in for the plugin directory of auditd.
// It must not be changed.
//
//go:embed audisp-relay.conf
var Relay []byte
