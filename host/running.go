package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/host/sockdiag"
)

// Running is a relay that runs as a plugin, and the sockets of one name on which it listens.
type Running struct {
	PID     int
	Sockets []string // absolute paths, in the relay's view of the file system
	Hidden  error    // why its sockets cannot be seen, nil where they can
}

// RunningRelays lists the relays of this machine, and those of their listening sockets whose
// file is called socket. What a relay says of itself, its arguments and its name, is only used
// to find it: which socket is its own is what the kernel says. Processes of other users than
// root and ours are left out, since any user can run a program of that name.
func (m Machine) RunningRelays(socket string) ([]Running, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	all, err := m.processes(func(p process) bool {
		return p.PID != os.Getpid() && m.isOurs(p.PID) && (p.Comm == filepath.Base(DefaultBinary) || m.executes(p.PID, self))
	})
	if err != nil {
		return nil, fmt.Errorf("look for running relays: %w", err)
	}
	names, err := sockdiag.Listening()
	if err != nil {
		return nil, fmt.Errorf("look for the relays' sockets: %w", err)
	}

	var relays []Running
	for _, p := range all {
		if !isPlugin(p.Cmdline) {
			continue
		}
		relay := Running{PID: p.PID}
		relay.Sockets, relay.Hidden = m.socketsOf(p.PID, socket, names)
		if !errors.Is(relay.Hidden, fs.ErrNotExist) { // it has ended meanwhile
			relays = append(relays, relay)
		}
	}
	slices.SortFunc(relays, func(a, b Running) int { return a.PID - b.PID })
	return relays, nil
}

// isPlugin says whether a command line of this program has no command, which makes it the
// plugin.
func isPlugin(cmdline []string) bool {
	return len(cmdline) == 1 || (len(cmdline) > 1 && strings.HasPrefix(cmdline[1], "-"))
}

// isOurs says whether a process runs as root or as we do, and was started so: any user can start su under the name of a relay, with a
// socket that listens. The owner of its directory in /proc would not say: that is root for each process that hides its memory.
func (m Machine) isOurs(pid int) bool {
	status, err := os.ReadFile(m.procPath(pid, "status"))
	if err != nil {
		return false
	}

	for line := range bytes.Lines(status) {
		value, found := bytes.CutPrefix(line, []byte("Uid:"))
		if !found {
			continue
		}
		fields := strings.Fields(string(value)) // real, effective, saved, of the file system
		if len(fields) < 2 {
			return false
		}
		return !slices.ContainsFunc(fields[:2], func(id string) bool {
			uid, err := strconv.Atoi(id)
			return err != nil || (uid != 0 && uid != os.Geteuid())
		})
	}
	return false
}

// socketsOf lists the paths of the listening sockets of a process whose file is called base.
// names has those of all processes by inode.
func (m Machine) socketsOf(pid int, base string, names map[uint32]string) ([]string, error) {
	dir := m.procPath(pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}

	var paths []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		number, isSocket := strings.CutPrefix(target, "socket:[")
		inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
		if !isSocket || err != nil {
			continue
		}
		path := names[uint32(inode)] // sock_diag has 32 bits of it
		if filepath.IsAbs(path) && filepath.Base(path) == base && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}

	slices.Sort(paths)
	return paths, nil
}
