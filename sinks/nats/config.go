package nats

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"

	"audisp-relay/config"
	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// Bounds and defaults of the keys that are numbers.
const (
	defaultRetain   config.Size = 64 << 20
	minRetain       config.Size = 2 << 20
	defaultKeep                 = 10 // minutes
	maxKeep                     = 24 * 60
	defaultGather               = 5 // ms
	maxGather                   = 10_000
	maxServers                  = 64
	defaultCompress             = "zstd"
)

// Config is a stream of a NATS JetStream account, and how it is reached.
type Config struct {
	Servers []string // URLs, at least one

	// How the host proves who it is: one of creds, nkey, user and token, or none of them. All are
	// absolute paths but User, "" where they are not set.
	CredsFile    string // JWT and nkey
	NkeyFile     string // seed
	User         string
	PasswordFile string
	TokenFile    string

	CAFile   string // CAs of the servers; "": the system's
	CertFile string // of the client; never without KeyFile
	KeyFile  string
	TLSFirst bool // TLS begins before the server has said anything

	Partitions  int         // into which streams hosts are divided, 0: one stream has all
	Each        bool        // one event a message
	Compression string      // "zstd" or "none"
	Gather      int         // ms that records wait for more
	Retain      config.Size // acknowledged batches that are kept
	Keep        int         // minutes for which they are
}

// TLS reports whether the configuration asks for an encrypted connection. A server may ask for
// one, too.
func (c *Config) TLS() bool {
	for _, s := range c.Servers {
		if strings.HasPrefix(s, "tls://") {
			return true
		}
	}
	return c.CAFile != "" || c.CertFile != "" || c.TLSFirst
}

func init() {
	sinks.Register(sinks.Kind{
		Kind: config.Kind{Name: "nats", Text: true, Server: true, Read: read}, New: New, Try: try,
		Details: func() sinks.Details { return new(Details) },
	})
}

// read reads the keys of a sink of type nats.
func read(t *config.Table, s *config.Sink) config.Settings {
	c := &Config{Compression: defaultCompress, Gather: defaultGather, Retain: defaultRetain, Keep: defaultKeep}
	t.Required("servers", `["nats://host:4222"]`)
	c.readServers(t)
	for _, key := range []struct {
		name  string
		value *string
		check func(string) error
	}{
		{"creds_file", &c.CredsFile, config.SecretPath}, {"nkey_file", &c.NkeyFile, config.SecretPath},
		{"password_file", &c.PasswordFile, config.SecretPath}, {"token_file", &c.TokenFile, config.SecretPath},
		{"ca_file", &c.CAFile, config.FilePath}, {"cert_file", &c.CertFile, config.FilePath}, {"key_file", &c.KeyFile, config.SecretPath},
	} {
		t.Str(key.name, key.value, config.EmptyOr(key.check))
	}
	t.Str("user", &c.User, config.EmptyOr(checkUser))
	t.Boolean("tls_first", &c.TLSFirst)
	c.checkAuth(t)

	t.Integer("partitions", &c.Partitions, 0, wire.MaxPartitions)
	t.Boolean("one_event_a_message", &c.Each)
	if kind, err := format.Parse(s.Format); c.Each && err == nil && !kind.Format.Events() {
		t.Errorf("one_event_a_message", "has no effect with format %q, must be false or format one of events, such as \"json\"", s.Format)
		c.Each = false
	}
	if c.Each && c.Partitions > 0 {
		t.Errorf("partitions", "has no effect with one_event_a_message: only streams of batches are divided")
		c.Partitions = 0
	}
	t.OneOf("compression", &c.Compression, "zstd", "none")
	t.Integer("gather_ms", &c.Gather, 0, maxGather)
	t.Size("retain_acked", &c.Retain, minRetain)
	t.Integer("retain_minutes", &c.Keep, 1, maxKeep)
	return c
}

// Hosts are the names of the servers, which a report for others must not show.
func (c *Config) Hosts() (names []string) {
	for _, server := range c.Servers {
		if at, err := url.Parse(server); err == nil {
			names = append(names, at.Hostname())
		}
	}
	return names
}

// readServers reads the list of servers.
func (c *Config) readServers(t *config.Table) {
	t.Strings("servers", &c.Servers)
	if t.Has("servers") && (len(c.Servers) == 0 || len(c.Servers) > maxServers) {
		t.Errorf("servers", "has %d servers, must have 1 to %d", len(c.Servers), maxServers)
	}
	for i, s := range c.Servers {
		if err := checkServer(s); err != nil {
			t.Errorf("servers", "%v", err)
		} else if !strings.Contains(s, "://") {
			c.Servers[i] = "nats://" + s
		}
	}
}

