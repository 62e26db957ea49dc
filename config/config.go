// Package config turns the relay's TOML file, and an audispd-style plugins.d
// where one is named, into a checked Config.
//
// It only reads: nothing here creates, opens or changes what a config names.
// All functions may be called from any goroutine; what they return belongs to
// the caller and shares nothing with other results.
package config

import (
	"path/filepath"
	"time"

	"audisp-relay/audit/process"
	"audisp-relay/filter"
	"audisp-relay/format"
)

// Defaults and bounds. The bounds keep a typing error from becoming a memory
// limit that was not meant, or a queue that holds nothing.
const (
	DefaultFile   = "/etc/audit/audisp-relay.toml"
	DefaultRunDir = "/run/audisp-relay"
	// DefaultStateDir survives a reboot, DefaultRunDir does not.
	DefaultStateDir = "/var/lib/audisp-relay"

	DefaultQDepth        = 16384
	DefaultQBytes   Size = 32 << 20
	defaultInput    Size = 32 << 20
	DefaultMemory   Size = 128 << 20
	defaultSpool    Size = 256 << 20
	defaultOOMScore      = -500
	defaultBoost         = 4
	defaultWarnAt        = 75 // percent of a spool, auditd's usual share for a warning (space_left = 25%)
	defaultAfter         = 10 * time.Minute

	// DefaultRestarts and MaxRestarts are auditd's and audispd's own of max_restarts.
	DefaultRestarts = 10
	MaxRestarts     = 99_999

	maxQDepth        = 1_000_000
	maxBoost         = 39 // the whole width of the nice scale
	maxOOMScore      = 1000
	maxRunDir        = 80      // leaves room for the names of the sockets in it
	maxInput    Size = 1 << 30 // the kernel doubles what SO_SNDBUF is given, an int (socket(7))
	maxSunPath       = 107     // sun_path is 108 bytes with its final NUL, unix(7)
	maxUID           = 1<<32 - 2
	maxSize     Size = 16 << 40 // far more than any host has, and sums and products of it fit
	minQBytes        = 64 << 10
	minMemory        = 32 << 20
	minSpool         = 1 << 20 // some sixteen full batches
	// usedSpool is about what a spool takes at most, however large it may be: the queue knows of so many frames (maxStored in
	// queue/spiller.go).
	usedSpool     Size = 4 << 30
	maxConfigSize      = 1 << 20
)

// Config is a whole checked configuration. A Config from Load, Parse or
// Default has every field set and within its bounds.
type Config struct {
	QDepth         int    // records a consumer's queue holds in memory
	QBytes         Size   // bytes it holds; whichever of the two is reached first counts
	QOS            string // "lossy" or "lossless"
	OverflowAction string // "ignore", "syslog", "suspend", "single" or "halt"
	PriorityBoost  int    // nice levels to gain over the parent's, 0 to 39
	OOMScoreAdj    int    // what goes to /proc/self/oom_score_adj, -1000 to 1000
	NameFormat     string // "none", "hostname", "fqd", "numeric" or "user": node= where auditd sent none
	Name           string // the node name of NameFormat "user"
	Sandbox        string // "on" or "off": whether the process gives up what it does not need
	InputBuffer    Size   // wanted size of the pipe from auditd; 0 leaves it alone
	MemoryLimit    Size   // what the process as a whole aims to stay under
	RunDir         string // absolute directory of control socket and state report
	StateDir       string // absolute directory of what outlives the process: spools, positions
	ProcessContext bool   // events have what is known of who started their process
	ProcessCgroup  bool   // and in which unit and container it is
	ProcessHash    Size   // and the hash of its program, up to that size; 0: of none
	LossMarkers    bool   // a record in a consumer's stream reports what it lost
	PluginDir      string // absolute path of an audispd-style plugins.d, or ""
	Spool          Spool  // for sinks that say nothing else
	Recovery       Recovery
	Log            Log
	Metrics        Metrics
	Rules          *filter.RuleSet // of the table [rules]; nil: there are none
	Labels         *process.Labels // of the table [process_labels]; nil: there are none
	Sinks          []Sink          // sorted by Name; never two of one name or one path
	File           string          // the file this was read from, "" for Default
	Sum            string          // SHA-256 of its bytes, in hex. Load fills it in
}

// Spool is the disk that extends a queue's memory.
type Spool struct {
	MaxSize Size   // bytes on disk, for each consumer; 0 means no spool
	Sync    string // when it is fsynced: "none", "interval" (once a second) or "batch"
	WarnAt  int    // percent of MaxSize from which on it is warned of; 0: never
}

// Recovery is how holes in the stream are filled from auditd's own log.
type Recovery struct {
	Enabled bool
	LogFile string // absolute path of audit.log; "" means that of auditd.conf
}

// Log says where the relay's own messages go.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Output string // "syslog", "stderr" or the absolute path of a file

	Reserved []Reserved // what such a file must not be, by whatever name. Load fills it in
}

