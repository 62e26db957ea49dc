package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// output gives the path a sink creates, or "".
func (s *Sink) output() string {
	switch {
	case s.Unix != nil && s.Unix.Path != "":
		return filepath.Clean(s.Unix.Path)
	case s.File != nil && s.File.Path != "":
		return filepath.Clean(s.File.Path)
	}
	return ""
}

// claims says which names and paths are taken, and by whom. Two writers of one
// path would tear each other's output apart, or take over each other's socket.
type claims struct {
	names  map[string]string // sink name to its origin
	paths  map[string]string // path to the key that names it
	spools string            // the relay's own directory, "" for none
}

func newClaims() *claims {
	return &claims{names: map[string]string{}, paths: map[string]string{}}
}

// addOwn claims what the relay itself writes: its log, and what is in run_dir
// and state_dir. auditd's log is not for sinks either, where it is known.
func (cl *claims) addOwn(c *Config) {
	cl.spools = filepath.Join(c.StateDir, "spool")
	for _, name := range []string{"control.sock", "state", "state.new"} {
		cl.paths[filepath.Join(c.RunDir, name)] = "the relay itself"
	}
	for _, name := range []string{"lock", "spool", "state.json", "state.json.new"} {
		cl.paths[filepath.Join(c.StateDir, name)] = "the relay itself"
	}
	if c.Recovery.LogFile != "" {
		cl.paths[filepath.Clean(c.Recovery.LogFile)] = "auditd (recovery.log_file)"
	}
	if filepath.IsAbs(c.Log.Output) {
		cl.paths[filepath.Clean(c.Log.Output)] = "log.output"
	}
}

func (cl *claims) add(s *Sink) {
	cl.names[s.Name] = s.Origin
	if path := s.output(); path != "" {
		cl.paths[path] = "sinks." + s.Name
	}
}

// nameTaken says who has the sink's name, or "".
func (cl *claims) nameTaken(s *Sink) string {
	if origin, taken := cl.names[s.Name]; taken {
		return fmt.Sprintf("there is a sink %q already (%s), rename one of them", s.Name, origin)
	}
	return ""
}

// pathTaken says who has the sink's path, or "".
func (cl *claims) pathTaken(s *Sink) string {
	if cl.spools != "" && strings.HasPrefix(s.output(), cl.spools+"/") {
		return fmt.Sprintf("%q is in the directory of the spools, must be elsewhere", s.output())
	}
	if owner, taken := cl.paths[s.output()]; taken {
		return fmt.Sprintf("%q is written by %s already, must be a path of its own", s.output(), owner)
	}
	return ""
}

// taken says what is in the way of adding the sink, or "".
func (cl *claims) taken(s *Sink) string {
	if why := cl.nameTaken(s); why != "" {
		return why
	}
	return cl.pathTaken(s)
}

// checkPaths reports the sinks whose path is taken. Of two sinks the later one
// in the file is the wrong one.
func (d *document) checkPaths(c *Config) {
	cl := newClaims()
	cl.addOwn(c)
	inFile := slices.Clone(c.Sinks)
	slices.SortStableFunc(inFile, func(a, b Sink) int {
		return d.lines.of("sinks", a.Name) - d.lines.of("sinks", b.Name)
	})
	for _, s := range inFile {
		why := cl.pathTaken(&s)
		if why == "" {
			why = rotatedBy(c.Sinks, s.output())
		}
		if why != "" {
			d.errorf(toml.Key{"sinks", s.Name, "path"}, "%s", why)
			continue
		}
		cl.add(&s)
	}
}

// rotatedBy says which sink will rename its own files to path and remove them
// there, or "".
func rotatedBy(sinks []Sink, path string) string {
	name := strings.TrimSuffix(path, ".gz")
	ext := filepath.Ext(name)
	n, err := strconv.Atoi(strings.TrimPrefix(ext, "."))
	if err != nil || n < 1 {
		return ""
	}
	for i := range sinks {
		s := &sinks[i]
		if s.File != nil && s.File.MaxSize > 0 && n < s.File.MaxFiles && s.output() == strings.TrimSuffix(name, ext) {
			return fmt.Sprintf("%q is the name of a rotated file of sinks.%s, must be a path of its own", path, s.Name)
		}
	}
	return ""
}
