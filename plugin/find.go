package plugin

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"audisp-relay/host"
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
		return "", fmt.Errorf("%w with any run_dir: no process of this machine is a relay", ErrNotRunning)
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

// errNoControl is what a plugin has that could not make its socket.
var errNoControl = errors.New("its log says why (`no control socket`)")
