package program

import (
	"fmt"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
	"audisp-relay/sinks"
)

// Config is a child with the stream on its stdin.
type Config struct {
	Path        string   // absolute
	Args        []string // argv[1:]
	MaxRestarts int      // restarts before the sink counts as degraded
	User        string   // name or number of the user that it runs as; "" means the relay's
}

func init() {
	sinks.Register(sinks.Kind{Kind: config.Kind{Name: "program", Frames: "auto", Read: read}, New: New, Warden: newWarden, Try: try, Details: func() sinks.Details { return new(Details) }})
}

// read reads the keys of a sink of type program.
func read(t *config.Table, s *config.Sink) config.Settings {
	c := &Config{MaxRestarts: config.DefaultRestarts}
	t.Str("user", &c.User, config.EmptyOr(config.Account))
	t.Required("path", "the absolute path of the program")
	t.Str("path", &c.Path, config.FilePath)
	t.Strings("args", &c.Args)
	t.Integer("max_restarts", &c.MaxRestarts, 0, config.MaxRestarts)

	s.Program = c.Path
	return c
}

// Survey implements config.Settings.
func (c *Config) Survey(s *config.Surveyor) {
	if s.Present("path", c.Path, "records wait until it is: install it, or correct path") {
		if err := runnable.Check(c.Path); err != nil {
			s.Errorf("path", "%v", err)
		}
	}
	if c.User == "" {
		return
	}
	if _, err := account(c.User); err != nil {
		s.Errorf("user", "%v", err)
	}
}

// account returns the user that a program runs as, by name or number. That is not the worker's: a program that parses records could
// end each worker before it begins, so that the next record would be parsed by root, and write what the spools hold.
func account(name string) (*runnable.Account, error) {
	a, err := runnable.LookUp(name)
	if err == nil && broker.IsWorker(int(a.UID)) {
		return nil, fmt.Errorf("%s is the relay's own user, whose spools and processes a program is not to change: useradd --system another one", name)
	}
	return a, err
}
