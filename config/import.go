package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"audisp-relay/host/trusted"
)

// ImportFrom says what Import reads, and which program the result is for.
type ImportFrom struct {
	PluginDir string // auditd's plugin directory; the plugins' own files are in the one above
	Settings  string // auditd.conf, or audispd.conf of audit 2.x: it need not be there
	Audispd   bool   // it is the latter
	File      string // the name of the configuration, for messages and its first line
	Self      string // this program, "" if it is not known
	AllArgs   bool   // this auditd is known to give its plugins all their args
}

// Imported is a configuration that does what auditd's plugins are configured to do.
type Imported struct {
	Text    []byte   // TOML; each key has a comment that says where it comes from
	Config  *Config  // what Parse makes of it
	DropIns []string // the plugins' files that it takes over
	Notes   []string // what is not carried over, or otherwise than it was: a line each, in the text too
}

// Import turns the active plugins of a plugin directory into sinks, as loadPluginDir does, but into
// the text of a configuration that no longer needs these files; only programs still read their
// own. Beside audispd's builtins it knows the programs that took their place, audisp-af_unix and
// audisp-syslog, and the conditions of audisp-filter that a filter can say exactly.
//
// A plugin that cannot be taken over costs a note. If that leaves none the error is
// ErrNothingToImport, with the notes beside it. Without an error Parse takes the text.
func Import(from ImportFrom) (*Imported, error) {
	entries, err := os.ReadDir(from.PluginDir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("read plugin directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	im := &importer{from: from, open: openPlugin, check: checkBinary, read: func(path string) ([]byte, error) {
		data, _, err := trusted.Read(path, maxPluginConf, 0o002)
		return data, err
	}}
	return im.run(names)
}

// ErrNothingToImport is the error of Import where no plugin is left to be taken over.
var ErrNothingToImport = errors.New("no plugin is active that the relay can take over")

// importer is one run of Import.
type importer struct {
	from ImportFrom

	// What asks the machine.
	open  func(path string) (*pluginConf, error)
	read  func(path string) ([]byte, error)
	check func(program string) error

	common   audispd   // settings for all plugins; of those that are not set the zero value
	settings *confFile // where they are from, nil if there are none
	taken    *claims
	explain  []string // comments on the sink at hand
	tables   strings.Builder
	out      Imported
}

func (im *importer) run(names []string) (*Imported, error) {
	im.taken = newClaims()
	im.taken.addOwn(globals(), nil)
	im.readSettings()
	global := im.globals()

	r := pluginReader{}
	for _, name := range names {
		if r.selected(name) {
			im.plugin(filepath.Join(im.from.PluginDir, name))
		}
	}
	for _, text := range r.warns {
		im.note("%s", text)
	}
	if len(im.out.DropIns) == 0 {
		return &im.out, ErrNothingToImport
	}

	im.out.Text = []byte(im.header() + global + im.tables.String())
	var err error
	if im.out.Config, err = Parse(im.from.File, im.out.Text); err != nil {
		return &im.out, fmt.Errorf("the imported configuration cannot be used: %w", asErrors(err, im.from.File, 0, "")[0])
	}
	return &im.out, nil
}

// maxNote bounds what a damaged file can make of a line.
const maxNote = 600

// note says what is not carried over, or otherwise than it was.
func (im *importer) note(format string, args ...any) {
	text := OneLine(fmt.Sprintf(format, args...))
	if len(text) > maxNote {
		text = strings.ToValidUTF8(text[:maxNote], "") + "..."
	}
	im.out.Notes = append(im.out.Notes, text)
}

// readSettings reads what auditd.conf or audispd.conf says of all plugins.
func (im *importer) readSettings() {
	im.common.maxRestarts = DefaultRestarts
	data, err := im.read(im.from.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		im.note("not carried over: %v", err)
		return
	}
	file, bad := splitConf(im.from.Settings, data)
	if bad != nil {
		im.note("not carried over: %v", bad)
		return
	}

	base := Config{PriorityBoost: defaultBoost}
	for _, l := range file.lines {
		// The rest of auditd.conf is for auditd itself, which stays.
		if !im.from.Audispd && !slices.Contains([]string{"q_depth", "overflow_action", "max_restarts"}, l.key) {
			continue
		}
		if err := im.common.set(file, l, &base); err != nil {
			im.note("not carried over: %v", err)
		}
	}
	im.settings = file
}

