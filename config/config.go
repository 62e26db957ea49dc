// Package config turns the relay's TOML file, and an audispd-style plugins.d
// where one is named, into a checked Config.
//
// It only reads: nothing here creates, opens or changes what a config names.
// All functions may be called from any goroutine; what they return belongs to
// the caller and shares nothing with other results.
package config

import "path/filepath"

// Defaults and bounds. The bounds keep a typing error from becoming a memory
// limit nobody meant or a queue that holds nothing.
const (
	DefaultFile   = "/etc/audit/audisp-relay.toml"
	DefaultRunDir = "/run/audisp-relay"
	// DefaultStateDir survives a reboot, DefaultRunDir does not.
	DefaultStateDir = "/var/lib/audisp-relay"

	DefaultQDepth        = 16384
	DefaultQBytes   Size = 32 << 20
	DefaultInput    Size = 32 << 20
	DefaultMemory   Size = 128 << 20
	DefaultSpool    Size = 256 << 20
	DefaultOOMScore      = -500
	DefaultBoost         = 4
	DefaultRestarts      = 10 // auditd's and audispd's own max_restarts
	// DefaultMaxMessage leaves a default rsyslogd (8096 bytes) room for the header
	// with which it sends a message on.
	DefaultMaxMessage Size = 8000

	maxQDepth          = 1_000_000
	maxBoost           = 39 // the whole width of the nice scale
	maxRestarts        = 99_999
	maxClients         = 1024
	maxFiles           = 1000
	maxOOMScore        = 1000
	maxRunDir          = 80      // leaves room for the names of the sockets in it
	maxInput      Size = 1 << 30 // the kernel doubles what SO_SNDBUF is given, an int (socket(7))
	maxSunPath         = 107     // sun_path is 108 bytes with its final NUL, unix(7)
	maxUID             = 1<<32 - 2
	maxSize       Size = 16 << 40 // far more than any host has, and sums and products of it fit
	minQBytes          = 64 << 10
	minMemory          = 32 << 20
	minMaxSize         = 64 << 10
	minSpool           = 1 << 20 // some sixteen full batches
	minMessage         = 1 << 10 // RFC 3164, 4.1; and text has room behind every header
	maxMessage         = 4 << 20 // more than the longest event becomes
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
	InputBuffer    Size   // wanted size of the pipe from auditd; 0 leaves it alone
	MemoryLimit    Size   // what the process as a whole aims to stay under
	RunDir         string // absolute directory of control socket and state report
	StateDir       string // absolute directory of what outlives the process: spools, positions
	LossMarkers    bool   // a record in a consumer's stream tells it what it lost
	PluginDir      string // absolute path of an audispd-style plugins.d, or ""
	Spool          Spool  // for sinks that say nothing else
	Recovery       Recovery
	Log            Log
	Sinks          []Sink // sorted by Name; never two of one name or one path
	File           string // the file this was read from, "" for Default
}

// Spool is the disk behind a queue's memory.
type Spool struct {
	MaxSize Size   // bytes on disk, for each consumer; 0 means no spool
	Sync    string // when it is fsynced: "none", "interval" (once a second) or "batch"
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
}

// Sink is one consumer: what it is and the policy of its queue. Settings the
// sink does not name itself have been filled in from the Config.
type Sink struct {
	Name   string // [A-Za-z0-9_-]{1,64}
	Type   string // "unix", "file", "syslog" or "program"
	Format string // "string", "binary", "json", "ecs" or "laurel"
	Filter string // which events it gets, package filter; "" means all

	QDepth         int
	QBytes         Size
	QOS            string
	OverflowAction string
	Spool          Spool

	NameFormat string // as Config.NameFormat; consumers of plugin_dir get audispd.conf's
	NodeName   string // the name of NameFormat "user"
	// NodeRawOnly keeps node= away from records auditd wrote itself (ver 1):
	// audispd gave it to ver 0 records only.
	NodeRawOnly bool
	// Frames is how long binary frames are: "exact", which "" means too, "padded" or
	// "auto": as the installed auditd writes them to its plugins.
	Frames string
	// DropEOE leaves EOE records out, as audispd's builtin_syslog did. Only
	// consumers of plugin_dir have it.
	DropEOE bool

	// Exactly the one of Type is not nil.
	Unix    *Unix
	File    *File
	Syslog  *Syslog
	Program *Program

	Origin string // "file:line" of the table or plugin conf it comes from
}

