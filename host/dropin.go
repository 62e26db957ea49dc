package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DropInName is the relay's file in the plugin directory. auditd
// identifies plugins by this name.
const DropInName = "audisp-relay.conf"

// previousName keeps what lay in the place of the drop-in before. auditd reads
// no file whose name begins with a dot.
const previousName = "." + DropInName + ".old"

// dropIn is what the relay's file in the plugin directory says.
type dropIn struct {
	binary string
	config string // "" for the default
	format string
	active bool // as it was read
}

// render writes the drop-in after a template: the shipped file with its path,
// format and args lines set.
func (d dropIn) render(template []byte) ([]byte, error) {
	for _, path := range []string{d.binary, d.config} {
		if strings.ContainsAny(path, " \t\n") {
			return nil, fmt.Errorf("auditd takes no spaces in paths: rename %q", path)
		}
	}
	var out bytes.Buffer
	var seen int
	for line := range strings.Lines(string(template)) {
		switch key, _, _ := strings.Cut(line, " "); key {
		case "path":
			seen++
			line = "path = " + d.binary + "\n"
			if d.config != "" {
				line += "args = -c " + d.config + "\n"
			}
		case "format":
			seen++
			line = "format = " + d.format + "\n"
		case "args":
			continue
		}
		out.WriteString(line)
	}

	if seen != 2 {
		return nil, errors.New("the built-in drop-in has no path or format line: rebuild the program from its release")
	}
	if _, problems := parseConf(DropInName, out.Bytes()); len(problems) > 0 {
		return nil, fmt.Errorf("auditd would not read the drop-in: %s", strings.Join(problems, "; "))
	}
	return out.Bytes(), nil
}

// parseDropIn reads a drop-in, also one that an administrator has written.
func parseDropIn(data []byte) dropIn {
	var d dropIn
	settings, _ := parseConf(DropInName, data)
	for _, s := range settings {
		switch s.Key {
		case "active":
			d.active = strings.EqualFold(s.Value(), "yes")
		case "path":
			d.binary = s.Value()
		case "format":
			d.format = s.Value()
		case "args":
			if len(s.Values) == 2 && s.Values[0] == "-c" {
				d.config = s.Values[1]
			}
		}
	}
	return d
}

// writeFile puts a file in place at once or not at all: owner and group root,
// mode 0640.
func (m Machine) writeFile(path string, data []byte) error {
	s, err := m.stage(path, data)
	if err != nil {
		return err
	}
	return s.put()
}

// staged is a file that waits for its place. To put it there takes no room on the disk.
type staged struct{ temp, path string }

// stage writes a file for path beside it. Its temporary name begins with a dot, so that an auditd that
// reloads meanwhile does not take it for a plugin.
func (m Machine) stage(path string, data []byte) (s staged, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp*")
	if err != nil {
		return s, err
	}
	if m.owner == 0 {
		err = f.Chown(0, 0)
	}
	_, writeErr := f.Write(data)
	err = cmp.Or(err, f.Chmod(0o640), writeErr, f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return s, err
	}
	return staged{f.Name(), path}, nil
}

// put puts the file into its place, or removes it.
func (s staged) put() error {
	if err := os.Rename(s.temp, s.path); err != nil {
		s.drop()
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// drop removes a file that was not put into its place.
func (s staged) drop() { os.Remove(s.temp) }

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
