package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"audisp-relay/host"
	"audisp-relay/plugin"
)

func isNoAuditd(err error) bool { return errors.Is(err, host.ErrNoAuditd) }

func auditdChecks() []Check {
	return []Check{
		{Code: "AR-AUDITD-CONF", Title: "auditd skips a part of auditd.conf", Severity: Warn, Find: findConfMistakes},
		{Code: "AR-AUDITD-CUTS", Title: "This auditd cuts records", Severity: Critical, Find: findCut},
		{Code: "AR-AUDITD-PADS", Title: "This auditd pads binary records", Severity: Info, Find: findPadded},
		{Code: "AR-AUDITD-REPLACED", Title: "auditd was upgraded and not restarted", Severity: Info, Find: findReplaced},
		{Code: "AR-NO-LOG", Title: "auditd writes no log", Severity: Warn, Find: findNoLog},
		{Code: "AR-LOG-STOPPED", Title: "auditd has stopped writing its log", Severity: Critical, DependsOn: []string{"AR-NO-LOG"}, Find: findLogStopped},
		{Code: "AR-LOG-DISK", Title: "The disk of audit.log is nearly full", Severity: Critical, DependsOn: []string{"AR-LOG-STOPPED"}, Find: findLogDisk},
		{Code: "AR-LOG-LIMIT", Title: "auditd will stop writing or fill the disk", Severity: Warn, DependsOn: []string{"AR-NO-LOG", "AR-LOG-STOPPED", "AR-AUDITD-CONF"}, Find: findLogLimit},
		{Code: "AR-LOG-SHORT", Title: "audit.log does not reach back far", Severity: Warn, After: 5 * time.Minute, DependsOn: []string{"AR-NO-LOG", "AR-LOG-LIMIT", "AR-FEEDBACK", "AR-AUDITD-CONF"}, Find: findRetention},
		{Code: "AR-QUEUE-SUSPENDED", Title: "auditd gives its plugins nothing", Severity: Critical, Find: findQueueSuspended},
		{Code: "AR-QUEUE-FULL", Title: "auditd's queue to its plugins was full", Severity: Warn, DependsOn: []string{"AR-QUEUE-SUSPENDED", "AR-INPUT-STALLED"}, Find: findQueueFull},
		{Code: "AR-QUEUE-SHORT", Title: "auditd's queue to its plugins is short", Severity: Warn, DependsOn: []string{"AR-AUDITD-CONF"}, Find: findQueueShort},
		{Code: "AR-QUEUE-ACTION", Title: "auditd does not say when it drops records", Severity: Warn, DependsOn: []string{"AR-AUDITD-CONF"}, Find: findQueueAction},
	}
}

func findConfMistakes(f *Facts) []Finding {
	if f.ConfError == nil {
		return nil
	}
	return one(Finding{
		Text:     "auditd skips these lines, or does not start with them",
		Evidence: strings.Join(f.ConfError.Problems, "; "),
		Fix:      "correct " + quote(f.Auditd.Value.Conf.File) + ", then " + f.reload(),
	})
}

// findCut: 4.2 and 4.2.1 give kernel records without their last 16 bytes where they are neither
// enriched nor have a node name (dispatch_event in audisp/audispd.c).
func findCut(f *Facts) []Finding {
	a := f.Auditd.Value
	cuts := a.Version == "4.2" || a.Version == "4.2.0" || a.Version == "4.2.1"
	if !cuts || a.Conf.LogFormat != "raw" || a.Conf.NameFormat != "none" {
		return nil
	}
	finding := Finding{
		Text:     fmt.Sprintf("auditd %s takes 16 bytes off the end of each kernel record for plugins; audit.log has them whole", a.Version),
		Evidence: fmt.Sprintf("version %s; %s: log_format = RAW, name_format = NONE", a.Version, a.Conf.File),
		Fix:      setKey(a.Conf.File, "log_format", "ENRICHED") + " && " + f.reload(),
	}
	if f.recovers() {
		finding.Severity = Warn
		finding.Text += ", from where the relay repairs them, late"
	}
	return one(finding)
}

