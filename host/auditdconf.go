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
	LogFormat         string // raw, enriched (nolog on old versions)
	NameFormat        string // none, hostname, fqd, numeric, user
	Name              string
	PluginDir         string // without trailing '/'
	TCPListenPort     int    // 0: it takes no records of other hosts
	DistributeNetwork bool   // and hands those to plugins
	Dispatcher        string // of auditd 2.x; later ones ignore it with a warning

	// Its queue to the plugins, and how often it starts one of them.
	QDepth, MaxRestarts int
	OverflowAction      string // ignore, syslog, suspend, single, halt

	// Its log: files of MaxLogFile MiB, of which it keeps NumLogs, and what it does about the
	// disk. An action is a word: ignore, syslog, suspend, rotate, keep_logs, single, halt ... ; after
	// "exec" the program is left out.
	MaxLogFile, NumLogs        int
	MaxLogFileAction           string
	SpaceLeft, AdminSpaceLeft  string // MiB, or a share of the file system: "25%"
	SpaceLeftAction            string
	AdminSpaceLeftAction       string
	DiskFullAction, DiskErrors string // DiskErrors is disk_error_action

	given string // the keys that the file has, each between spaces
}

// Given reports whether the file has a key: otherwise its value is auditd's default.
func (c *AuditdConf) Given(key string) bool { return strings.Contains(c.given, " "+key+" ") }

// LogRoom is how many bytes all files of the log have before auditd overwrites the oldest one: with
// max_log_file_action = rotate, and num_logs of 2 or more (check_log_file_size in
// src/auditd-event.c). It is 0 where auditd overwrites none.
func (c AuditdConf) LogRoom() int64 {
	const leastLogs = 2
	if c.MaxLogFileAction != "rotate" || c.NumLogs < leastLogs {
		return 0
	}
	return int64(min(c.MaxLogFile, 1<<20)) << 20 * int64(min(c.NumLogs, 1000)) // far more than there is
}

// defaultAuditdConf returns what auditd 3.0 and later takes for granted where
// auditd.conf says nothing (clear_config in src/auditd-config.c).
func defaultAuditdConf() AuditdConf {
	return AuditdConf{
		WriteLogs: true, LogFile: "/var/log/audit/audit.log", LogFormat: "enriched",
		NameFormat: "none", PluginDir: DefaultPluginDir,
		QDepth: 2000, MaxRestarts: 10, OverflowAction: "syslog",
		MaxLogFileAction: "ignore", SpaceLeftAction: "ignore", AdminSpaceLeftAction: "ignore", DiskFullAction: "ignore", DiskErrors: "syslog",
	}
}

// ParseAuditdConf reads the text of an auditd.conf. name is used in messages.
// Keys it does not know are left alone: newer versions have more of them. The
// error joins one line for each line that auditd would skip or reject; the
// returned values are good for all the other lines.
func ParseAuditdConf(name string, data []byte) (AuditdConf, error) {
	c := defaultAuditdConf()
	c.File = name
	settings, problems := parseConf(name, data)
	var given strings.Builder
	for _, s := range settings {
		given.WriteString(" " + s.Key + " ")
		if err := c.set(s); err != nil {
			problems = append(problems, fmt.Sprintf("%s:%d: %s: %v", name, s.Line, s.Key, err))
		}
	}
	c.given = given.String()
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
	if to := c.word(s.Key); to != nil {
		*to = word
		return nil
	}
	if to := c.number(s.Key); to != nil {
		return setNumber(to, word)
	}

	switch s.Key {
	case "write_logs":
		return setYesNo(&c.WriteLogs, word)
	case "log_file":
		return setPath(&c.LogFile, s.Value())
	case "name":
		c.Name = s.Value()
	case "plugin_dir":
		return setPath(&c.PluginDir, s.Value())
	case "distribute_network":
		return setYesNo(&c.DistributeNetwork, word)
	case "dispatcher":
		return setPath(&c.Dispatcher, s.Value())
	case "end_of_event_timeout", "priority_boost":
		return setNumber(new(int), word) // of no use to us, but install reports what auditd will reject
	}
	return nil
}

// word is the field of a key whose value auditd compares without case, nil if it is not one.
func (c *AuditdConf) word(key string) *string {
	return map[string]*string{
		"log_format": &c.LogFormat, "name_format": &c.NameFormat, "overflow_action": &c.OverflowAction,
		"max_log_file_action": &c.MaxLogFileAction, "space_left": &c.SpaceLeft, "space_left_action": &c.SpaceLeftAction,
		"admin_space_left": &c.AdminSpaceLeft, "admin_space_left_action": &c.AdminSpaceLeftAction,
		"disk_full_action": &c.DiskFullAction, "disk_error_action": &c.DiskErrors,
	}[key]
}

// number is the field of a key with a number, nil if it is not one.
func (c *AuditdConf) number(key string) *int {
	return map[string]*int{
		"tcp_listen_port": &c.TCPListenPort, "q_depth": &c.QDepth, "max_restarts": &c.MaxRestarts,
		"max_log_file": &c.MaxLogFile, "num_logs": &c.NumLogs,
	}[key]
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
		c := defaultAuditdConf()
		c.File = name
		return c, fmt.Errorf("read auditd's configuration: %w", err)
	}
	return ParseAuditdConf(name, data)
}
