package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/plugin/top"
)

// Find returns the run_dir of the plugin that runs on this machine, whatever its configuration.
// The error is ErrNotRunning where none runs; where several do it names them, and where only
// some can be seen it says why.
func Find() (dir string, err error) {
	relays, err := host.Machine{}.RunningRelays(controlName)
	if err != nil {
		return "", err
	}
	return chooseRunDir(relays)
}

// chooseRunDir is Find for relays that are known.
func chooseRunDir(relays []host.Running) (dir string, err error) {
	if len(relays) == 0 {
		return "", noRelay{}
	}

	var dirs, all []string
	var hidden error
	for _, r := range relays {
		seen := "without a control socket"
		if r.Hidden != nil {
			hidden, seen = r.Hidden, "with a run_dir that only root may see"
		}
		if len(r.Sockets) > 0 {
			dir = filepath.Dir(r.Sockets[0])
			dirs = append(dirs, dir)
			seen = "with --run-dir " + dir
		}
		all = append(all, fmt.Sprintf("pid %d %s", r.PID, seen))
	}
	switch {
	case len(relays) > 1:
		return "", fmt.Errorf("%d relays run (%s): name one with --run-dir", len(relays), strings.Join(all, ", "))
	case len(dirs) == 1:
		return dirs[0], nil
	case hidden != nil:
		return "", fmt.Errorf("a relay runs (pid %d), and only root may ask it: %w", relays[0].PID, hidden)
	}
	return "", fmt.Errorf("a relay runs (pid %d) without a control socket: %w", relays[0].PID, errNoControl)
}

// noRelay is ErrNotRunning where no run_dir was asked for.
type noRelay struct{}

func (noRelay) Error() string {
	return "no audisp-relay runs here: `audisp-relay install` makes auditd start it"
}

func (noRelay) Is(target error) bool { return target == ErrNotRunning }

// Client asks a plugin again and again, and finds it again when it was started with another
// run_dir. It is for one goroutine at a time.
type Client struct {
	// RunDir is that of the plugin. Where it is empty the one of the default configuration is
	// tried, and then whichever relay runs.
	RunDir string

	found string // run_dir of the relay that was found, "" before
}

// Report is Query of the plugin.
func (c *Client) Report() (r *Report, err error) {
	err = c.ask(func(dir string) error {
		r, err = Query(dir)
		return err
	})
	return r, err
}

// Top is QueryTop of the plugin.
func (c *Client) Top() (r *top.Report, err error) {
	err = c.ask(func(dir string) error {
		r, err = QueryTop(dir)
		return err
	})
	return r, err
}

// ask asks the plugin, by its run_dir.
func (c *Client) ask(query func(dir string) error) error {
	if c.RunDir != "" {
		return query(c.RunDir)
	}
	err := query(cmp.Or(c.found, config.DefaultRunDir))
	if !errors.Is(err, ErrNotRunning) {
		return err
	}
	dir, err := Find()
	if err != nil {
		return err
	}
	c.found = dir
	return query(dir)
}

// errNoControl is what a plugin has that could not make its socket.
var errNoControl = errors.New("its log says why (`no control socket`), unless it runs in a container")
