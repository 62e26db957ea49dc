// Package all has every type of sink in a program that imports it. Each registers itself, so
// that a new one is a folder beside this and a line below.
package all

import (
	_ "audisp-relay/sinks/file"
	_ "audisp-relay/sinks/nats"
	_ "audisp-relay/sinks/otlp"
	_ "audisp-relay/sinks/program"
	_ "audisp-relay/sinks/syslog"
	_ "audisp-relay/sinks/unix"
)