// findPadded: up to 4.1.0 each binary record has 8970 bytes and a header of 16, whatever is in it, so that a socket
// holds 21.
func findPadded(f *Facts) []Finding {
	a := f.Auditd.Value
	file, ok := f.dropIn()
	if !ok || file.Format != "binary" || a.Version == "" || a.AtLeast(4, 1, 1) || a.OneDispatcher() {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("auditd %s writes 8986 bytes for each record in binary form, some twenty times what the record has", a.Version),
		Evidence: fmt.Sprintf("version %s; %s: format = binary", a.Version, file.Path),
		Fix:      f.install("--format string"),
	})
}

func findReplaced(f *Facts) []Finding {
	if !f.running() || !f.Daemon.Known() || !f.Daemon.Value.Replaced {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("auditd (pid %d) runs from a file that was replaced since: its version is not known, and what the new one corrects does not work yet", f.Auditd.Value.PID),
		Evidence: fmt.Sprintf("/proc/%d/exe: %s (deleted)", f.Auditd.Value.PID, f.Daemon.Value.Exe),
		Fix:      f.restart(),
	})
}

func findNoLog(f *Facts) []Finding {
	if f.Log.Value.Why == "" {
		return nil
	}
	conf := f.Auditd.Value.Conf
	fix := setKey(conf.File, "write_logs", "yes")
	switch {
	case slices.Contains(f.Daemon.Value.Args, "-f"):
		fix = "start it without -f"
	case conf.LogFormat == "nolog":
		fix = setKey(conf.File, "log_format", "ENRICHED")
	}
	return one(Finding{
		Text:     "what the stream lacks cannot be recovered, nor what comes while the relay is stopped",
		Evidence: f.Log.Value.Why,
		Fix:      fix + " && " + f.restart(), // some versions open no log on a reload
	})
}

func findLogStopped(f *Facts) []Finding {
	seen := f.logStopped()
	if seen == "" {
		return nil
	}
	return one(Finding{
		Text:     "auditd has suspended its log over its disk or its size: nothing is stored, and nothing can be recovered",
		Evidence: seen,
		Fix:      fmt.Sprintf("make room on the disk of %s, then kill -USR2 %d && kill -CONT %d", quote(f.Auditd.Value.Conf.LogFile), f.Auditd.Value.PID, f.Auditd.Value.PID),
	})
}

// logStopped returns the evidence that auditd writes no log although it should: its own report, if it
// has made one, or records that came to the relay long after the last one was written to the log.
// auditd writes each before it gives it to plugins (distribute_event in src/auditd.c).
func (f *Facts) logStopped() string {
	s, r, log := f.State.Value, f.report(), &f.Log
	switch {
	case f.State.Known() && s.DiskError:
		return fmt.Sprintf("%s (written %s): disk error detected = yes", s.File, s.Written.Format(time.DateTime))
	case f.State.Known() && s.LogSuspended:
		return fmt.Sprintf("%s (written %s): logging suspended = yes", s.File, s.Written.Format(time.DateTime))
	case r == nil || !f.running() || !log.Known() || log.Value.Why != "" || r.Input.Last.Sub(log.Value.Written) <= f.Limits.StreamBehind:
		return ""
	}
	return fmt.Sprintf("the relay got a record from auditd at %s, %s was written last at %s",
		r.Input.Last.Local().Format(time.DateTime), log.Value.Path, log.Value.Written.Format(time.DateTime))
}

// spaceLeft is a limit of auditd.conf in bytes: MiB, or since 3.0 a share of the file system.
func spaceLeft(text string, d Disk) int64 {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.ParseUint(percent, 10, 7)
		if err != nil {
			return 0
		}
		return d.Size / 100 * int64(n)
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return int64(n) << 20
}

