package otlp

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"audisp-relay/config"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// Bounds of a request, and what it has at most where the configuration does not say it.
const (
	// defaultBatchBytes is far below what receivers take (the Collector: 20 MiB), and more
	// than the queue gives at once but for one large event.
	defaultBatchBytes   config.Size = 1 << 20
	defaultBatchRecords             = 512 // as the SDKs' batch processors
	minBatchBytes       config.Size = 4 << 10
	maxBatchBytes       config.Size = 16 << 20
	maxBatchRecords                 = 10_000

	defaultDeadLetters config.Size = 64 << 20
	minDeadLetters     config.Size = 1 << 20
)

// logsPath is where a receiver takes logs (OTLP specification, OTLP/HTTP Request).
const logsPath = "/v1/logs"

// Config is a receiver of OTLP over HTTP.
type Config struct {
	URL         string // http or https, with the path
	Compression string // "gzip", "zstd" or "none"
	// Headers are those that requests get besides: the absolute path of a file with the value, by
	// name. Nil without any.
	Headers  map[string]string
	Proxy    string // an http or https URL; "": none, whatever the environment says
	Original bool   // log.record.original has the records' text

	BatchBytes   config.Size // of a request before compression; one event may be larger
	BatchRecords int         // log records of a request

	DeadLetterDir  string      // absolute: where refused requests are kept
	DeadLetterSize config.Size // bytes of them; 0 keeps none

	// For https only; all "" otherwise.
	CAFile     string // absolute path of the CAs' certificates; "": the system's
	CertFile   string // absolute path of the client's certificate, "" for none
	KeyFile    string // and of its key; never one of both alone
	ServerName string // name that the server's certificate is for; "": the host of URL

	Checkpoint bool // among the records
}

// Checkpoints implements sinks.Checkpointed.
func (c *Config) Checkpoints() bool { return c.Checkpoint }

func init() {
	sinks.Register(sinks.Kind{
		Kind: config.Kind{Name: "otlp", Text: true, Server: true, Format: "json", Read: read}, New: New, Try: try,
		Details: func() sinks.Details { return new(Details) },
	})
}

// read reads the keys of a sink of type otlp.
func read(t *config.Table, s *config.Sink) config.Settings {
	c := &Config{
		Compression: "gzip", BatchBytes: defaultBatchBytes, BatchRecords: defaultBatchRecords, DeadLetterSize: defaultDeadLetters,
		DeadLetterDir: filepath.Join(t.StateDir(), "dead", s.Name),
	}
	t.Required("url", `"https://host:port"`)
	t.Str("url", &c.URL, checkURL)
	c.URL = withPath(c.URL)
	t.OneOf("compression", &c.Compression, "gzip", "zstd", "none")
	t.Paths("headers", &c.Headers, checkHeaderName)
	c.checkTwice(t)
	t.Str("proxy", &c.Proxy, config.EmptyOr(checkProxy))
	t.Boolean("original", &c.Original)
	t.Boolean("checkpoint", &c.Checkpoint)
	t.Size("batch_bytes", &c.BatchBytes, minBatchBytes)
	if c.BatchBytes > maxBatchBytes {
		t.Errorf("batch_bytes", "%v is too large, must be at most %q", t.Quoted("batch_bytes"), maxBatchBytes.String())
	}
	t.Integer("batch_records", &c.BatchRecords, 1, maxBatchRecords)

	dir := ""
	t.Str("dead_letter_dir", &dir, config.EmptyOr(config.OwnDirPath))
	if dir != "" {
		c.DeadLetterDir = filepath.Clean(dir)
	}
	t.SizeOrZero("dead_letter_size", &c.DeadLetterSize, minDeadLetters)
	c.readTLS(t)
	s.Events = true
	return c
}

// readTLS reads the keys of an encrypted connection.
func (c *Config) readTLS(t *config.Table) {
	why := ""
	if strings.HasPrefix(c.URL, "http:") {
		why = `has no effect with an http URL, must be "" or url begin with https`
	}
	f := remote.ReadKeys(t, why)
	c.CAFile, c.CertFile, c.KeyFile, c.ServerName = f.CA, f.Cert, f.Key, f.ServerName
}

// checkURL accepts the address of a receiver. What could hold a secret it refuses, and does not show: the URL is in
// messages of the log.
func checkURL(s string) error {
	u, err := parseURL(s)
	switch {
	case err != nil:
		return err
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("%q has a query or a fragment, must be https://host:port/path", config.ShowAddress(s))
	}
	return nil
}

// errUser is for a URL that may have a password in it.
var errUser = errors.New("has a user or password in it: put them into a file that headers names, for Authorization")

