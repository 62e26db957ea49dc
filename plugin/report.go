package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"audisp-relay/audit/event"
	"audisp-relay/audit/stream"
	"audisp-relay/queue"
	"audisp-relay/recovery"
	"audisp-relay/sinks"
)

// Report is what the plugin says of itself: over the control socket, in the
// state file and, in part, in the log.
type Report struct {
	Version string    `json:"version"`
	Pid     int       `json:"pid"`
	Parent  int       `json:"parent_pid"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"`

	Config      string    `json:"config"`
	ConfigAt    time.Time `json:"config_loaded"`
	ConfigError string    `json:"config_error,omitempty"`
	Reloads     uint64    `json:"reloads"`
	Degraded    []string  `json:"degraded"` // what needs attention: "config", "log", names of sinks; empty if nothing

	Input      Input            `json:"input"`
	Memory     MemoryReport     `json:"memory"`
	Recovery   recovery.Shown   `json:"recovery"`
	Consumers  []ConsumerReport `json:"consumers"`
	Panics     uint64           `json:"panics"` // of the relay itself that were caught
	PanicLast  string           `json:"panic_last,omitempty"`
	LogDropped uint64           `json:"log_lines_suppressed"`
	LogFault   string           `json:"log_fault,omitempty"`         // why the relay's own log is not where it should be
	LogWaiting int              `json:"log_lines_waiting,omitempty"` // what could not be written, the last of each message
	LogLost    uint64           `json:"log_lines_lost,omitempty"`    // what was neither written nor kept
}

// Input is what came in on stdin.
type Input struct {
	stream.Counts
	Last    time.Time     `json:"last_record"`  // arrival
	Newest  time.Time     `json:"newest_event"` // the own time of what came last
	Stalls  uint64        `json:"stalls"`       // times a lossless consumer stopped the reading
	Stalled time.Duration `json:"stalled_ns"`
	// Totals are those of all runs with this state_dir.
	Totals map[string]uint64 `json:"totals"`
}

// ConsumerReport is the balance of one consumer: Received = Delivered + Filtered +
// Discarded + Queued + LostTotal. What was lost before it came here, causes
// upstream and kernel, is no part of that.
type ConsumerReport struct {
	Name      string                `json:"name"`
	Type      string                `json:"type"`
	Format    string                `json:"format"`
	Filter    string                `json:"filter,omitempty"`
	Received  uint64                `json:"received"`
	Delivered uint64                `json:"delivered"`
	Filtered  uint64                `json:"filtered"` // its filter left them out
	Discarded uint64                `json:"discarded"`
	Queued    uint64                `json:"queued"`
	Bytes     int64                 `json:"queued_bytes"`
	Depth     int                   `json:"q_depth"` // what memory holds at most, and in bytes
	Room      int64                 `json:"q_bytes"`
	MaxDepth  int                   `json:"max_queued"`
	Cut       uint64                `json:"cut_lines,omitempty"`
	Suspended bool                  `json:"suspended,omitempty"`
	LostTotal uint64                `json:"lost"`
	Lost      map[string]LossReport `json:"lost_by_cause,omitempty"`
	Stalls    uint64                `json:"stalls,omitempty"`
	Stalled   time.Duration         `json:"stalled_ns,omitempty"`
	TakenOver uint64                `json:"taken_over,omitempty"` // of Received: from the spool of an earlier run
	Spooled   uint64                `json:"spooled"`              // of Queued, about: on disk
	SpoolSize int64                 `json:"spool_bytes"`
	Spilled   uint64                `json:"spilled,omitempty"` // records that went to disk, in all
	Poison    uint64                `json:"poison"`            // panics over its events, each given raw
	PoisonAt  string                `json:"poison_last,omitempty"`
	Markers   uint64                `json:"loss_markers,omitempty"`
	Events    *EventReport          `json:"events,omitempty"` // of a consumer that gets whole events
	Ledger    map[string]uint64     `json:"ledger"`           // the balance of all runs with this state_dir
	Sink      sinks.Status          `json:"sink"`
}