func findLogDisk(f *Facts) []Finding {
	c, d := f.Auditd.Value.Conf, f.LogDisk.Value
	if !f.LogDisk.Known() || d.Size == 0 || f.Log.Value.Why != "" { // without a log auditd does not look at the disk
		return nil
	}

	for _, limit := range []struct {
		key, text, action string
		severity          Severity
	}{
		{"admin_space_left", c.AdminSpaceLeft, c.AdminSpaceLeftAction, Critical}, {"space_left", c.SpaceLeft, c.SpaceLeftAction, Warn},
	} {
		bytes := spaceLeft(limit.text, d)
		if bytes == 0 || d.Avail >= bytes {
			continue
		}
		return one(Finding{
			Severity: limit.severity,
			Text:     fmt.Sprintf("%s are free where audit.log is: auditd does what %s_action says: %s", size(d.Avail), limit.key, limit.action),
			Evidence: fmt.Sprintf("%s: %s = %s, %s_action = %s; statfs %s: %s free", c.File, limit.key, limit.text, limit.key, limit.action, d.Path, size(d.Avail)),
			Fix:      fmt.Sprintf("make room: df -h %s; lower num_logs or max_log_file in %s", quote(d.Path), quote(c.File)),
		})
	}
	return nil
}

func findLogLimit(f *Facts) []Finding {
	c := f.Auditd.Value.Conf
	if f.Log.Value.Why != "" || !f.Auditd.Known() {
		return nil
	}
	const grows = "audit.log grows until the disk is full"
	what := map[string]string{ // keep_logs is what auditors ask for; the disk has its own finding
		"suspend": fmt.Sprintf("auditd writes no more once audit.log has %d MiB", c.MaxLogFile),
		"ignore":  grows, "syslog": grows,
	}[c.MaxLogFileAction]

	switch {
	case c.MaxLogFileAction == "rotate" && c.NumLogs < leastLogs:
		return one(Finding{
			Text:     fmt.Sprintf("auditd rotates nothing with num_logs = %d: %s", c.NumLogs, grows),
			Evidence: fmt.Sprintf("%s: max_log_file_action = rotate, num_logs = %d", c.File, c.NumLogs),
			Fix:      setKey(c.File, "num_logs", "5") + " && " + f.reload(),
		})
	case what == "", c.MaxLogFile == 0 && c.MaxLogFileAction == "ignore":
		return nil
	}

	return one(Finding{
		Text: what, Evidence: fmt.Sprintf("%s: max_log_file_action = %s", c.File, c.MaxLogFileAction),
		Fix: setKey(c.File, "max_log_file_action", "ROTATE") + " && " + f.reload(),
	})
}

// leastLogs is the num_logs from which on auditd rotates its log (check_log_file_size in
// src/auditd-event.c).
const leastLogs = 2

// perRecord is how many bytes a record has on average, in audit.log and in a spool.
func (f *Facts) perRecord() float64 {
	if r := f.report(); r != nil {
		return r.Input.PerRecord()
	}
	return new(plugin.Input).PerRecord()
}

// settling reports whether the relay runs for too short a time for its rates to say how long audit.log
// or a spool lasts: at its start come the records that waited.
func (f *Facts) settling() bool {
	r := f.report()
	return r.Now.Sub(r.Started) < time.Minute
}

// findRetention goes by the configuration as it is now, the relay's own log_reach_seconds by what it
// has read within the last minute.
func findRetention(f *Facts) []Finding {
	r, c := f.report(), f.Auditd.Value.Conf
	if r == nil || r.Input.LongRate < 1 || f.settling() || c.LogRoom() == 0 || f.Log.Value.Why != "" {
		return nil
	}
	seconds, enough := float64(c.LogRoom())/r.Input.LogGrowth(), f.Limits.Retention.Seconds()
	if seconds >= enough {
		return nil
	}
	reach := time.Duration(seconds * float64(time.Second))
	wanted := int(float64(c.MaxLogFile)*enough/max(seconds, 1)) + 1
	return one(Finding{
		Text: fmt.Sprintf("at the present rate audit.log keeps the last %s: what is lost in a longer outage of the relay cannot be recovered", span(reach)),
		Evidence: fmt.Sprintf("%s: max_log_file = %d, num_logs = %d; %.0f records/s of %.0f bytes in the last five minutes",
			c.File, c.MaxLogFile, c.NumLogs, r.Input.LongRate, f.perRecord()),
		Fix: setKey(c.File, "max_log_file", strconv.Itoa(wanted)) + " && " + f.reload(),
	})
}