// parseURL reads a URL of a host.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	shown := config.ShowAddress(s)
	if err != nil || !config.Printable(s) || len(s) > 2048 {
		return nil, fmt.Errorf("%.2048q is not a URL, must be https://host:port", shown)
	}
	port := u.Port()
	switch {
	case !strings.Contains(s, "://"):
		return nil, fmt.Errorf("%q has no scheme, must begin with https:// or http://", shown)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q has the scheme %q, must begin with https:// or http://; OTLP over gRPC is not supported: receivers take HTTP, too, mostly on port 4318", shown, u.Scheme)
	case u.User != nil:
		return nil, errUser
	case u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || (port != "" && !validPort(port)):
		return nil, fmt.Errorf("%q names no host and port, must be https://host:port", shown)
	}
	return u, nil
}

func validPort(port string) bool {
	n, err := net.LookupPort("tcp", port)
	return err == nil && n > 0
}

// checkProxy accepts the URL of a proxy.
func checkProxy(s string) error {
	u, err := parseURL(s)
	switch {
	case errors.Is(err, errUser):
		return errors.New("has a user or password in it, which the sink does not send to a proxy: name one that asks for none")
	case err == nil && (u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/")):
		return fmt.Errorf("%q has a path or a query, must be http://host:port", config.ShowAddress(s))
	}
	return err
}

// withPath gives a URL without a path the one where receivers take logs.
func withPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || s == "" || (u.Path != "" && u.Path != "/") {
		return s
	}
	u.Path = logsPath
	return u.String()
}

// address returns host:port of a checked URL.
func address(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// ownHeaders are those that the sink sets, or the protocol.
var ownHeaders = []string{"content-type", "content-encoding", "content-length", "transfer-encoding", "connection", "host", "expect",
	"accept-encoding", "te", "trailer", "upgrade", "user-agent"}

// checkHeaderName accepts a token of RFC 9110, section 5.6.2.
func checkHeaderName(name string) error {
	special := func(r rune) bool {
		return !config.Printable(string(r)) || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	switch {
	case name == "" || len(name) > 128 || strings.ContainsFunc(name, special):
		return fmt.Errorf("%q is not the name of a header", name)
	case slices.Contains(ownHeaders, strings.ToLower(name)):
		return errors.New("is a header that the sink sets itself")
	}
	return nil
}

// checkTwice reports a header that is there twice: case does not count in names, and one value would be sent.
func (c *Config) checkTwice(t *config.Table) {
	seen := make(map[string]string)
	for _, name := range sortedNames(c.Headers) {
		lower := strings.ToLower(name)
		if other := seen[lower]; other != "" {
			t.Errorf("headers", "%q and %q are one header: remove one of them", other, name)
		}
		seen[lower] = name
	}
}

// files are what an encrypted connection is made with.
func (c *Config) files() *remote.Files {
	return &remote.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile, ServerName: c.ServerName}
}

// Reads implements config.Reader.
func (c *Config) Reads() []string { return slices.AppendSeq(c.files().Reads(), maps.Values(c.Headers)) }

// Owns implements config.Owner.
func (c *Config) Owns() []string {
	if c.DeadLetterSize == 0 {
		return nil
	}
	return []string{c.DeadLetterDir}
}

// tls reports whether the connection is encrypted.
func (c *Config) tls() bool { return strings.HasPrefix(c.URL, "https:") }

// Survey implements config.Settings: it connects to no server.
func (c *Config) Survey(s *config.Surveyor) {
	c.files().Survey(s)
	for _, name := range sortedNames(c.Headers) {
		if path := c.Headers[name]; s.Present("headers."+name, path, "records wait until it is") {
			if _, err := readHeader(path); err != nil {
				s.Errorf("headers."+name, "%v", err)
			}
		}
	}
	if c.DeadLetterSize > 0 {
		s.OwnDir("dead_letter_dir", c.DeadLetterDir)
	}
}

// Advise implements config.Advisor: it warns of how records go over the network.
func (c *Config) Advise() (key, text string) {
	u, err := url.Parse(c.URL)
	if err != nil || c.URL == "" {
		return "", ""
	}
	switch host := u.Hostname(); {
	case u.Port() == "4317":
		return "url", "4317 is the port of OTLP over gRPC, which is not supported; 4318 that of OTLP over HTTP: is it another port?"
	case remote.IsLoopback(host):
	case !c.tls() && len(c.Headers) > 0:
		return "url", "records and the headers' secrets go over the network in clear: begin it with https"
	case !c.tls():
		return "url", "records go over the network in clear: begin it with https"
	case c.CAFile == "":
		return "ca_file", `is not set: any CA that this host trusts can vouch for the server; name the one that signed its certificate`
	}
	return "", ""
}
