package config_test

import (
	"errors"
	"fmt"

	"audisp-relay/config"
	_ "audisp-relay/sinks/all" // the types of sink
)

// Of a file with errors the part that is right comes along, and each error with its place.
func ExampleParse() {
	text := `
q_depth = "many"

[sinks.local]
type = "unix"
path = "/run/relay.sock"

[sinks.archive]
type = "file"
path = "/var/log/events"
max_sise = "64MiB"
`
	c, err := config.Parse("relay.toml", []byte(text))

	var errs config.Errors
	if errors.As(err, &errs) {
		for _, e := range errs {
			fmt.Printf("line %d, %s\n", e.Line, e.Key)
		}
	}
	for _, s := range c.Sinks {
		fmt.Println(s.Name, "can run, with a queue of", s.QDepth)
	}
	// Output:
	// line 2, q_depth
	// line 11, sinks.archive.max_sise
	// local can run, with a queue of 16384
}
