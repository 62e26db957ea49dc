package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"audisp-relay/host/broker"
)

// stateFiles is where auditd writes its state report: since 4.1.2, and before.
var stateFiles = []string{"/run/audit/auditd.state", "/var/run/auditd.state"}

// AuditdState is what auditd says of itself, on a SIGCONT or every report_interval. What a
// report lacks is zero: older versions say less, and a reader may find a part of one.
type AuditdState struct {
	File                    string
	Written                 time.Time
	Version                 string
	Plugins                 int // active, whether or not they run
	Queue, MaxQueue, Depth  int // records that wait for plugins: now, at most so far, and q_depth
	Overflowed              bool
	QueueSuspended          bool // nothing is given to plugins
	LogSuspended            bool // nothing is written to the log
	DiskError               bool
	SpaceAction, AdminSpace bool // space_left_action and admin_space_left_action were performed
}

// ReadState reads the newer one of auditd's state reports as it is; fs.ErrNotExist when there is
// none. It makes auditd write nothing.
func (m Machine) ReadState() (AuditdState, error) {
	if monitor := broker.Monitor(); monitor != nil && m.Root == "" {
		return ask[AuditdState](monitor, opState, nil)
	}

	var newest AuditdState
	var errs []error
	for _, path := range stateFiles {
		text, err := readRegular(m.path(path))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		s := parseState(text)
		s.File = path
		if info, err := os.Stat(m.path(path)); err == nil {
			s.Written = info.ModTime()
		}
		if newest.File == "" || s.Written.After(newest.Written) {
			newest = s
		}
	}

	switch {
	case newest.File != "":
		return newest, nil
	case len(errs) > 0:
		return newest, fmt.Errorf("read auditd's state report: %w", errors.Join(errs...))
	}
	return newest, fmt.Errorf("read auditd's state report: %w", fs.ErrNotExist)
}

// parseState reads the text of a state report (write_queue_state in audisp/queue.c,
// write_logging_state in src/auditd-event.c).
func parseState(text []byte) (s AuditdState) {
	numbers := map[string]*int{
		"Number of active plugins": &s.Plugins, "current plugin queue depth": &s.Queue,
		"max plugin queue depth used": &s.MaxQueue, "plugin queue size": &s.Depth,
	}
	words := map[string]*bool{
		"plugin queue overflow detected": &s.Overflowed, "plugin queueing suspended": &s.QueueSuspended,
		"logging suspended": &s.LogSuspended, "disk error detected": &s.DiskError,
		"file system space action performed": &s.SpaceAction, "admin space action performed": &s.AdminSpace,
	}

	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), " = ")
		if !ok {
			continue
		}
		if to := words[key]; to != nil {
			*to = value == "yes"
		}
		if to := numbers[key]; to != nil {
			// Up to 4.0.4 the present depth may have gone below 0, which is printed as 4294967295.
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				*to = int(n)
			}
		}
		if key == "audit version" {
			s.Version = value
		}
	}
	return s
}
