package host

import (
	"fmt"
	"strconv"
	"strings"
)

// Default places of auditd 3.0 and later; audispd of 2.x had a directory of
// its own.
const (
	DefaultConfDir    = "/etc/audit"
	DefaultPluginDir  = "/etc/audit/plugins.d"
	audispdConf       = "/etc/audisp/audispd.conf"
	audispdPluginsDir = "/etc/audisp/plugins.d"
)

// AuditdConf is the part of auditd.conf(5) that matters to a plugin. Words
// that auditd compares without case are lower case here.
type AuditdConf struct {
	File              string // where it was read from
	WriteLogs         bool   // write_logs; auditd -f and log_format = nolog write none either
	LogFile           string
	LogGroup          string
	LogFormat         string // raw, enriched (nolog on old versions)
	MaxLogFile        int    // MiB
	MaxLogFileAction  string // ignore, syslog, suspend, rotate, keep_logs, exec
	NumLogs           int
	PriorityBoost     int    // nice levels
	NameFormat        string // none, hostname, fqd, numeric, user
	Name              string
	QDepth            int // records
	OverflowAction    string
	MaxRestarts       int
	PluginDir         string // without trailing '/'
	EndOfEventTimeout int    // seconds
	TCPListenPort     int    // 0: it takes no records of other hosts
	DistributeNetwork bool   // and hands those to plugins

	// Dispatcher and DispQOS only mean something to auditd 2.x; later ones
	// ignore them with a warning.
	Dispatcher string
	DispQOS    string
}

// DefaultAuditdConf returns what auditd 3.0 and later takes for granted where
// auditd.conf says nothing (clear_config in src/auditd-config.c).
func DefaultAuditdConf() AuditdConf {
	return AuditdConf{
		WriteLogs: true, LogFile: "/var/log/audit/audit.log", LogGroup: "root", LogFormat: "enriched",
		MaxLogFile: 0, MaxLogFileAction: "ignore", NumLogs: 0, PriorityBoost: 4, NameFormat: "none",
		QDepth: 2000, OverflowAction: "syslog", MaxRestarts: 10, PluginDir: DefaultPluginDir,
		EndOfEventTimeout: 2, DispQOS: "lossy",
	}
}

// ParseAuditdConf reads the text of an auditd.conf. name is used in messages.
// Keys it does not know are left alone: newer versions have more of them. The
// error joins one line for each line that auditd would skip or reject; the
// returned values are good for all the other lines.
func ParseAuditdConf(name string, data []byte) (AuditdConf, error) {
	c := DefaultAuditdConf()
	c.File = name
	settings, problems := parseConf(name, data)
	for _, s := range settings {
		if err := c.set(s); err != nil {
			problems = append(problems, fmt.Sprintf("%s:%d: %s: %v", name, s.Line, s.Key, err))
		}
	}
	if len(problems) > 0 {
		return c, &ConfError{Problems: problems}
	}
	return c, nil
}

// ConfError lists the lines of a file that auditd would skip or reject.
type ConfError struct {
	Problems []string // each "file:line: what is wrong"
}

// Error joins the problems in one line.
func (e *ConfError) Error() string { return strings.Join(e.Problems, "; ") }

func (c *AuditdConf) set(s setting) error {
	word := strings.ToLower(s.Value())
	switch s.Key {
	case "write_logs":
		return setYesNo(&c.WriteLogs, word)
	case "log_file":
		return setPath(&c.LogFile, s.Value())
	case "log_group":
		c.LogGroup = s.Value()
	case "log_format":
		c.LogFormat = word
	case "max_log_file":
		return setNumber(&c.MaxLogFile, word)
	case "max_log_file_action":
		c.MaxLogFileAction = word
	case "num_logs":
		return setNumber(&c.NumLogs, word)
	case "priority_boost":
		return setNumber(&c.PriorityBoost, word)
	case "name_format":
		c.NameFormat = word
	case "name":
		c.Name = s.Value()
	case "tcp_listen_port":
		return setNumber(&c.TCPListenPort, word)
	case "q_depth":
		return setNumber(&c.QDepth, word)
	case "overflow_action":
		c.OverflowAction = word
	case "max_restarts":
		return setNumber(&c.MaxRestarts, word)
	case "plugin_dir":
		return setPath(&c.PluginDir, s.Value())
	case "end_of_event_timeout":
		return setNumber(&c.EndOfEventTimeout, word)
	case "distribute_network":
		return setYesNo(&c.DistributeNetwork, word)
	case "dispatcher":
		return setPath(&c.Dispatcher, s.Value())
	case "disp_qos":
		c.DispQOS = word
	}
	return nil
}

func setYesNo(to *bool, word string) error {
	if word != "yes" && word != "no" {
		return fmt.Errorf("%q is neither yes nor no", word)
	}
	*to = word == "yes"
	return nil
}

// setNumber takes what auditd takes: digits only.
func setNumber(to *int, word string) error {
	n, err := strconv.ParseUint(word, 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a number from 0 up", word)
	}
	*to = int(n)
	return nil
}

func setPath(to *string, path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	if *to = strings.TrimRight(path, "/"); *to == "" {
		*to = "/"
	}
	return nil
}

// ReadAuditdConf reads DIR/auditd.conf of this machine; see ParseAuditdConf.
// Without such a file the error is fs.ErrNotExist and the values are the
// defaults.
func (m Machine) ReadAuditdConf(dir string) (AuditdConf, error) {
	name := dir + "/auditd.conf"
	data, err := readRegular(m.path(name))
	if err != nil {
		c := DefaultAuditdConf()
		c.File = name
		return c, fmt.Errorf("read auditd's configuration: %w", err)
	}
	return ParseAuditdConf(name, data)
}
