package config

import (
	"errors"
	"io/fs"
	"path/filepath"

	"audisp-relay/host/trusted"
)

// audispd is the configuration with what the relay takes over from audispd.conf, the settings
// that audispd 2.x applied to all its plugins (audispd.conf(5)).
type audispd struct {
	Config
	maxRestarts int
	// rawOnly: audispd put node= in front of ver 0 records only. Without an
	// audispd.conf there is no audispd to be like.
	rawOnly bool
}

// loadAudispd reads the audispd.conf in the directory above a plugins.d. It is
// not there with audit 3 and later, whose auditd.conf holds these settings and
// acts on them itself; then base has the say.
//
// A wrong line costs that setting and a warning, not the plugins.
func loadAudispd(pluginDir string, base *Config) (audispd, []string) {
	a := audispd{Config: *base, maxRestarts: DefaultRestarts}
	path := filepath.Join(filepath.Dir(filepath.Clean(pluginDir)), "audispd.conf")
	data, _, err := trusted.Read(path, maxPluginConf, 0o002)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a, nil
	case err != nil:
		return a, []string{OneLine("settings of audispd ignored: " + err.Error())}
	}
	return parseAudispd(path, data, a, base)
}

// parseAudispd lets the settings in data override those in a.
func parseAudispd(path string, data []byte, a audispd, base *Config) (audispd, []string) {
	file, bad := splitConf(path, data)
	if bad != nil {
		return a, []string{"settings of audispd ignored: " + bad.Error()}
	}
	a.rawOnly = true
	a.NameFormat, a.Name = "none", "" // audispd's default, not base's
	for _, l := range file.lines {
		if err := a.set(file, l, base); err != nil {
			file.warns = append(file.warns, err.Error()+"; ignored")
		}
	}
	if a.NameFormat == "user" && a.Name == "" {
		file.warnf(0, "name_format", `"user" needs a name, none is set; records stay without node=`)
		a.NameFormat = "none"
	}
	return a, file.warns
}

// set takes over one line.
func (a *audispd) set(file *confFile, l confLine, base *Config) *Error {
	switch l.key {
	case "q_depth":
		err := file.number(l, &a.QDepth, 1, 99_999) // its range in audispd
		if err == nil && a.QDepth < base.QDepth {
			file.warnf(l.line, l.key, "each plugin's queue holds %d records because of this line; without it %d", a.QDepth, base.QDepth)
		}
		return err
	case "overflow_action":
		return file.word(l, &a.OverflowAction, overflowActions...)
	case "max_restarts":
		return file.number(l, &a.maxRestarts, 0, MaxRestarts)
	case "name_format":
		return file.word(l, &a.NameFormat, nameFormats...)
	case "name":
		return file.text(l, &a.Name, nodeName)
	case "priority_boost":
		boost := base.PriorityBoost
		if err := file.number(l, &boost, 0, maxBoost); err != nil || boost == base.PriorityBoost {
			return err
		}
		return file.errorf(l.line, l.key, "%d differs from the relay's own priority_boost %d, which counts", boost, base.PriorityBoost)
	case "plugin_dir":
		return nil // whoever called us has decided on the directory already
	}
	return file.errorf(l.line, l.key, "unknown key")
}
