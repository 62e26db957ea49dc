package plugin

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"audisp-relay/audit/stream"
	"audisp-relay/host"
	"audisp-relay/plugin/consumer"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/recovery"
)

// Report is what the plugin says of itself: over the control socket, in the
// state file and, in part, in the log.
type Report struct {
	Version string    `json:"version"`
	FIPS    string    `json:"fips_module,omitempty"` // FIPSModule
	Pid     int       `json:"pid"`
	Parent  int       `json:"parent_pid"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"`

	Config      string    `json:"config"`
	ConfigAt    time.Time `json:"config_loaded"`
	ConfigSum   string    `json:"config_sha256,omitempty"`        // of the file as it was read then
	ConfigLater []string  `json:"config_at_next_start,omitempty"` // keys that were changed since the start, and count from the next one on
	ConfigError string    `json:"config_error,omitempty"`
	Reloads     uint64    `json:"reloads"`
	State       string    `json:"state"`         // StateOK, StateDegraded or StateLosing
	Why         []string  `json:"state_reasons"` // a sentence each, the worst first; empty if it is StateOK
	Degraded    []string  `json:"degraded"`      // what needs attention: "config", "log", "state_dir", names of sinks; empty if nothing

	Sandbox   sandbox.Report    `json:"sandbox"`
	Input     Input             `json:"input"`
	Memory    MemoryReport      `json:"memory"`
	Recovery  recovery.Shown    `json:"recovery"`
	Consumers []consumer.Report `json:"consumers"`
	Panics    uint64            `json:"panics"` // of the relay itself that were caught
	PanicLast string            `json:"panic_last,omitempty"`
	// StateFault is why positions, or the spool of a sink, cannot be kept in state_dir; "" where they are.
	StateFault string `json:"state_dir_fault,omitempty"`

	// MetricsCert is when the certificate expires with which metrics are read over TLS; zero without one.
	MetricsCert time.Time `json:"metrics_certificate_expires,omitzero"`

	LogDropped uint64 `json:"log_lines_suppressed"`
	LogFault   string `json:"log_fault,omitempty"`         // why the relay's own log is not where it should be
	LogWaiting int    `json:"log_lines_waiting,omitempty"` // what could not be written, the last of each message
	LogLost    uint64 `json:"log_lines_lost,omitempty"`    // what was neither written nor kept
}

// Input is what came in on stdin.
type Input struct {
	stream.Counts
	Last   time.Time `json:"last_record"`  // arrival
	Newest time.Time `json:"newest_event"` // the own time of what came last
	// NewestSerial is the serial of what came last.
	NewestSerial uint32        `json:"newest_serial"`
	Stalls       uint64        `json:"stalls"` // times a lossless consumer stopped the reading
	Stalled      time.Duration `json:"stalled_ns"`
	Rate         float64       `json:"records_per_second"` // over the last ten seconds, as the next
	Events       float64       `json:"events_per_second"`
	// LongRate is that of records over the last five minutes, or since the start: what says how fast
	// audit.log fills, which a burst of seconds does not.
	LongRate float64 `json:"records_per_second_5m"`
	// Classes is how many events came, by what they are: avc, login, exec, anomaly, other. An event
	// counts once, when a record shows its class or when it ends.
	Classes map[string]uint64 `json:"events_by_class"`
	// Buffer is what the socket from auditd holds, as the kernel counts it; Waiting the bytes of
	// text in it, -1 where stdin is no socket.
	Buffer  int64 `json:"buffer_bytes"`
	Waiting int64 `json:"waiting_bytes"`
	// Kernel is what the kernel said within the last ten seconds, nil where it does not answer.
	Kernel *host.KernelCounts `json:"kernel,omitempty"`
	// LogReach is how many seconds all files of audit.log last at LongRate; 0 where that is not known,
	// nothing comes, or auditd overwrites none of them.
	LogReach float64 `json:"log_reach_seconds,omitempty"`
	// AuditdQueue is nil where auditd has made no state report within the last five minutes.
	AuditdQueue *AuditdQueue `json:"auditd_queue,omitempty"`
	// Totals are those of all runs with this state_dir.
	Totals map[string]uint64 `json:"totals"`
}

// typicalRecord is about how many bytes of text the records of a system call have.
const typicalRecord = 300

