package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// claims says which names and paths are taken, and by whom. Two writers of one
// path would tear each other's output apart, or take over each other's socket.
type claims struct {
	names    map[string]string // sink name to its origin
	paths    map[string]string // path to the key that names it
	spools   string            // the relay's own directory, "" for none
	reserved []Reserved        // for file sinks
}

func newClaims() *claims {
	return &claims{names: map[string]string{}, paths: map[string]string{}}
}

// addOwn claims what the relay itself writes: its log, and what is in run_dir
// and state_dir. auditd's log is not for sinks either, where it is known.
func (cl *claims) addOwn(c *Config, auditLogs []string) {
	cl.reserved = reserved(c, auditLogs)
	for _, r := range cl.reserved {
		if !r.Dir {
			cl.paths[r.Path] = r.Of
		}
	}
	cl.spools = filepath.Join(c.StateDir, "spool")
	for _, name := range []string{"control.sock", "metrics.sock", "state", "state.new"} {
		cl.paths[filepath.Join(c.RunDir, name)] = "the relay itself"
	}
	for _, name := range []string{"lock", "marker.key", "spool", "state.json", "state.json.new"} {
		cl.paths[filepath.Join(c.StateDir, name)] = "the relay itself"
	}
}

// reserved returns what no file sink may write, by whatever name: auditd's logs, the relay's own,
// and state_dir.
func reserved(c *Config, auditLogs []string) (list []Reserved) {
	add := func(path string, dir bool, of string) {
		path = filepath.Clean(path)
		if !slices.ContainsFunc(list, func(r Reserved) bool { return r.Path == path }) {
			list = append(list, Reserved{Path: path, Dir: dir, Of: of})
		}
	}
	if c.Recovery.LogFile != "" {
		add(c.Recovery.LogFile, false, "auditd (recovery.log_file)")
	}
	for _, path := range auditLogs {
		add(path, false, "auditd (log_file of auditd.conf)")
	}
	if filepath.IsAbs(c.Log.Output) {
		add(c.Log.Output, false, "log.output")
	}
	if c.Metrics.TextFile != "" {
		add(c.Metrics.TextFile, false, "metrics.text_file")
	}
	add(c.StateDir, true, "the relay itself (state_dir)")
	return list
}

// Has reports whether path is the file or one of its rotations, or in the directory.
func (r *Reserved) Has(path string) bool {
	if r.Dir {
		return path == r.Path || strings.HasPrefix(path, strings.TrimSuffix(r.Path, "/")+"/")
	}
	return filepath.Dir(path) == filepath.Dir(r.Path) && IsRotation(filepath.Base(path), filepath.Base(r.Path))
}

// IsRotation reports whether name is that of a file, or what a rotation makes of it: "audit.log.3",
// "audit.log.12.gz", "audit.log-20260102.xz".
func IsRotation(name, of string) bool {
	rest, ok := strings.CutPrefix(name, of)
	if !ok || rest == "" {
		return ok
	}
	for _, packed := range []string{".gz", ".xz", ".zst", ".bz2"} {
		rest = strings.TrimSuffix(rest, packed)
	}
	return rest == "" || (len(rest) > 1 && strings.ContainsRune(".-", rune(rest[0])) && strings.Trim(rest[1:], "0123456789-") == "")
}

func (cl *claims) add(s *Sink) {
	cl.names[s.Name] = s.Origin
	if s.Output != "" {
		cl.paths[s.Output] = "sinks." + s.Name
	}
}

// pathTaken says who has the sink's path, or "".
func (cl *claims) pathTaken(s *Sink) string {
	if cl.spools != "" && strings.HasPrefix(s.Output, cl.spools+"/") {
		return fmt.Sprintf("%q is in the directory of the spools, must be elsewhere", s.Output)
	}
	if owner, taken := cl.paths[s.Output]; taken {
		return fmt.Sprintf("%q is written by %s already, must be a path of its own", s.Output, owner)
	}
	if s.Files > 0 {
		for i := range cl.reserved {
			r := &cl.reserved[i]
			if r.Has(s.Output) {
				return fmt.Sprintf("%q is of the files of %s, must be elsewhere", s.Output, r.Of)
			}
		}
	}
	return ""
}

// taken says what is in the way of adding the sink, or "".
func (cl *claims) taken(s *Sink) string {
	if origin, named := cl.names[s.Name]; named {
		return fmt.Sprintf("there is a sink %q already (%s), rename one of them", s.Name, origin)
	}
	return cl.pathTaken(s)
}

// checkPaths reports the sinks whose path is taken. Of two sinks the later one
// in the file is the wrong one.
func (d *document) checkPaths(c *Config, auditLogs []string) {
	cl := newClaims()
	d.checkLog(c, auditLogs)
	cl.addOwn(c, auditLogs)
	inFile := slices.Clone(c.Sinks)
	slices.SortStableFunc(inFile, func(a, b Sink) int {
		return d.lines.of("sinks", a.Name) - d.lines.of("sinks", b.Name)
	})
	for _, s := range inFile {
		if why := cmp.Or(cl.pathTaken(&s), rotatedBy(c.Sinks, s.Output)); why != "" {
			d.errorf(toml.Key{"sinks", s.Name, "path"}, "%s", why)
			continue
		}
		cl.add(&s)
	}
}

// checkLog reports a log of the relay's own that is auditd's, or that a sink will rotate away.
func (d *document) checkLog(c *Config, auditLogs []string) {
	path := filepath.Clean(c.Log.Output)
	if !filepath.IsAbs(path) {
		return
	}
	if c.Recovery.LogFile != "" {
		auditLogs = append(slices.Clone(auditLogs), c.Recovery.LogFile)
	}
	why := rotatedBy(c.Sinks, path)
	for _, log := range auditLogs {
		if r := (&Reserved{Path: filepath.Clean(log)}); r.Has(path) {
			why = fmt.Sprintf("%q is auditd's own log, must be elsewhere", path)
		}
	}
	if why != "" {
		d.errorf(toml.Key{"log", "output"}, "%s", why)
		c.Log.Output = globals().Log.Output
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
		if n < s.Files && s.Output == strings.TrimSuffix(name, ext) {
			return fmt.Sprintf("%q is the name of a rotated file of sinks.%s, must be a path of its own", path, s.Name)
		}
	}
	return ""
}
