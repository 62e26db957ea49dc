package stig

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/sinks/syslog"
)

// auditdKnown notes what is wrong with auditd.conf, and reports whether its values are known.
func (h *Host) auditdKnown(a *Answer) bool {
	_, mistakes := errors.AsType[*host.ConfError](h.AuditdErr)
	switch {
	case h.AuditdErr == nil:
	case errors.Is(h.AuditdErr, host.ErrNoAuditd) && h.Auditd.Conf.File != "":
		a.ask(fmt.Sprintf("no auditd is running: these are the values of %s", h.Auditd.Conf.File), "start auditd")
	case mistakes: // the other lines are good
		a.seen(h.AuditdErr.Error())
	default:
		a.ask(fmt.Sprintf("auditd.conf was not read: %v", h.AuditdErr), "run this as root, with auditd running")
		return false
	}
	return true
}

// word checks a value of auditd.conf. The rules want the line to be there: a default is a finding.
func (h *Host) word(a *Answer, key, value string, allowed ...string) {
	line := fmt.Sprintf("%s: %s = %s", h.Auditd.Conf.File, key, value)
	if !h.Auditd.Conf.Given(key) {
		line = fmt.Sprintf("%s: %s is not set, auditd takes %s", h.Auditd.Conf.File, key, value)
	} else if slices.Contains(allowed, value) {
		a.seen(line)
		return
	}
	reload := "make auditd reload"
	if h.Auditd.PID != 0 {
		reload = fmt.Sprintf("kill -HUP %d", h.Auditd.PID)
	}
	a.gap(line, fmt.Sprintf("set %s = %s in %s, then %s", key, allowed[0], h.Auditd.Conf.File, reload))
}

// inAudispd notes that an auditd 2.x has a key elsewhere.
func (h *Host) inAudispd(a *Answer, key string) bool {
	if h.Auditd.OneDispatcher() {
		a.ask("auditd 2.x has "+key+" in /etc/audisp/audispd.conf, which was not looked at", "look at "+key+" there")
	}
	return h.Auditd.OneDispatcher()
}

// overflow: what auditd does with a full queue to its plugins, and the relay with its own.
func overflow(h *Host, a *Answer) {
	allowed := []string{"syslog", "single", "halt"}
	if h.auditdKnown(a) && !h.inAudispd(a, "overflow_action") {
		h.word(a, "overflow_action", h.Auditd.Conf.OverflowAction, allowed...)
	}
	if !h.configKnown(a) {
		return
	}

	for i := range h.Config.Sinks {
		s := &h.Config.Sinks[i]
		line := fmt.Sprintf("sinks.%s: overflow_action = %q", s.Name, s.OverflowAction)
		if slices.Contains(allowed, s.OverflowAction) {
			a.seen(line)
		} else {
			a.gap(line, fmt.Sprintf(`set overflow_action = "syslog" for sinks.%s`, s.Name))
		}
	}
}

// failureActions: audisp-remote.conf has keys for it, which the relay's sinks have as well. Every sink that
// delivers to a server has to have one of the actions that the rules allow, for both.
func failureActions(h *Host, a *Answer) {
	if !h.configKnown(a) {
		return
	}
	n := h.servers(func(s *config.Sink, _ *server) {
		action(a, s, "network_failure_action", s.NetworkFailureAction)
		if s.Spool.MaxSize > 0 {
			action(a, s, "disk_full_action", s.DiskFullAction)
		} else {
			a.seen(fmt.Sprintf("sinks.%s: it has no spool, so that no disk of its can be full", s.Name))
		}
	})
	if n == 0 {
		a.ask("no sink delivers to another host itself", "ask what is done where the records leave this host when the server is away or the disk is full")
	}
	h.programs(a, "see network_failure_action and disk_full_action of its own configuration, such as /etc/audit/audisp-remote.conf")
}

// action checks what a sink does about a failure.
func action(a *Answer, s *config.Sink, key, value string) {
	line := fmt.Sprintf("sinks.%s: %s = %q, after = %q", s.Name, key, value, s.After)
	if slices.Contains([]string{"syslog", "single", "halt"}, value) {
		a.seen(line)
		return
	}
	a.gap(line, fmt.Sprintf(`set %s = "syslog" for sinks.%s`, key, s.Name))
}