// checkServer accepts what nats.go connects to over TCP, without a user in it: secrets are in
// files.
func checkServer(s string) error {
	full, shown := s, config.ShowAddress(s)
	if !strings.Contains(s, "://") {
		full = "nats://" + s
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || !config.Printable(s):
		return fmt.Errorf(`%q is not a server, must be "nats://host:4222" or "tls://host:4222"`, shown)
	case u.User != nil:
		return errors.New(`a server's URL has a user or password in it: use user and password_file, token_file, nkey_file or creds_file`)
	case u.Scheme != "nats" && u.Scheme != "tls":
		return fmt.Errorf(`%q has the scheme %q, must be "nats" or "tls"`, shown, u.Scheme)
	case u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf(`%q is not a server, must be "nats://host:4222" or "tls://host:4222"`, shown)
	}

	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n < 1 {
			return fmt.Errorf("%q has the port %q, must be 1 to 65535", shown, port)
		}
	}
	return nil
}

func checkUser(s string) error {
	if len(s) > 256 || !config.Printable(s) {
		return fmt.Errorf("%q is not a user, must be printable ASCII characters without spaces", s)
	}
	return nil
}

// checkAuth reports keys that do not go together.
func (c *Config) checkAuth(t *config.Table) {
	var ways []string
	for _, way := range []struct{ key, value string }{
		{"creds_file", c.CredsFile}, {"nkey_file", c.NkeyFile}, {"user", c.User}, {"token_file", c.TokenFile},
	} {
		if way.value != "" {
			ways = append(ways, way.key)
		}
	}
	if len(ways) > 1 {
		t.Errorf(ways[1], "does not go together with %s: a connection proves in one way who it is", ways[0])
	}

	if (c.User == "") != (c.PasswordFile == "") && !(t.Empty("user") && t.Empty("password_file")) {
		have, lack := "user", "password_file"
		if c.User == "" {
			have, lack = lack, have
		}
		t.Errorf(have, "needs %s", lack)
	}

	if remote.HasHalfPair(t) {
		c.CertFile, c.KeyFile = "", ""
	}
}

// Survey implements config.Settings: it connects to no server.
func (c *Config) Survey(s *config.Surveyor) {
	for _, f := range []struct {
		key, path string
		check     func(data []byte) error
	}{
		{"creds_file", c.CredsFile, checkCreds}, {"nkey_file", c.NkeyFile, checkSeed},
		{"password_file", c.PasswordFile, checkSecret}, {"token_file", c.TokenFile, checkSecret},
	} {
		if f.path == "" || !s.Present(f.key, f.path, "records wait until it is") {
			continue
		}
		data, err := config.ReadKeyFile(f.path)
		if err == nil {
			err = f.check(data)
		}
		if err != nil {
			s.Errorf(f.key, "%s: %v", f.path, err)
		}
	}
	c.files().Survey(s)
}

// files are what an encrypted connection is made with.
func (c *Config) files() *remote.Files {
	return &remote.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile}
}

// checkCreds wants a JWT and an nkey; no error says what they are.
func checkCreds(data []byte) error {
	if _, err := nkeys.ParseDecoratedJWT(data); err != nil {
		return errors.New("holds no user JWT: put there what `nsc generate creds` gives")
	}
	kp, err := nkeys.ParseDecoratedUserNKey(data)
	if err != nil {
		return errors.New("holds no user's nkey seed: put there what `nsc generate creds` gives")
	}
	kp.Wipe()
	return nil
}

func checkSeed(data []byte) error {
	kp, err := nkeys.ParseDecoratedNKey(data)
	if err != nil {
		return errors.New("holds no nkey seed: put there the line that begins with SU, of `nk -gen user`")
	}
	kp.Wipe()
	return nil
}

func checkSecret(data []byte) error {
	if secretIn(data) == "" {
		return errors.New("is empty: put the secret there, in one line")
	}
	return nil
}

// secretIn returns the first line of a file.
func secretIn(data []byte) string {
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r")
}

// Advise implements config.Advisor: it warns of how records go over the network.
func (c *Config) Advise() (key, text string) {
	for _, s := range c.Servers {
		u, err := url.Parse(s)
		switch {
		case err != nil || remote.IsLoopback(u.Hostname()):
		case !c.TLS():
			return "servers", `records may go over the network in clear: "tls://host:4222", or ca_file, makes sure that they do not`
		case c.CAFile == "":
			return "ca_file", `is not set: any CA that this host trusts can vouch for the server; name the one that signed its certificate`
		}
	}
	return "", ""
}