// UnmarshalJSON implements json.Unmarshaler: the type of the sink says which details it has.
func (c *ConsumerReport) UnmarshalJSON(text []byte) error {
	type plain ConsumerReport // without this method
	if err := json.Unmarshal(text, (*plain)(c)); err != nil {
		return err
	}
	if c.Sink.Details = sinks.NewDetails(c.Type); c.Sink.Details == nil {
		return nil
	}
	return json.Unmarshal(text, &struct {
		Sink sinks.Details `json:"sink"`
	}{c.Sink.Details})
}

// EventReport says how records became events for one consumer.
type EventReport struct {
	event.AssemblerCounts
	FilterErrors uint64 `json:"filter_errors"` // events that the filter failed on, and that were kept
	FilterError  string `json:"filter_error,omitempty"`
	Unread       uint64 `json:"unread_kept"` // records without a readable header that the filter kept
	UnreadCause  string `json:"unread_cause,omitempty"`
}

// LossReport is what one cause has cost a consumer.
type LossReport struct {
	Records uint64    `json:"records"`
	Events  uint64    `json:"events"`
	First   uint32    `json:"first_serial"`
	Last    uint32    `json:"last_serial"`
	At      time.Time `json:"last_at"`
}

// report returns the balance and the state of c.
func (c *consumer) report() ConsumerReport {
	n, base := c.balance()
	c.mu.Lock()
	cfg, sink, bounds, panicked := c.cfg, c.sink, c.now.Config(), c.panicked
	c.mu.Unlock()
	r := ConsumerReport{
		Name: c.name, Type: cfg.Type, Format: cfg.Format, Filter: cfg.Filter,
		Received: n.Received, Delivered: n.Delivered, Filtered: n.Filtered, Discarded: n.Discarded,
		Queued: n.Queued, Bytes: n.QueuedBytes, Depth: bounds.Depth, Room: bounds.Bytes, MaxDepth: n.MaxDepth, Cut: n.Cut,
		Suspended: n.Suspended, LostTotal: n.LostRecords(), Stalls: n.Stalls, Stalled: n.StalledNow(),
		TakenOver: n.TakenOver, Spooled: n.Spooled, SpoolSize: n.SpoolBytes, Spilled: n.Spilled, Markers: n.Markers,
		Ledger: totals(base, &n, true),
	}
	r.Sink.Details = sinks.NewDetails(cfg.Type)
	if sink != nil {
		r.Sink = sink.Status()
	}
	r.Events = c.intake.report()
	r.Poison, r.PoisonAt = c.poison.shown()
	if panicked != nil {
		r.Sink.Degraded, r.Sink.Error = true, panicked.Error()
	}
	for cause := range queue.NumCauses {
		if l := n.Lost[cause]; l.Records > 0 || l.Events > 0 {
			if r.Lost == nil {
				r.Lost = make(map[string]LossReport)
			}
			r.Lost[cause.String()] = LossReport{Records: l.Records, Events: l.Events, First: l.First, Last: l.Last, At: l.At}
		}
	}
	return r
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
	for i := range r.Consumers {
		if c := &r.Consumers[i]; c.Sink.Degraded || c.Suspended {
			list = append(list, "sinks."+c.Name)
		}
	}
	return list
}

