package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"audisp-relay/host/runnable"
)

// PluginFile is a file in auditd's plugin directory.
type PluginFile struct {
	Path    string // without Machine.Root
	Mode    fs.FileMode
	UID     uint32
	Written time.Time

	Loaded bool  // the auditd of this machine reads files of that name
	Relay  bool  // it starts this relay, or would if it were active
	Err    error // why it cannot be read; then what follows is empty

	Active   bool
	Binary   string
	Config   string   // of the relay, from args; "" is the default
	Format   string   // string or binary; "" is string
	Problems []string // what makes auditd skip a line or the file, each "file:line: ..."
}

// maxPluginFiles is how many files of a plugin directory are looked at.
const maxPluginFiles = 1000

// PluginFiles reads the plugin directory of an auditd: the files that any version of auditd
// reads, sorted by name. relay is the program that counts as the relay besides those that are
// called like it.
func (m Machine) PluginFiles(a Auditd, relay string) ([]PluginFile, error) {
	dir := m.PluginDir(a)
	entries, err := os.ReadDir(m.path(dir))
	if err != nil {
		return nil, fmt.Errorf("plugin directory %s: %w", dir, Pathless(err))
	}
	var files []PluginFile
	finder := &Installer{Machine: m, Binary: relay}
	for _, e := range entries[:min(len(entries), maxPluginFiles)] {
		if !(Auditd{}).loads(e.Name()) {
			continue
		}
		f := m.pluginFile(filepath.Join(dir, e.Name()))
		f.Loaded = a.loads(e.Name())
		f.Relay = finder.startsRelay(dropIn{active: true, binary: f.Binary})
		files = append(files, f)
	}
	return files, nil
}

func (m Machine) pluginFile(path string) PluginFile {
	f := PluginFile{Path: path}
	info, err := os.Stat(m.path(path)) // auditd follows links
	if err != nil {
		f.Err = err
		return f
	}
	f.Mode, f.UID, f.Written = info.Mode(), runnable.OwnerOf(info), info.ModTime()
	text, err := readRegular(m.path(path))
	if err != nil {
		f.Err = err
		return f
	}
	d := parseDropIn(text)
	f.Active, f.Binary, f.Config, f.Format = d.active, d.binary, d.config, strings.ToLower(d.format)
	f.Problems = pluginProblems(path, text)
	return f
}

// pluginValues are the words that a key of a plugin's file may have (audispd-pconfig.c).
var pluginValues = map[string][]string{
	"active": {"yes", "no"}, "direction": {"out", "in"}, "type": {"always", "builtin"}, "format": {"string", "binary"},
	"path": nil, "args": nil,
}

// pluginProblems lists what makes auditd skip a line of a plugin's file, or the whole of it.
func pluginProblems(path string, text []byte) []string {
	settings, problems := parseConf(path, text)
	hasPath, active := false, false
	for _, s := range settings {
		problem := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", path, s.Line, fmt.Sprintf(format, args...)))
		}
		words, known := pluginValues[s.Key]
		switch {
		case !known:
			problem("auditd has no key %s", s.Key)
		case words != nil && !slices.Contains(words, strings.ToLower(s.Value())):
			problem("%s = %s: want %s", s.Key, s.Value(), strings.Join(words, " or "))
		case s.Key == "path" && !strings.HasPrefix(s.Value(), "/") && !strings.HasPrefix(s.Value(), "builtin_"):
			problem("path = %s: want an absolute path", s.Value())
		case s.Key != "args" && len(s.Values) > 1:
			problem("%s has %d values: auditd takes a comment after a value for more of them", s.Key, len(s.Values))
		}
		hasPath = hasPath || s.Key == "path"
		if s.Key == "active" {
			active = strings.EqualFold(s.Value(), "yes")
		}
	}

	if active && !hasPath { // sanity_check asks for it then only
		problems = append(problems, path+": has no path")
	}
	return problems
}

// Refusal is why auditd skips a plugin's file whatever is in it, and the command that ends that; ""
// where it does not (load_pconfig in audispd-pconfig.c). Before 4.2 the group may write to it.
func (a Auditd) Refusal(f PluginFile) (why, fix string) {
	forbidden := fs.FileMode(0o002)
	if a.AtLeast(4, 2) {
		forbidden = 0o022
	}
	switch {
	case !f.Mode.IsRegular() && f.Mode != 0:
		return "is not a regular file", ""
	case f.UID != 0:
		return fmt.Sprintf("belongs to uid %d, not to root", f.UID), "chown root:root"
	case f.Mode.Perm()&forbidden != 0:
		return fmt.Sprintf("has mode %04o, others than root can write to it", f.Mode.Perm()), "chmod 0640"
	}
	return "", ""
}
