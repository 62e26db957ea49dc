package program

import (
	"fmt"
	"time"

	"audisp-relay/sinks"
)

// Once runs a program without arguments or input, otherwise as a sink runs one, and waits for its
// end: what of its process group is left after limit, or when hurry is closed, is ended. The error
// says why it was not started, or how it ended if not with status 0.
func Once(path string, limit time.Duration, hurry <-chan struct{}) error {
	c, err := startChild(ActionItem, Config{Path: path})
	if err != nil {
		return err
	}
	if _, err := c.finish(limit, hurry); err != nil {
		return fmt.Errorf("run %s: %w", path, err)
	}
	switch {
	case c.status == "exit status 0":
		return nil
	case sinks.IsClosed(hurry):
		return fmt.Errorf("run %s: %s: it was ended with the relay", path, c.how())
	case c.age() >= limit:
		return fmt.Errorf("run %s: %s: it was ended after %v, which is how long it may take", path, c.how(), limit)
	}
	return fmt.Errorf("run %s: %s: see what it does when it is started by hand", path, c.how())
}
