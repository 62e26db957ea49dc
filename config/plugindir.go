package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/host/runnable"
	"audisp-relay/host/trusted"
)

// loadPluginDir turns the active plugins of an audispd-style plugins.d into
// sinks, sorted by name: builtin_af_unix into a unix sink, builtin_syslog
// into a syslog sink, everything else into a program sink. A sink's name is
// that of its conf without ".conf". Settings for all of them come from the
// audispd.conf in the directory above, where there is one, and else from
// base.
//
// self is the path of this program: a conf that starts it is skipped, or
// the relay would feed itself. "" leaves that out.
//
// A plugin that cannot be run costs a line in the warnings, as in audispd. An
// error means that the directory cannot be read or, as Errors, that plugins
// take names or paths that base's sinks have; the sinks beside it are those of
// the other plugins.
func loadPluginDir(dir string, base *Config, self string) ([]Sink, []string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, nil, fmt.Errorf("read plugin directory: %w", err)
	}
	r := pluginReader{base: base, self: self, ofBase: newClaims(), ofDir: newClaims()}
	r.common, r.warns = loadAudispd(dir, base)
	r.ofBase.addOwn(base, nil)
	for i := range base.Sinks {
		r.ofBase.add(&base.Sinks[i])
	}
	for _, e := range entries {
		if r.selected(e.Name()) {
			r.read(filepath.Join(dir, e.Name()))
		}
	}
	slices.SortFunc(r.sinks, func(a, b Sink) int { return strings.Compare(a.Name, b.Name) })
	return r.sinks, r.warns, r.errs.sorted()
}

// pluginReader is one pass over a plugins.d.
type pluginReader struct {
	base   *Config
	common audispd
	self   string
	ofBase *claims // names and paths of base's sinks
	ofDir  *claims // names and paths of the plugins read so far
	sinks  []Sink
	warns  []string
	errs   Errors
}

// selected says whether auditd would read a file of that name: no leading
// dot, not more than one dot and, since audit 4.0.3, no other suffix than
// .conf. Earlier versions start editors' backups as second copies.
func (r *pluginReader) selected(name string) bool {
	if strings.HasPrefix(name, ".") || strings.Count(name, ".") > 1 {
		return false
	}
	if ext := filepath.Ext(name); ext != "" && ext != ".conf" {
		r.warns = append(r.warns, fmt.Sprintf("skipped %q in the plugin directory: its name does not end in .conf", name))
		return false
	}
	return true
}

// read adds the plugin of one conf.
func (r *pluginReader) read(path string) {
	s, warns, err := r.load(path)
	r.warns = append(r.warns, warns...)
	switch {
	case err != nil:
		r.skip(path, err)
	case s == nil:
	case r.ofBase.taken(s) != "":
		r.errs = append(r.errs, &Error{File: path, Msg: r.ofBase.taken(s)})
	case r.ofDir.taken(s) != "": // between plugins the first one wins
		r.skip(path, r.ofDir.taken(s))
	default:
		r.ofDir.add(s)
		r.sinks = append(r.sinks, *s)
	}
}

// skip says in audispd's words that a plugin is left out.
func (r *pluginReader) skip(path string, why any) {
	r.warns = append(r.warns, OneLine(fmt.Sprintf("Skipping %q plugin due to errors: %v", filepath.Base(path), why)))
}

// load reads one conf. It gives no sink for a plugin that is not active
// or is this program itself.
func (r *pluginReader) load(path string) (*Sink, []string, error) {
	p, err := openPlugin(path)
	if err != nil || p.active != "yes" || p.runs(r.self) {
		return nil, nil, err
	}

	p.warnOfArgs()
	s := newPluginSink(p, &r.common)
	if err := p.fill(s, &r.common); err != nil {
		return nil, p.warns, err
	}
	if s.Format == "binary" {
		s.Frames = "auto" // what reads them was written for this auditd
	}

	if s.NodeRawOnly && s.Format == "binary" {
		s.NameFormat, s.NodeName = "none", "" // audispd names hosts in text only
	}
	return s, p.warns, nil
}

// openPlugin reads the conf of a plugin, active or not.
func openPlugin(path string) (*pluginConf, error) {
	data, info, err := trusted.Read(path, maxPluginConf, 0o002)
	if err != nil {
		return nil, err
	}
	p, bad := parsePluginConf(path, data)
	if bad != nil {
		return nil, bad
	}
	if p.active == "yes" && info.Mode().Perm()&0o020 != 0 {
		p.warnf(0, "", "is writable by its group: audit 4.2 and later refuse it, run chmod g-w")
	}
	return p, nil
}

// warnOfArgs says that there are more arguments than some auditd gives the plugin.
func (p *pluginConf) warnOfArgs() {
	if len(p.args) > 2 {
		p.warnf(p.argsLine, "args", "%d arguments: audit before 3.1.3 passes on two", len(p.args))
	}
}

// runs says whether the plugin is the program at self.
func (p *pluginConf) runs(self string) bool {
	return !isBuiltin(p.path) && runnable.SameProgram(p.path, self)
}

// newPluginSink gives a sink without a type for a conf.
func newPluginSink(p *pluginConf, common *audispd) *Sink {
	s := newSink(pluginName(p.name), &common.Config)
	s.Format = p.format
	s.NodeRawOnly = common.rawOnly
	s.Origin = fmt.Sprintf("%s:%d", p.confFile.name, p.pathLine)
	return &s
}

