package syslog

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/config"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// Bounds of a message, and what it has at most where the configuration does not say it.
const (
	// DefaultMaxMessage leaves a default rsyslogd (8096 bytes) room for the header
	// with which it sends a message on.
	DefaultMaxMessage config.Size = 8000
	minMessage        config.Size = 1 << 10 // RFC 3164, 4.1; and text has room after every header
	maxMessage        config.Size = 4 << 20 // more than the longest event becomes
)

// Config is a syslog server or the local daemon.
type Config struct {
	Transport string // "local", "udp", "tcp", "tls" or "relp"
	Address   string // absolute path of a socket for local, else host:port
	Protocol  string // "rfc3164" or "rfc5424"
	Facility  string // lower-case name: "user", "local0", ...
	Severity  string // lower-case name: "info", "err", ...
	Tag       string // TAG of RFC 3164, APP-NAME of RFC 5424
	// MaxMessage is the most bytes of a message, header and text; a longer record
	// continues in the next one.
	MaxMessage config.Size
	// Framing separates messages, for tcp and tls: "octet-counted", "newline" or
	// "both"; "" otherwise.
	Framing string

	// For tls and relp only; all "" otherwise.
	CAFile     string // absolute path of the CAs' certificates; "": the system's
	CertFile   string // absolute path of the client's certificate, "" for none
	KeyFile    string // and of its key; never one of both alone
	ServerName string // name that the server's certificate is for; "": the host of Address

	Checkpoint bool // among the records
}

// Checkpoints implements sinks.Checkpointed.
func (c *Config) Checkpoints() bool { return c.Checkpoint }

// TLS reports whether the connection is encrypted: with tls always, with relp
// when any key says something about it.
func (c *Config) TLS() bool {
	return c.Transport == "tls" || (c.Transport == "relp" && (c.CAFile != "" || c.CertFile != "" || c.ServerName != ""))
}

func init() {
	sinks.Register(sinks.Kind{
		Kind: config.Kind{Name: "syslog", Text: true, Server: true, Read: read}, New: New, Warden: newWarden, Try: try,
		Details: func() sinks.Details { return new(Details) },
	})
}

// read reads the keys of a sink of type syslog.
func read(t *config.Table, _ *config.Sink) config.Settings {
	c := &Config{Transport: "local", Protocol: "rfc5424", Facility: "user", Severity: "info", Tag: "audisp-relay", MaxMessage: DefaultMaxMessage}
	t.OneOf("transport", &c.Transport, "local", "udp", "tcp", "tls", "relp")
	checkAddress := checkHostPort
	if c.Transport == "local" {
		c.Protocol = "rfc3164" // what local daemons expect on their socket
		c.Address = "/dev/log"
		checkAddress = config.SocketPath
	} else {
		t.Required("address", `"host:port"`)
	}
	t.Str("address", &c.Address, func(s string) error {
		if hint := hintTransport(c.Transport, s); hint != "" {
			return errors.New(hint)
		}
		return checkAddress(s)
	})

	t.OneOf("protocol", &c.Protocol, "rfc3164", "rfc5424")
	t.OneOf("facility", &c.Facility, facilities...)
	t.OneOf("severity", &c.Severity, severities...)
	t.Str("tag", &c.Tag, checkTag)
	t.Boolean("checkpoint", &c.Checkpoint)
	c.readMessage(t)
	c.readTLS(t)
	return c
}

// packetSize is what a message over that transport may have at most: what fits into
// a UDP packet with every header, and what a local daemon's socket buffer takes
// (net.core.wmem_default).
var packetSize = map[string]config.Size{"udp": 65_000, "local": 128 << 10}

// readMessage reads the keys that say how long messages are and how they are separated.
func (c *Config) readMessage(t *config.Table) {
	most, bounded := packetSize[c.Transport]
	if !bounded {
		most = maxMessage
	}
	t.Size("max_message", &c.MaxMessage, minMessage)
	if c.MaxMessage > most {
		t.Errorf("max_message", "%v is too large, must be at most %q with transport %q", t.Quoted("max_message"), most.String(), c.Transport)
		c.MaxMessage = DefaultMaxMessage
	}

	// How messages on a stream are separated: RFC 6587.
	t.Str("framing", &c.Framing, config.EmptyOr(config.OneOf("both", "octet-counted", "newline")))
	switch stream := c.Transport == "tcp" || c.Transport == "tls"; {
	case stream && c.Framing == "":
		c.Framing = "both"
	case !stream && c.Framing != "":
		t.Errorf("framing", `has no effect with transport %q, must be "" or transport "tcp" or "tls"`, c.Transport)
		c.Framing = ""
	}
}

