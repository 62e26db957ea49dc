package unix

import (
	"io/fs"
	"path/filepath"

	"audisp-relay/config"
	"audisp-relay/sinks"
)

// maxClients keeps a typing error from using up all file descriptors.
const maxClients = 1024

// Config is an AF_UNIX socket: one that is listened on, or one of a collector's.
type Config struct {
	Path       string // absolute, at most 107 bytes
	Mode       uint32 // permission bits
	Owner      string // user name or number
	Group      string // group name or number
	AllowUIDs  []int  // who may connect; nil means whoever the mode lets in
	MaxClients int
	MaxPerUID  int  // connections of one user other than root; 0: as many as MaxClients
	Connect    bool // a collector listens at Path: of the rest only that counts
}

func init() {
	sinks.Register(sinks.Kind{Kind: config.Kind{Name: "unix", Frames: "exact", Read: read}, New: New, Warden: newWarden, Try: try, Details: func() sinks.Details { return new(Details) }})
}

// listenerKeys are those that say something of a socket that is listened on.
var listenerKeys = []string{"mode", "owner", "group", "allow_uids", "max_clients", "max_per_uid", "slow_client", "when_idle"}

// read reads the keys of a sink of type unix.
func read(t *config.Table, s *config.Sink) config.Settings {
	c := &Config{Mode: 0o660, Owner: "root", Group: "adm", MaxClients: 16, MaxPerUID: 8}
	t.Required("path", "the absolute path of the socket")
	t.Str("path", &c.Path, config.SocketPath)
	listen := true
	t.Boolean("listen", &listen)
	for _, key := range listenerKeys {
		if !listen && t.Has(key) {
			t.Errorf(key, "has no effect with listen = false, must be left out")
		}
	}

	t.Mode("mode", &c.Mode)
	t.Str("owner", &c.Owner, config.Account)
	t.Str("group", &c.Group, config.Account)
	t.UIDs("allow_uids", &c.AllowUIDs)
	t.Integer("max_clients", &c.MaxClients, 1, maxClients)
	t.Integer("max_per_uid", &c.MaxPerUID, 0, maxClients)
	slowClient, whenIdle := "disconnect", "discard"
	t.OneOf("slow_client", &slowClient, "disconnect", "drop")
	t.OneOf("when_idle", &whenIdle, "discard", "queue")
	t.NetworkFailure(s)
	if listen && s.NetworkFailureAction != config.NoAction {
		t.Errorf("network_failure_action", `has no effect, since clients connect to the sink, must be "ignore" without listen = false`)
	}

	c.Connect, s.Output = !listen, c.Path
	if listen {
		s.SlowClient, s.WhenIdle = slowClient, whenIdle
	}
	return c
}

// Survey implements config.Settings.
func (c *Config) Survey(s *config.Surveyor) {
	if c.Connect {
		s.Present("path", c.Path, "records wait until it is: start the collector")
		s.Leads("path", c.Path, fs.ModeSocket)
		return
	}
	s.Owners(c.Owner, c.Group)
	dir := filepath.Dir(c.Path) // which the sink makes, but not those above
	s.Directory("path", filepath.Dir(dir), "no client can connect until it is")
	s.IsDir("path", dir)
	s.Only("path", c.Path, fs.ModeSocket)
}
