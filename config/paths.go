package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// claims says which names and paths are taken, and by what. Two writers of one
// path would tear each other's output apart, or take over each other's socket.
type claims struct {
	names    map[string]string // where each sink was configured, by its name
	paths    map[string]string // which key names each path that is written
	reads    map[string]string // which part of the configuration has each file that is read, by its path
	spools   string            // the directory of the spools, "" for none
	reserved []Reserved        // what no file sink may write, by whatever name
}

func newClaims() *claims {
	return &claims{names: map[string]string{}, paths: map[string]string{}, reads: map[string]string{}}
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
	cl.addReads(c)
}

// addReads claims the files that the relay reads: a sink would append to them, and so change what the relay does, or rename them.
func (cl *claims) addReads(c *Config) {
	add := func(of string, paths ...string) {
		for _, path := range paths {
			if path != "" {
				cl.reads[filepath.Clean(path)] = of
			}
		}
	}
	if path, err := filepath.Abs(c.File); err == nil && c.File != "" {
		add("the configuration", path)
	}
	add("[metrics]", c.Metrics.CertFile, c.Metrics.KeyFile)
	for _, l := range c.Rules.Lists() {
		add("[rules]", l.Path())
	}

	for i := range c.Sinks {
		s := &c.Sinks[i]
		add("sinks."+s.Name, s.Lists...)
		if r, ok := s.Settings.(Reader); ok {
			add("sinks."+s.Name, r.Reads()...)
		}
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
	for _, r := range auditdFiles(c, auditLogs) {
		add(r.Path, false, r.Of)
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

// auditdFiles returns auditd's logs, which neither a sink nor the relay's own log may write.
func auditdFiles(c *Config, auditLogs []string) (list []Reserved) {
	if c.Recovery.LogFile != "" {
		list = append(list, Reserved{Path: filepath.Clean(c.Recovery.LogFile), Of: "auditd (recovery.log_file)"})
	}
	for _, path := range auditLogs {
		list = append(list, Reserved{Path: filepath.Clean(path), Of: "auditd (log_file of auditd.conf)"})
	}
	return list
}

// Is reports whether path leads to the file or to one of its rotations, by whatever name: through a link or a bind mount a file has
// names that the check of the configuration could not compare. A path that cannot be looked at leads to none.
func (r *Reserved) Is(path string) bool {
	if sameFile(filepath.Dir(path), filepath.Dir(r.Path)) && IsRotation(filepath.Base(path), filepath.Base(r.Path)) {
		return true
	}
	return sameFile(path, r.Path)
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
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
	if of, read := cl.reads[s.Output]; read {
		return fmt.Sprintf("%q is read as a file of %s, must be a path of its own", s.Output, of)
	}
	if owner, taken := cl.paths[s.Output]; taken {
		return fmt.Sprintf("%q is written by %s already, must be a path of its own", s.Output, owner)
	}
	if s.Files > 0 {
		return cl.fileReserved(s)
	}
	return ""
}

// fileReserved says which reserved file a file sink would write, by its own name or by that of a rotated file, or "".
func (cl *claims) fileReserved(s *Sink) string {
	for i := range cl.reserved {
		r := &cl.reserved[i]
		if r.Has(s.Output) {
			return fmt.Sprintf("%q is of the files of %s, must be elsewhere", s.Output, r.Of)
		}
		if !r.Dir && RotatesTo(s.Output, s.Files, r.Path) {
			return fmt.Sprintf("%q is rotated to %q, which is of the files of %s: must have another name", s.Output, r.Path, r.Of)
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

// checkLog reports a [log] output that is auditd's log, a file that the relay itself writes or reads, or the name of a file that a
// sink rotates. The default takes its place.
func (d *document) checkLog(c *Config, auditLogs []string) {
	path := filepath.Clean(c.Log.Output)
	if !filepath.IsAbs(path) {
		return
	}
	cl, others := newClaims(), *c
	others.Log.Output = ""
	cl.addOwn(&others, nil)
	why := cmp.Or(rotatedBy(c.Sinks, path), cl.pathTaken(&Sink{Output: path, Files: 1}))
	for _, r := range auditdFiles(c, auditLogs) {
		if r.Has(path) {
			why = fmt.Sprintf("%q is auditd's own log, must be elsewhere", path)
		}
	}
	if why != "" {
		d.errorf(toml.Key{"log", "output"}, "%s", why)
		c.Log.Output = globals().Log.Output
	}
}

// RotatesTo reports whether a file sink renames one of its files to the name to. name is that of its live file, and files is how many
// it keeps, that one included.
func RotatesTo(name string, files int, to string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(to, ".gz"), name+".")
	n, err := strconv.Atoi(rest)
	return ok && err == nil && strconv.Itoa(n) == rest && n >= 1 && n < files
}

// rotatedBy says which sink renames its files to path, and removes them there, or "".
func rotatedBy(sinks []Sink, path string) string {
	for i := range sinks {
		s := &sinks[i]
		if RotatesTo(s.Output, s.Files, path) {
			return fmt.Sprintf("%q is the name of a rotated file of sinks.%s, must be a path of its own", path, s.Name)
		}
	}
	return ""
}