// readTLS reads the keys of an encrypted connection.
func (c *Config) readTLS(t *config.Table) {
	why := ""
	if c.Transport != "tls" && c.Transport != "relp" {
		why = fmt.Sprintf(`has no effect with transport %q, must be "" or transport "tls" or "relp"`, c.Transport)
	}
	f := remote.ReadKeys(t, why)
	c.CAFile, c.CertFile, c.KeyFile, c.ServerName = f.CA, f.Cert, f.Key, f.ServerName
}

// checkTag accepts what RFC 3164 and RFC 5424 both can carry and receivers can
// separate from what follows.
func checkTag(s string) error {
	if s == "" || len(s) > 48 || !config.Printable(s) || strings.ContainsAny(s, ":[]") {
		return fmt.Errorf("%q is not a tag, must be 1 to 48 printable ASCII characters without space, ':', '[' and ']'", s)
	}
	return nil
}

func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || !config.Printable(host) || perr != nil || n < 1 {
		return fmt.Errorf(`%q is not an address, must be "host:port" or "[v6]:port"`, s)
	}
	return nil
}

// schemes are the transports that addresses of other programs name in front of "://".
var schemes = map[string]string{
	"udp": "udp", "tcp": "tcp", "tls": "tls", "ssl": "tls", "tcp+tls": "tls", "relp": "relp", "unix": "local", "unixgram": "local", "unix-dgram": "local",
}

// hintTransport says what is wrong with an address that belongs to another transport, or
// names its transport itself; "" where it does not look so.
func hintTransport(transport, address string) string {
	scheme, rest, named := strings.Cut(address, "://")
	switch {
	case strings.HasPrefix(address, "@@"): // rsyslog's way
		scheme, rest, named = "tcp", address[2:], true
	case strings.HasPrefix(address, "@"):
		scheme, rest, named = "udp", address[1:], true
	}

	switch {
	case named && schemes[strings.ToLower(scheme)] != "":
		return fmt.Sprintf("%q: write it as transport = %q and address = %q", address, schemes[strings.ToLower(scheme)], rest)
	case named:
		return fmt.Sprintf(`%q has a scheme: write "host:port", and say with transport how to send there: "udp", "tcp", "tls" or "relp"`, address)
	case transport == "local" && checkHostPort(address) == nil:
		return fmt.Sprintf(`%q looks like host:port: for a server set transport to "udp", "tcp", "tls" or "relp"; "local", the default, takes the path of a socket`, address)
	case transport == "local" && !strings.Contains(address, "/"):
		return fmt.Sprintf(`%q is not absolute, must be the path of a socket; for a server set transport to "udp", "tcp", "tls" or "relp"`, address)
	case transport != "local" && strings.HasPrefix(address, "/"):
		return fmt.Sprintf(`%q is the path of a socket: set transport = "local", or name a server as "host:port"`, address)
	case transport != "local" && !strings.Contains(address, ":") && address != "":
		return fmt.Sprintf(`%q is not an address, must be "host:port": the usual port is 514 for udp and tcp, 6514 for tls`, address)
	}
	return ""
}

// Survey implements config.Settings: it connects to no server.
func (c *Config) Survey(s *config.Surveyor) {
	if c.Transport == "local" {
		s.Present("address", c.Address, "records wait until it is: start the syslog daemon")
		s.Leads("address", c.Address, fs.ModeSocket)
		return
	}
	c.files().Survey(s)
}

// Advise implements config.Advisor: it warns of how records go over the network.
func (c *Config) Advise() (key, text string) {
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return "", "" // a socket's path, or an error already
	}

	switch {
	case (c.Transport == "tcp" || c.Transport == "udp") && port == "6514":
		return "transport", `6514 is the port of syslog over TLS: if the server expects that, it is transport = "tls"`
	case c.Transport == "tls" && port == "514":
		return "transport", `514 is the port of syslog without TLS, 6514 that with it: is it transport = "tcp" or another port?`
	case remote.IsLoopback(host):
	case !c.TLS() && c.Transport == "relp":
		return "transport", `records go over the network in clear: relp uses TLS when ca_file, cert_file or server_name is set`
	case !c.TLS():
		return "transport", `records go over the network in clear: transport = "tls", or "relp" with ca_file, encrypts them`
	case c.CAFile == "":
		return "ca_file", `is not set: any CA that this host trusts can vouch for the server; name the one that signed its certificate`
	}
	return "", ""
}

// The names in the order of their numbers (RFC 5424 section 6.2.1), which are those of
// syslog(3).
var (
	facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// priority returns the PRI value of two of these names, facility*8 + severity.
func priority(facility, severity string) int {
	n := slices.Index(facilities, facility)
	if n > 11 {
		n += 4 // 12 to 15 have no name that all systems know
	}
	return n<<3 | slices.Index(severities, severity)
}
