package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"audisp-relay/host/runnable"
)

// NoAction is the name of no action.
const NoAction = "ignore"

// execAction stands before the path of the program that an action runs.
const execAction = "exec "

// Bounds of after. One failed attempt is no failure that lasts.
const (
	minAfter = time.Second
	maxAfter = 7 * 24 * time.Hour
)

// Bounds of warn_at, in percent. An empty spool may keep a file of an eighth of max_size, and
// one that is full to the last byte there never is.
const (
	minWarnAt = 25
	maxWarnAt = 95
)

// ExecPath returns the path of the program that an action runs, "" where it runs none.
func ExecPath(action string) string {
	path, runs := strings.CutPrefix(action, execAction)
	if !runs {
		return ""
	}
	return path
}

func wantAction() string { return quoted(overflowActions) + `, or "exec /path/of/program"` }

// failureAction accepts what can be done about a failure.
func failureAction(s string) error {
	path, runs := strings.CutPrefix(s, execAction)
	switch {
	case !runs && !slices.Contains(overflowActions, s):
		return fmt.Errorf("%q is not allowed, must be %s", s, wantAction())
	case runs && strings.ContainsAny(path, " \t\r\n"):
		return fmt.Errorf("%q is more than the path of a program: it gets no arguments, write a script that has them", path)
	case runs:
		return FilePath(path)
	}
	return nil
}

// action reads what is done about a failure of s, whose queue has been read.
func (t *Table) action(name string, dst *string, s *Sink) {
	t.word(name, wantAction(), dst, failureAction)
	if *dst == "suspend" && s.QOS == "lossless" {
		t.Errorf(name, `"suspend" with qos = "lossless" would stop the host when the queue is full: set qos = "lossy" or another action`)
	}
}

// networkFailure is the key of what is done when a server is not reached.
const networkFailure = "network_failure_action"

// NetworkFailure reads what is done when the server of a sink, or the collector that it connects to, has not been reached for long.
func (t *Table) NetworkFailure(s *Sink) { t.action(networkFailure, &s.NetworkFailureAction, s) }

// diskFull reads what is done when the disk of a sink is full for long, and for how long any
// failure has to last.
func (t *Table) diskFull(s *Sink) {
	t.action("disk_full_action", &s.DiskFullAction, s)
	t.Duration("after", &s.After, minAfter, maxAfter)
}

// checkDisk reports an action about a disk that a sink does not use.
func (t *Table) checkDisk(s *Sink) {
	if s.DiskFullAction != NoAction && s.Spool.MaxSize == 0 && s.Files == 0 {
		t.Errorf("disk_full_action", `has no effect, since the sink has no spool: give it one, or set "ignore"`)
	}
}

// Duration reads a time within bounds, both included.
func (t *Table) Duration(name string, dst *time.Duration, low, high time.Duration) {
	want := fmt.Sprintf(`a time like "10m", "90s" or "1h30m", from %q to %q`, timeText(low), timeText(high))
	t.word(name, want, new(string), func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < low || d > high {
			return fmt.Errorf("%q must be %s", s, want)
		}
		*dst = d
		return nil
	})
}

// timeText writes a time as configurations have it: "168h", not "168h0m0s".
func timeText(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

var wantWarnAt = fmt.Sprintf(`a share of max_size from "%d%%" to "%d%%", or "off"`, minWarnAt, maxWarnAt)

// warnAt reads from which percentage of a spool on it is warned of; 0 is never.
func (t *Table) warnAt(dst *int) {
	t.word("warn_at", wantWarnAt, new(string), func(s string) error {
		if s == "off" || s == "0" {
			*dst = 0
			return nil
		}
		digits, percent := strings.CutSuffix(s, "%")
		n, err := strconv.Atoi(digits)
		if !percent || !isDigits(digits) || err != nil || n < minWarnAt || n > maxWarnAt {
			return fmt.Errorf("%q must be %s", s, wantWarnAt)
		}
		*dst = n
		return nil
	})
}

// failures looks for the programs that are to be run.
func (s *Surveyor) failures(sink *Sink) {
	for _, a := range []struct{ key, action string }{
		{networkFailure, sink.NetworkFailureAction}, {"disk_full_action", sink.DiskFullAction},
	} {
		path := ExecPath(a.action)
		if path == "" || !s.Present(a.key, path, "the action has no effect until it is") {
			continue
		}
		if err := runnable.Check(path); err != nil {
			s.Errorf(a.key, "%v", err)
		}
	}
}