// Sink is one consumer: what it is and the policy of its queue. Settings the
// sink does not name itself have been filled in from the Config.
type Sink struct {
	Name   string          // [A-Za-z0-9_-]{1,64}
	Type   string          // the Name of its Kind
	Format string          // one of format.Names
	Filter string          // which events it gets, package filter; "" means all
	Lists  []string        // files that Filter takes values from
	Rules  *filter.RuleSet // those of the Config
	Serial bool            // events come in the order of their serials: order = "serial"
	// DataStream is what events of format ecs say of the data stream that they are for; the zero value: nothing.
	DataStream format.DataStream

	QDepth         int
	QBytes         Size
	QOS            string
	OverflowAction string
	Spool          Spool

	// What is done, besides what overflow_action does, when the sink has failed for After: "ignore",
	// "syslog", "exec PATH", "suspend", "single" or "halt".
	NetworkFailureAction string // its server cannot be reached; "ignore" without a server
	DiskFullAction       string // a disk is full: its spool's, or that of its file
	After                time.Duration

	NameFormat string // as Config.NameFormat, "hostname" instead of "none" with node = "add"; consumers of plugin_dir get audispd.conf's
	NodeName   string // the name of NameFormat "user"
	// StripNode leaves node= out of the records' text: node = "strip".
	StripNode bool
	// NodeRawOnly keeps node= away from records auditd wrote itself (ver 1):
	// audispd gave it to ver 0 records only.
	NodeRawOnly bool
	// Frames is how long binary frames are: "exact", which "" means too, "padded" or
	// "auto": as the installed auditd writes them to its plugins.
	Frames string
	// DropEOE leaves EOE records out, as audispd's builtin_syslog did. Only
	// consumers of plugin_dir have it.
	DropEOE bool

	// Settings are those of its Type. What follows is what others have to know of them.
	Settings   Settings
	Output     string     // path that it creates, "" for none
	Files      int        // names it uses if that is a file: Output, Output.1, ...; else 0
	Reserved   []Reserved // what such a file must not be, by whatever name. Load fills it in
	Program    string     // path of the program that it runs, "" for none
	Events     bool       // it gets whole events, whatever its format is
	SlowClient string     // "disconnect" or "drop" the slowest of several readers; else ""
	WhenIdle   string     // "discard": records that come while there is no reader; else they wait

	// StateDir is that of the Config: a sink may keep what it has to know after a restart in
	// a directory there. "": it keeps nothing.
	StateDir string

	Origin string // "file:line" of the table or plugin conf it comes from
}

// Reserved is a file, with what it is renamed to at a rotation (Path.1, Path.2.gz, ...), or a
// directory with all that is in it, that belongs to another program.
type Reserved struct {
	Path string // absolute
	Dir  bool
	Of   string // whose it is: "auditd (log_file of auditd.conf)"
}

// Default gives the configuration of a relay without a config file: one unix
// sink "local".
func Default() *Config {
	c := globals()
	c.Sinks = []Sink{localSink(c)}
	return c
}

// globals gives the defaults of everything but the sinks.
func globals() *Config {
	return &Config{
		QDepth:         DefaultQDepth,
		QBytes:         DefaultQBytes,
		QOS:            "lossy",
		OverflowAction: "syslog",
		PriorityBoost:  defaultBoost,
		OOMScoreAdj:    defaultOOMScore,
		NameFormat:     "none",
		Sandbox:        "on",
		InputBuffer:    defaultInput,
		MemoryLimit:    DefaultMemory,
		RunDir:         DefaultRunDir,
		StateDir:       DefaultStateDir,
		ProcessContext: true,
		LossMarkers:    true,
		Spool:          Spool{MaxSize: defaultSpool, Sync: "interval", WarnAt: defaultWarnAt},
		Recovery:       Recovery{Enabled: true},
		Log:            Log{Level: "info", Output: "syslog"},
		Metrics:        Metrics{Socket: true, TLS: true},
	}
}

// BuiltIn is the origin of the sink of a config that names none.
const BuiltIn = "built-in default"

// localSink is the consumer of a config that names none.
func localSink(c *Config) Sink {
	s := newSink("local", c)
	s.Type, s.Origin = "unix", BuiltIn
	// A program that lacks the type says so when it makes the sink.
	_ = readMade(&s, map[string]any{"path": filepath.Join(c.RunDir, "events.sock")})
	return s
}

// newSink gives a sink without a type, its policy inherited from c.
func newSink(name string, c *Config) Sink {
	return Sink{
		Name:           name,
		Format:         "string",
		QDepth:         c.QDepth,
		QBytes:         c.QBytes,
		QOS:            c.QOS,
		OverflowAction: c.OverflowAction,
		Spool:          c.Spool,
		NameFormat:     c.NameFormat,
		NodeName:       c.Name,
		StateDir:       c.StateDir,
		Rules:          c.Rules,

		NetworkFailureAction: NoAction, DiskFullAction: NoAction, After: defaultAfter,
	}
}