func findQueueSuspended(f *Facts) []Finding {
	s := f.State.Value
	if !f.State.Known() || !s.QueueSuspended {
		return nil
	}
	return one(Finding{
		Text:     "auditd's queue was full, and overflow_action = suspend: plugins get nothing until it is resumed",
		Evidence: fmt.Sprintf("%s (written %s): plugin queueing suspended = yes", s.File, s.Written.Format(time.DateTime)),
		Fix:      fmt.Sprintf("kill -USR2 %d && kill -CONT %d", f.Auditd.Value.PID, f.Auditd.Value.PID),
	})
}

func findQueueFull(f *Facts) []Finding {
	s, seen := f.State.Value, ""
	switch {
	case f.State.Known() && s.Overflowed:
		seen = fmt.Sprintf("%s (written %s): plugin queue overflow detected = yes, at most %d of %d", s.File, s.Written.Format(time.DateTime), s.MaxQueue, s.Depth)
	case f.says("queue to plugins is full") != "":
		seen = "auditd has logged: " + f.says("queue to plugins is full")
	default:
		return nil
	}

	depth := max(f.Auditd.Value.Conf.QDepth, s.Depth)
	text := "auditd has dropped records that were for its plugins, and slowed the host down for them"
	if f.recovers() {
		text += "; those in audit.log were recovered"
	}
	return one(Finding{
		Text: text, Evidence: seen,
		Fix: setKey(f.Auditd.Value.Conf.File, "q_depth", strconv.Itoa(min(99_999, max(8000, 2*depth)))) + " && " + f.restart(),
	})
}

// says is the last line that auditd has logged with these words.
func (f *Facts) says(words string) string {
	for i := len(f.Messages.Value) - 1; i >= 0; i-- {
		if strings.Contains(f.Messages.Value[i], words) {
			return f.Messages.Value[i]
		}
	}
	return ""
}

// shortQueue is the q_depth below which auditd itself warns (C: q_depth_parser).
const shortQueue = 512

func findQueueShort(f *Facts) []Finding {
	a := f.Auditd.Value
	if !f.Auditd.Known() || a.OneDispatcher() || a.Conf.QDepth >= shortQueue {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("auditd queues %d records for its plugins, which a burst of some %d events fills", a.Conf.QDepth, max(1, a.Conf.QDepth/6)),
		Evidence: fmt.Sprintf("%s: q_depth = %d", a.Conf.File, a.Conf.QDepth),
		Fix:      setKey(a.Conf.File, "q_depth", "2000") + " && " + f.restart(),
	})
}

func findQueueAction(f *Facts) []Finding {
	a := f.Auditd.Value
	what := map[string]string{
		"ignore": "when its queue is full, auditd drops records and says nothing", "suspend": "when its queue is full once, auditd gives its plugins nothing any more",
	}[a.Conf.OverflowAction]
	if what == "" || !f.Auditd.Known() || a.OneDispatcher() {
		return nil
	}
	return one(Finding{
		Text: what, Evidence: fmt.Sprintf("%s: overflow_action = %s", a.Conf.File, a.Conf.OverflowAction),
		Fix: setKey(a.Conf.File, "overflow_action", "SYSLOG") + " && " + f.reload(),
	})
}

// setKey is the command that gives a key of auditd.conf, or of a plugin's file, a value, whether or
// not it is there, and with any number of blanks.
func setKey(file, key, value string) string {
	return fmt.Sprintf("sed -i -e '1i %s = %s' -e '/^ *%s *=/Id' %s", key, value, key, quote(file))
}

// size is a number of bytes for a person.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// span is a duration for a person.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
