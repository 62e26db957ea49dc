package host

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"audisp-relay/host/broker"
)

// LogInfo is what is known of the log that an auditd writes.
type LogInfo struct {
	Path    string // its log_file; rotated ones are Path.1 (the newest), Path.2, ...
	Written bool   // records are written to it
	Why     string // why they are not, one line; empty when they are
	// Network: records of other hosts stand in it that auditd does not hand to
	// plugins (tcp_listen_port without distribute_network).
	Network bool
	// Room is how many bytes all its files have before auditd overwrites the oldest; 0 where it overwrites
	// none.
	Room int64
}

// LogOf finds the log of the auditd that the process parent is, or that is
// above it, as with audispd 2.x, audisp-filter or a wrapper. It reads that
// auditd's arguments and configuration, which may have been edited since auditd
// read it. No capability is needed for it, only the right to read the
// configuration.
//
// A mistake in auditd.conf is a *ConfError, with everything else filled in. With
// any other error there is no Path.
func LogOf(parent int) (LogInfo, error) {
	if m := broker.Monitor(); m != nil {
		return askLog(m)
	}
	return Machine{}.logOf(parent)
}

// maxAncestors is how far up auditd is looked for.
const maxAncestors = 8

func (m Machine) logOf(parent int) (LogInfo, error) {
	opt, conf, err := m.auditdAbove(parent)
	if _, mistakes := errors.AsType[*ConfError](err); err != nil && !mistakes {
		return LogInfo{}, fmt.Errorf("find auditd's log: %w: name it in log_file of [recovery]", err)
	}
	log := LogInfo{Path: conf.LogFile, Room: conf.LogRoom(), Network: conf.TCPListenPort > 0 && !conf.DistributeNetwork}
	switch {
	case opt.foreground:
		log.Why = "auditd was started with -f and prints its records"
	case !conf.WriteLogs:
		log.Why = conf.File + " has write_logs = no"
	case conf.LogFormat == "nolog":
		log.Why = conf.File + " has log_format = NOLOG"
	default:
		log.Written = true
	}
	return log, err
}

// auditdAbove finds options and configuration of the auditd that is the process parent or above
// it.
func (m Machine) auditdAbove(parent int) (options, AuditdConf, error) {
	auditd, err := m.ancestor(parent, "auditd")
	if err != nil {
		return options{}, AuditdConf{}, err
	}
	opt := auditd.options()
	if !filepath.IsAbs(opt.dir()) {
		return opt, AuditdConf{}, fmt.Errorf("auditd (pid %d) was started with the relative directory -c %s", auditd.PID, opt.dir())
	}
	conf, err := m.ReadAuditdConf(opt.dir())
	return opt, conf, err
}

// ancestor finds the process called comm among pid and its ancestors.
func (m Machine) ancestor(pid int, comm string) (process, error) {
	first := ""
	for at, n := pid, 0; at > 0 && n < maxAncestors; n++ {
		p, err := m.identify(at)
		if err == nil && p.Comm == comm {
			p, err = m.readProcess(at) // its arguments, too
		}
		if err != nil {
			return p, fmt.Errorf("look for %s: %w", comm, err)
		}
		if p.Comm == comm {
			return p, nil
		}
		if first == "" {
			first = p.Comm
		}
		at = p.PPID
	}
	return process{}, fmt.Errorf("the relay's parent (pid %d, %q) is not %s, nor is %s above it", pid, first, comm, comm)
}

// AuditLogs returns the logs that are an auditd's own, which no other program may write: that of the
// auditd above the process parent, or of the one that runs, and that of the configuration
// in /etc/audit, which the next one will write. It only reads, and what cannot be found out is
// left out.
func AuditLogs(parent int) []string {
	if m := broker.Monitor(); m != nil {
		logs, _ := ask[[]string](m, opLogs, nil) // a monitor that has gone ends the worker
		return logs
	}
	return Machine{}.auditLogs(parent)
}

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

// NodeInfo is how an auditd names the records that it gives to plugins, and what in them.
type NodeInfo struct {
	Format, Name string // its name_format and name
	Others       bool   // it hands on records of other hosts, too
	Enriched     bool   // they carry the names of ids (log_format = ENRICHED)
}

// NodeOf returns that of the auditd that LogOf finds.
func NodeOf(parent int) (NodeInfo, error) {
	if m := broker.Monitor(); m != nil {
		return ask[NodeInfo](m, opNode, nil)
	}
	return Machine{}.nodeOf(parent)
}

func (m Machine) nodeOf(parent int) (NodeInfo, error) {
	_, conf, err := m.auditdAbove(parent)
	if _, mistakes := errors.AsType[*ConfError](err); err != nil && !mistakes {
		return NodeInfo{}, err
	}
	return NodeInfo{
		Format: conf.NameFormat, Name: conf.Name, Others: conf.TCPListenPort > 0 && conf.DistributeNetwork,
		Enriched: conf.LogFormat == "enriched",
	}, nil
}