// Unix is an AF_UNIX socket: one that is listened on, or one of a collector's.
type Unix struct {
	Path       string // absolute, at most 107 bytes
	Mode       uint32 // permission bits
	Owner      string // user name or number
	Group      string // group name or number
	AllowUIDs  []int  // who may connect; nil means whoever the mode lets in
	MaxClients int
	SlowClient string // "disconnect" or "drop"
	WhenIdle   string // "discard" or "queue": what happens while nobody is connected
	MaxPerUID  int    // connections of one user other than root; 0: as many as MaxClients
	Connect    bool   // a collector listens at Path: of the rest only that counts
}

// File is a file that records are appended to.
type File struct {
	Path     string // absolute
	Mode     uint32 // permission bits of a file the sink creates
	Owner    string // user name or number
	Group    string // group name or number
	MaxSize  Size   // bytes at which it is rotated; 0 leaves that to logrotate
	MaxFiles int    // files kept, the live one included
	Compress bool   // gzip the rotated files
	Sync     string // "none", "interval" (once a second) or "batch"

	// Reserved is what the file must not be, by whatever name. Load fills it in.
	Reserved []Reserved
}

// Reserved is a file, with what it is renamed to at a rotation (Path.1, Path.2.gz, ...), or a
// directory with all that is in it, that belongs to somebody else.
type Reserved struct {
	Path string // absolute
	Dir  bool
	Of   string // whose it is: "auditd (log_file of auditd.conf)"
}

// Syslog is a syslog server or the local daemon.
type Syslog struct {
	Transport string // "local", "udp", "tcp", "tls" or "relp"
	Address   string // absolute path of a socket for local, else host:port
	Protocol  string // "rfc3164" or "rfc5424"
	Facility  string // lower-case name: "user", "local0", ...
	Severity  string // lower-case name: "info", "err", ...
	Tag       string // TAG of RFC 3164, APP-NAME of RFC 5424
	// MaxMessage is the most bytes of a message, header and text; what a record has
	// more goes on in the next.
	MaxMessage Size
	// Framing tells messages apart, for tcp and tls: "octet-counted", "newline" or
	// "both"; "" otherwise.
	Framing string

	// For tls and relp only; all "" otherwise.
	CAFile     string // absolute path of the CAs' certificates; "": the system's
	CertFile   string // absolute path of the client's certificate, "" for none
	KeyFile    string // and of its key; never one of both alone
	ServerName string // whom the server's certificate is for; "": the host of Address
}

// TLS reports whether the connection is encrypted: with tls always, with relp
// when any key says something about it.
func (l *Syslog) TLS() bool {
	return l.Transport == "tls" || l.Transport == "relp" && (l.CAFile != "" || l.CertFile != "" || l.ServerName != "")
}

// Program is a child with the stream on its stdin.
type Program struct {
	Path        string   // absolute
	Args        []string // argv[1:]
	MaxRestarts int      // restarts before the sink counts as degraded
	User        string   // name or number of the user as whom it runs; "" means the relay's
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
		PriorityBoost:  DefaultBoost,
		OOMScoreAdj:    DefaultOOMScore,
		NameFormat:     "none",
		InputBuffer:    DefaultInput,
		MemoryLimit:    DefaultMemory,
		RunDir:         DefaultRunDir,
		StateDir:       DefaultStateDir,
		LossMarkers:    true,
		Spool:          Spool{MaxSize: DefaultSpool, Sync: "interval"},
		Recovery:       Recovery{Enabled: true},
		Log:            Log{Level: "info", Output: "syslog"},
	}
}

// BuiltIn is the origin of the sink of a config that names none.
const BuiltIn = "built-in default"

// localSink is the consumer of a config that names none.
func localSink(c *Config) Sink {
	s := newSink("local", c)
	s.Type = "unix"
	s.Origin = BuiltIn
	s.Unix = newUnix()
	s.Unix.Path = filepath.Join(c.RunDir, "events.sock")
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
	}
}

func newUnix() *Unix {
	return &Unix{
		Mode:       0o660,
		Owner:      "root",
		Group:      "adm",
		MaxClients: 16,
		MaxPerUID:  8,
		SlowClient: "disconnect",
		WhenIdle:   "discard",
	}
}

func newFile() *File {
	return &File{
		Mode:     0o640,
		Owner:    "root",
		Group:    "root",
		MaxSize:  64 << 20,
		MaxFiles: 8,
		Sync:     "interval",
	}
}

func newSyslog() *Syslog {
	return &Syslog{
		Transport: "local",
		Facility:  "user",
		Severity:  "info",
		Tag:       "audisp-relay",

		MaxMessage: DefaultMaxMessage,
	}
}

func newProgram() *Program { return &Program{MaxRestarts: DefaultRestarts} }
