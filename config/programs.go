package config

import (
	"os"

	"github.com/BurntSushi/toml"

	"audisp-relay/host/runnable"
)

// refuseSelf reports the sinks whose program is the relay itself: each child would
// read the same configuration and start the next.
func (d *document) refuseSelf(c *Config) {
	self, err := os.Executable()
	if err != nil {
		return // no /proc: then nothing can be said about our own binary
	}
	for _, s := range c.Sinks {
		if s.Program != "" && runnable.SameProgram(s.Program, self) {
			d.errorf(toml.Key{"sinks", s.Name, "path"}, "%q is audisp-relay itself, which would start itself over and over: must be another program", s.Program)
		}
	}
}