// pluginName makes a sink's name of a conf's. What cannot be in one becomes _.
func pluginName(path string) string {
	name := strings.Map(func(r rune) rune {
		if sinkRune(r) {
			return r
		}
		return '_'
	}, strings.TrimSuffix(filepath.Base(path), ".conf"))
	return name[:min(len(name), 64)]
}

// fill gives the sink its type.
func (p *pluginConf) fill(s *Sink, common *audispd) error {
	switch strings.ToLower(p.path) {
	case "builtin_af_unix":
		return p.fillUnix(s)
	case "builtin_syslog":
		return p.fillSyslog(s)
	}
	if isBuiltin(p.path) {
		return p.errorf(p.pathLine, "path", "there is no %q, must be builtin_af_unix, builtin_syslog or a program", p.path)
	}
	if p.kind == "builtin" {
		p.warnf(p.pathLine, "path", "type = builtin with the path of a program means always")
	}
	if err := checkBinary(p.path); err != nil {
		return p.errorf(p.pathLine, "path", "%v", err)
	}
	return p.fillProgram(s, common)
}

// fillProgram is for a program, which the caller has checked.
func (p *pluginConf) fillProgram(s *Sink, common *audispd) error {
	args := make([]any, len(p.args))
	for i, arg := range p.args {
		args[i] = arg
	}
	return p.take(s, "program", map[string]any{"path": p.path, "args": args, "max_restarts": int64(common.maxRestarts)})
}

// take gives the sink its type, with the keys and values that come to the same as the conf.
func (p *pluginConf) take(s *Sink, kind string, vals map[string]any) error {
	if p.filter != "" {
		vals["filter"] = p.filter
	}
	s.Type, p.vals = kind, vals
	if err := readMade(s, vals); err != nil {
		return p.errorf(p.pathLine, "path", "%v", err)
	}
	return nil
}

// fillUnix reads the arguments of builtin_af_unix: an octal mode and a path in
// any order, as audit 2.8 does; and what audisp-af_unix takes after them, the
// format (audit 4.0.3) and the depth of its queue (4.1.2). Without arguments
// the defaults are those of audisp-af_unix.
//
// Like there, a slow client loses records, and without a client nothing is kept.
func (p *pluginConf) fillUnix(s *Sink) error {
	vals := map[string]any{"mode": "0640", "group": "root", "slow_client": "drop", "when_idle": "discard"}
	numbers := 0
	for _, arg := range p.args {
		switch {
		case isDigits(arg) && numbers == 0:
			if _, err := parseMode(arg); err != nil {
				return p.errorf(p.argsLine, "args", "%v", err)
			}
			vals["mode"], numbers = arg, 1
		case isDigits(arg) && numbers == 1:
			depth, err := strconv.Atoi(arg)
			if err != nil || depth < 1 || depth > maxQDepth {
				return p.errorf(p.argsLine, "args", "%q is not a queue depth, must be 1 to %d", arg, maxQDepth)
			}
			s.QDepth, numbers = depth, 2
		case arg == "string" || arg == "binary":
			s.Format = arg
		case vals["path"] == nil:
			if err := SocketPath(arg); err != nil {
				return p.errorf(p.argsLine, "args", "the socket's path %v", err)
			}
			vals["path"] = arg
		default:
			return p.errorf(p.argsLine, "args", "%q is one too many, must be an octal mode and a path", arg)
		}
	}

	if vals["path"] == nil {
		vals["path"] = "/var/run/audispd_events"
		p.warnf(p.argsLine, "args", "no path for the socket, taking %s", vals["path"])
	}
	return p.take(s, "unix", vals)
}

// fillSyslog reads the arguments of builtin_syslog and audisp-syslog: names of a priority and
// a facility in any order and case. The tag is what each of them has as ident.
func (p *pluginConf) fillSyslog(s *Sink) error {
	vals := map[string]any{"tag": "audispd"}
	for _, arg := range p.args {
		word, isName := strings.CutPrefix(strings.ToLower(arg), "log_")
		switch {
		case isName && slices.Contains(builtinSeverities, word):
			vals["severity"] = word
		case isName && slices.Contains(builtinFacilities, word):
			vals["facility"] = word
		default:
			return p.errorf(p.argsLine, "args", "%q is not allowed, must be a priority (LOG_INFO) or a facility (LOG_USER, LOG_LOCAL0)", arg)
		}
	}
	if s.Format != "string" {
		p.warnf(0, "format", "%s writes text whatever the format is", filepath.Base(p.path))
		s.Format = "string"
	}

	s.DropEOE = isBuiltin(p.path)
	if facility := vals["facility"]; !isBuiltin(p.path) && (facility == nil || facility == "user") {
		vals["tag"] = "audisp-syslog"
	}
	return p.take(s, "syslog", vals)
}

// The names that audispd knew, without LOG_.
var (
	builtinSeverities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	builtinFacilities = []string{"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
		"auth", "authpriv", "daemon", "syslog", "user"}
)

// checkBinary holds a plugin's program to the rules of all programs and to auditd's own:
// that owner and group may read and execute it (mode 0550, audit 4.0.4; before 0750).
func checkBinary(path string) error {
	if err := runnable.Check(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if perm := info.Mode().Perm(); perm&0o550 != 0o550 {
		return fmt.Errorf("%s has mode %04o, must contain 0750: run chmod 0750 %s", path, perm, path)
	}
	return nil
}