// nodeName: auditd names the host in each record, and the sinks leave the name there or have
// another place for it.
func nodeName(h *Host, a *Answer) {
	if h.auditdKnown(a) && !h.inAudispd(a, "name_format") {
		h.word(a, "name_format", h.Auditd.Conf.NameFormat, "hostname", "fqd", "numeric")
	}
	if h.Config != nil && h.Config.NameFormat != "none" {
		a.seen(fmt.Sprintf("the relay names the host itself where auditd does not: name_format = %q; the rule asks for that of auditd", h.Config.NameFormat))
	}

	for i := range h.sinks() {
		s := &h.Config.Sinks[i]
		if !s.StripNode {
			continue
		}
		line := fmt.Sprintf("sinks.%s: node = \"strip\": the name is not in the text of records", s.Name)
		if place := placeOfName(s); place != "" {
			a.seen(line + ", it is " + place)
		} else {
			a.ask(line, fmt.Sprintf("show that what reads sinks.%s names the host itself, or leave its node = \"strip\" out", s.Name))
		}
	}
}

// placeOfName returns where the name is that a sink takes out of the records' text, "" for nowhere.
func placeOfName(s *config.Sink) string {
	c, isSyslog := s.Settings.(*syslog.Config)
	switch {
	case isSyslog && (c.Transport != "local" || c.Protocol == "rfc5424"):
		return "the HOSTNAME of each message"
	case !slices.Contains([]string{"string", "binary", "joined"}, s.Format): // these are the records' text, and nothing else
		return "a field of each event"
	case s.Type == "otlp":
		return "the attribute host.name of each log record"
	case s.Type == "nats":
		return "in the header of each batch"
	}
	return ""
}

// storageActions: what auditd does when its log's file system fills up.
func storageActions(h *Host, a *Answer) {
	if !h.auditdKnown(a) {
		return
	}
	c := &h.Auditd.Conf
	h.share(a, "space_left", c.SpaceLeft, 25)
	if c.SpaceLeftAction == "exec" || c.SpaceLeftAction == "syslog" {
		a.ask(fmt.Sprintf("%s: space_left_action = %s", c.File, c.SpaceLeftAction), "show that it reaches the administrators, or set space_left_action = email")
	} else {
		h.word(a, "space_left_action", c.SpaceLeftAction, "email")
	}

	h.share(a, "admin_space_left", c.AdminSpaceLeft, 5)
	h.word(a, "admin_space_left_action", c.AdminSpaceLeftAction, "single", "halt")
	h.spoolWarnings(a)
	a.ask("who reads auditd's mail and syslog is not visible here", "ask who gets auditd's warning at 75 %, and the relay's of its spools, which it logs")
}

// spoolWarnings: auditd does not watch the relay's spools, the relay does.
func (h *Host) spoolWarnings(a *Answer) {
	for i := range h.sinks() {
		s := &h.Config.Sinks[i]
		switch share := s.Spool.WarnAt; {
		case s.Spool.MaxSize == 0:
		case share == 0:
			a.gap(fmt.Sprintf("sinks.%s: warn_at of its spool is off", s.Name), fmt.Sprintf(`set warn_at = "75%%" in spool of sinks.%s`, s.Name))
		case share > 75:
			a.gap(fmt.Sprintf("sinks.%s: warn_at of its spool is %d%%", s.Name, share), fmt.Sprintf(`set warn_at = "75%%" in spool of sinks.%s`, s.Name))
		default:
			a.seen(fmt.Sprintf("sinks.%s: a warning at %d%% of its spool of %v; disk_full_action = %q", s.Name, share, s.Spool.MaxSize, s.DiskFullAction))
		}
	}
}