// PerRecord is how many bytes of text a record has on average, as audit.log and a spool have it. An
// auditd up to 4.1.0 fills each binary record up to paddedRecord bytes, which says nothing of that.
func (in *Input) PerRecord() float64 {
	const paddedRecord = 8970
	if in.Records == 0 || in.Bytes/in.Records >= paddedRecord {
		return typicalRecord
	}
	return float64(in.Bytes) / float64(in.Records)
}

// LogGrowth is how many bytes a second audit.log grows by, at LongRate.
func (in *Input) LogGrowth() float64 { return in.LongRate * in.PerRecord() }

// Consumer returns what the report says of a sink, nil where it does not have the sink.
func (r *Report) Consumer(name string) *consumer.Report {
	i := slices.IndexFunc(r.Consumers, func(c consumer.Report) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Consumers[i]
}

// degraded lists what needs attention.
func (r *Report) degraded() []string {
	list := []string{}
	if r.ConfigError != "" {
		list = append(list, "config")
	}
	if r.LogFault != "" {
		list = append(list, "log")
	}
	if r.StateFault != "" {
		list = append(list, "state_dir")
	}
	for i := range r.Consumers {
		if c := &r.Consumers[i]; c.Sink.Degraded || c.Suspended || c.Stopped {
			list = append(list, "sinks."+c.Name)
		}
	}
	return list
}

// WriteText writes the report as "key = value" lines, as auditd's own state
// report has them.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(key string, value any) { // a server's error is one line, too, and does nothing to a terminal
		text := strings.ReplaceAll(fmt.Sprintf("%s = %v", key, value), "\n", "; ")
		b.Write(append(shown([]byte(text)), '\n'))
	}
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Local().Format(time.DateTime)
	}

	line("audisp-relay version", r.Version)
	line("fips module", cmp.Or(r.FIPS, "none"))
	line("current time", stamp(r.Now))
	line("pid", r.Pid)
	line("parent pid", r.Parent)
	line("started", stamp(r.Started))
	line("config", r.Config)
	line("config loaded", stamp(r.ConfigAt))
	line("config error", cmp.Or(r.ConfigError, "none"))
	line("config at the next start", cmp.Or(strings.Join(r.ConfigLater, ", "), "the same"))
	line("reloads", r.Reloads)
	line("records received", r.Input.Records)
	line("bytes received", r.Input.Bytes)
	line("last record", stamp(r.Input.Last))
	line("records without id", r.Input.NoID)
	line("overlong lines", r.Input.Oversize)
	line("bytes that were no record", r.Input.Junk)
	line("resynchronisations", r.Input.Resyncs)
	line("reader stalls", r.Input.Stalls)
	line("reader stalled", r.Input.Stalled.Round(time.Millisecond))
	line("log lines suppressed", r.LogDropped)
	line("own log fault", cmp.Or(r.LogFault, "none"))
	if r.LogWaiting > 0 || r.LogLost > 0 {
		line("own log lines", fmt.Sprintf("%d wait to be written, %d are lost", r.LogWaiting, r.LogLost))
	}

	line("state_dir fault", cmp.Or(r.StateFault, "none"))
	line("sandbox", r.Sandbox)
	line("panics caught", consumer.WithLast(r.Panics, r.PanicLast))
	line("memory", r.Memory.text())
	r.writeRecovery(line)
	for i := range r.Consumers {
		r.Consumers[i].WriteText(line, stamp)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeRecovery(line func(string, any)) {
	c := r.Recovery
	line("leading", cmp.Or(c.Mode, "none"))
	line("log led", fmt.Sprintf("%d times", c.Led))
	line("log error", cmp.Or(c.LogError, "none"))
	line("records resumed from the log", c.Resumed)
	line("records recovered from the log", c.Recovered)
	line("records mended from the log", c.Mended)
	line("records that only the log has", c.LogOnly)
	line("lines of the log forged or foreign", c.Foreign)
	line("serials missing", fmt.Sprintf("%d in %d holes, %d came late", c.Serials.Missing, c.Serials.Holes, c.Serials.Late+c.Serials.Filled))
	line("events damaged", c.Serials.Damaged)
	line("nodes", fmt.Sprintf("%d (%d forgotten, %d records not watched)", c.Serials.Nodes, c.Serials.Forgot, c.Serials.Unwatched))
	line("events lost upstream", c.LostHoles)
	line("events while auditd was stopped", c.Stopped)
	for _, key := range slices.Sorted(maps.Keys(r.Input.Totals)) {
		line("total "+key, r.Input.Totals[key])
	}
}
