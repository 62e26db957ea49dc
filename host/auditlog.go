package host

import (
	"path/filepath"
	"slices"
)

// AuditLogs returns the logs that are an auditd's own, which no other program may write: that of the
// auditd above the process parent, or of the one that runs, and that of the configuration
// in /etc/audit, which the next one will write. It only reads, and what cannot be found out is
// left out.
func AuditLogs(parent int) []string { return Machine{}.auditLogs(parent) }

func (m Machine) auditLogs(parent int) []string {
	dirs := []string{options{}.dir()}
	auditd, err := m.ancestor(parent, "auditd")
	if err != nil {
		var pid int
		if pid, err = m.findPID(); err == nil {
			auditd, err = m.readProcess(pid)
		}
	}
	if err == nil && filepath.IsAbs(auditd.options().dir()) {
		dirs = append(dirs, auditd.options().dir())
	}
	var logs []string
	for _, dir := range dirs {
		conf, _ := m.ReadAuditdConf(dir) // a mistake, or no file: with the defaults
		if path := filepath.Clean(conf.LogFile); filepath.IsAbs(path) && !slices.Contains(logs, path) {
			logs = append(logs, path)
		}
	}
	return logs
}