// globals writes the keys that hold for all sinks.
func (im *importer) globals() string {
	if im.settings == nil {
		return ""
	}
	var b strings.Builder
	c, from := &im.common, im.settings.place
	switch {
	case c.QDepth > DefaultQDepth:
		writeKey(&b, "q_depth", int64(c.QDepth), from("q_depth"))
	case c.QDepth > 0:
		im.note("%s: the relay's own q_depth, %d, is larger and stays", from("q_depth"), DefaultQDepth)
	}
	if c.OverflowAction != "" {
		writeKey(&b, "overflow_action", c.OverflowAction, from("overflow_action"))
	}

	if c.NameFormat == "user" && c.Name == "" {
		im.note("not carried over: %s: it needs a name, and there is none", from("name_format"))
		c.NameFormat = ""
	}
	if c.NameFormat != "" && c.NameFormat != "none" {
		writeKey(&b, "name_format", c.NameFormat, from("name_format"))
		im.note("%s: audispd put node= in front of lines that auditd had not formatted; the relay does so for all records without it, in binary frames too", from("name_format"))
		if c.NameFormat == "user" {
			writeKey(&b, "name", c.Name, from("name"))
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// plugin takes over the plugin of one conf.
func (im *importer) plugin(path string) {
	p, err := im.open(path)
	switch {
	case err != nil:
		im.leave(path, err)
		return
	case p.runs(im.from.Self) || filepath.Base(p.path) == relayName:
		return
	case p.active != "yes":
		im.note("left out: %s: it is not active", path)
		return
	}

	if !im.from.AllArgs {
		p.warnOfArgs()
	}
	im.explain = nil
	s := newPluginSink(p, &im.common)
	err = im.fill(p, s)
	for _, text := range p.warns {
		im.note("%s", text)
	}
	if err == nil && im.taken.taken(s) != "" {
		err = errors.New(im.taken.taken(s))
	}
	var table string
	if err == nil {
		table, err = im.table(p, s)
	}
	if err != nil {
		im.leave(path, err)
		return
	}

	im.taken.add(s)
	im.tables.WriteString(table)
	if len(im.explain) > 0 {
		im.tables.WriteString("\n")
	}
	for _, text := range im.explain {
		im.tables.WriteString(comment(text))
	}
	im.tables.WriteString("\n")
	im.out.DropIns = append(im.out.DropIns, path)
}

// relayName is what the relay is called, wherever it is installed.
const relayName = "audisp-relay"

// leave says why a plugin is not taken over.
func (im *importer) leave(path string, err error) {
	im.note("not carried over: %q: %v", filepath.Base(path), err)
}

// fill gives the sink its type.
func (im *importer) fill(p *pluginConf, s *Sink) error {
	if isBuiltin(p.path) {
		if strings.EqualFold(p.path, "builtin_syslog") {
			im.note("sinks.%s: builtin_syslog left EOE records out, the relay sends them", s.Name)
		}
		return p.fill(s, &im.common)
	}
	// What cannot be run delivers nothing today either.
	if err := im.check(p.path); err != nil {
		return p.errorf(p.pathLine, "path", "%v", err)
	}

	switch filepath.Base(p.path) {
	case "audisp-af_unix":
		s.Format = "string" // its clients get lines, whatever it gets, unless args say something else
		return p.fillUnix(s)
	case "audisp-syslog":
		return im.fillSyslog(p, s)
	case "audisp-remote":
		im.explainRemote(p, s)
	case "audisp-filter":
		return im.fillFilter(p, s)
	}
	return p.fillProgram(s, &im.common)
}

// fillSyslog keeps audisp-syslog as a program where it changes the text of records.
func (im *importer) fillSyslog(p *pluginConf, s *Sink) error {
	isInterpret := func(arg string) bool { return strings.EqualFold(arg, "interpret") }
	if !slices.ContainsFunc(p.args, isInterpret) {
		return p.fillSyslog(s)
	}
	plain, sink := *p, *s
	plain.args = slices.DeleteFunc(slices.Clone(p.args), isInterpret)
	if err := plain.fillSyslog(&sink); err != nil {
		return err
	}
	s.Format = sink.Format
	im.note("sinks.%s runs %s, since the relay has no counterpart of interpret", s.Name, p.path)
	im.explain = append(im.explain,
		"interpret makes other text of records: names for numbers, values decoded and without quotes,",
		"and no milliseconds and no serial. A sink of type syslog sends them as auditd writes them. To",
		"have that, put this in the place of the table above:",
		"")
	im.explain = append(im.explain, strings.Split(strings.TrimSuffix(im.keys(&plain, &sink, false), "\n"), "\n")...)
	return p.fillProgram(s, &im.common)
}