// WriteText writes the report as "key = value" lines, as auditd's own state
// report has them.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s = %v\n", key, value) }
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Local().Format(time.DateTime)
	}
	line("audisp-relay version", r.Version)
	line("current time", stamp(r.Now))
	line("pid", r.Pid)
	line("parent pid", r.Parent)
	line("started", stamp(r.Started))
	line("config", r.Config)
	line("config loaded", stamp(r.ConfigAt))
	line("config error", orNone(r.ConfigError))
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
	line("own log fault", orNone(r.LogFault))
	if r.LogWaiting > 0 || r.LogLost > 0 {
		line("own log lines", fmt.Sprintf("%d wait to be written, %d are lost", r.LogWaiting, r.LogLost))
	}
	line("panics caught", withLast(r.Panics, r.PanicLast))
	line("memory", r.Memory.text())
	r.writeRecovery(line)
	for i := range r.Consumers {
		r.Consumers[i].writeText(line, stamp)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeRecovery(line func(string, any)) {
	c := r.Recovery
	line("leading", orNone(c.Mode))
	line("log led", fmt.Sprintf("%d times", c.Led))
	line("log error", orNone(c.LogError))
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

// withLast says how often something was, and what the last of it.
func withLast(times uint64, last string) string {
	if last == "" {
		return strconv.FormatUint(times, 10)
	}
	return fmt.Sprintf("%d, last: %s", times, last)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (c *ConsumerReport) writeText(line func(string, any), stamp func(time.Time) string) {
	key := func(k string) string { return c.Name + " " + k }
	state := "ok"
	if c.Sink.Degraded {
		state = "degraded"
	}
	if c.Suspended {
		state = "suspended (SIGUSR2 resumes)"
	}
	line(key("type"), c.Type)
	line(key("format"), c.Format)
	line(key("filter"), orNone(c.Filter))
	line(key("state"), state+" since "+stamp(c.Sink.Since))
	line(key("last error"), orNone(c.Sink.Error))
	if c.Sink.Flaw != "" {
		line(key("flaw"), c.Sink.Flaw)
	}
	line(key("received"), c.Received)
	line(key("delivered"), c.Delivered)
	line(key("filtered"), c.Filtered)
	line(key("discarded"), c.Discarded)
	line(key("queued"), fmt.Sprintf("%d of %d (%d bytes, at most %d so far)", c.Queued, c.Depth, c.Bytes, c.MaxDepth))
	line(key("spooled"), fmt.Sprintf("%d (%d bytes on disk, %d records spilled so far)", c.Spooled, c.SpoolSize, c.Spilled))
	line(key("taken over"), fmt.Sprintf("%d (from the spool of an earlier run)", c.TakenOver))
	line(key("loss markers"), c.Markers)
	if e := c.Events; e != nil {
		line(key("events"), fmt.Sprintf("%d (%d incomplete; %d are open, %d bytes)",
			e.Events, e.PartialTimer+e.PartialLimit+e.PartialEnd+e.PartialLate, e.Open, e.Bytes))
		line(key("filter errors"), e.FilterErrors)
		line(key("unread, kept by the filter"), e.Unread)
	}
	line(key("poison"), withLast(c.Poison, c.PoisonAt))
	line(key("lost"), c.LostTotal)
	for cause := range queue.NumCauses {
		if l, ok := c.Lost[cause.String()]; ok {
			line(key("lost "+cause.String()), fmt.Sprintf("%d records, %d events, serials %d to %d, last at %s",
				l.Records, l.Events, l.First, l.Last, stamp(l.At)))
		}
	}
	if c.Stalls > 0 {
		line(key("stalled the reader"), strconv.FormatUint(c.Stalls, 10)+" times, "+c.Stalled.Round(time.Millisecond).String())
	}
	for _, k := range slices.Sorted(maps.Keys(c.Ledger)) {
		line(key("total "+k), c.Ledger[k])
	}
	if c.Sink.Details != nil {
		c.Sink.Details.WriteText(func(name string, value any) { line(key(name), value) })
	}
}

// writeFile replaces path with the report's text.
func (r *Report) writeFile(path string) error {
	tmp := path + ".new"
	os.Remove(tmp) // of a run that was killed; or a link, or a FIFO
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("state report: %w", err)
	}
	err = r.WriteText(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("state report: %w", err)
	}
	return nil
}