// share checks a share of the file system. A number of MiB is for the auditor to compare.
func (h *Host) share(a *Answer, key, value string, least int) {
	line := fmt.Sprintf("%s: %s = %s", h.Auditd.Conf.File, key, value)
	set := fmt.Sprintf("set %s = %d%% in %s", key, least, h.Auditd.Conf.File)
	number, percent := strings.CutSuffix(value, "%")
	n, err := strconv.Atoi(number)
	switch {
	case value == "" || err != nil:
		a.gap(fmt.Sprintf("%s: %s is not set", h.Auditd.Conf.File, key), set)
	case !percent:
		a.ask(line+" MiB", "compare that with the size of the log's file system, or "+set)
	case n < least:
		a.gap(line, set)
	default:
		a.seen(line)
	}
}

// Times for week.
const (
	weekTime = 7 * 24 * time.Hour
	leastRun = time.Hour // that a relay has to run for its mean rate to say something
)

// week: how long the files of audit.log last at the rate that the running relay has seen. The rules ask that only where
// records are not sent at once.
func week(h *Host, a *Answer) {
	if !h.auditdKnown(a) {
		return
	}
	c := &h.Auditd.Conf
	short, set := a.gap, "or show that records are sent at once and a week is kept at the server"
	sent := Answer{Status: Satisfied}
	if offload(h, &sent); sent.Status == Satisfied {
		short, set = a.ask, "or show that the server to which they are sent at once keeps a week"
	}
	if !c.WriteLogs || c.LogFormat == "nolog" {
		short(fmt.Sprintf("%s: write_logs = %s, log_format = %s: auditd stores nothing", c.File, yesNo(c.WriteLogs), c.LogFormat), "set write_logs = yes, "+set)
		return
	}

	a.seen(fmt.Sprintf("%s: %d files of %d MiB, max_log_file_action = %s", c.File, c.NumLogs, c.MaxLogFile, c.MaxLogFileAction))
	size, free := h.disk(c.LogFile)
	if size > 0 {
		a.seen(fmt.Sprintf("the file system of %s has %v, %v of it free", c.LogFile, size, free))
	}
	room := logRoom(c, size)
	if room == 0 {
		a.ask("how much audit.log may hold is not known", "run this as root, where the log is")
		return
	}
	if h.Relay == nil || h.Relay.Now.Sub(h.Relay.Started) < leastRun || h.Relay.Input.Records == 0 {
		a.ask("the rate of records is not known: no relay has been running for an hour", "run this again when it has; the rule holds where records are not sent at once")
		return
	}

	rate := float64(h.Relay.Input.Records) * h.Relay.Input.PerRecord() / h.Relay.Now.Sub(h.Relay.Started).Seconds()
	lasts := time.Duration(min(float64(room)/rate, (10*365*24*time.Hour).Seconds()) * float64(time.Second))
	line := fmt.Sprintf("%.0f bytes/s on average since %s fill %v in %.1f days", rate, h.Relay.Started.UTC().Format(time.DateOnly), room, lasts.Hours()/24)
	if lasts < weekTime {
		short(line, "raise num_logs and max_log_file, "+set)
		return
	}
	a.seen(line)
}

// logRoom is how much auditd stores before it overwrites the oldest or stores no more, on a file system of a size; 0 where
// that is not known.
func logRoom(c *host.AuditdConf, size config.Size) config.Size {
	room := config.Size(c.LogRoom())
	if c.MaxLogFileAction == "suspend" {
		room = config.Size(min(c.MaxLogFile, 1<<20)) << 20 // it stops at the end of the first file
	}
	if room == 0 { // none is overwritten: the file system is the limit
		return size
	}
	if size > 0 {
		room = min(room, size)
	}
	return room
}

// yesNo is a switch as auditd.conf has it.
func yesNo(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

// disk is the size of the file system that a file is in, and what is free of it; 0 where that is not
// known.
func (h *Host) disk(file string) (size, free config.Size) {
	var st unix.Statfs_t
	if unix.Statfs(h.path(dirOf(file)), &st) != nil {
		return 0, 0
	}
	const most = 1 << 50 // blocks: far more than there are, and their product fits
	block := uint64(max(st.Bsize, 1))
	return config.Size(min(st.Blocks, most/block) * block), config.Size(min(st.Bavail, most/block) * block)
}

func dirOf(file string) string {
	i := strings.LastIndexByte(file, '/')
	return file[:max(i, 0)] + "/"
}
