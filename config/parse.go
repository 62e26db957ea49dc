package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"audisp-relay/filter"
)

// Parse reads a configuration from the text of a file; name is the file's name
// for messages. What is absent has its default, and a file without sinks has
// the sink of Default. PluginDir is checked for its form, but not read: that is
// for Load.
//
// A file without any key is an error: an editor or a full disk has emptied it.
//
// A wrong content gives Errors. The Config beside them is what is right in the
// file, for a start that must not fail: the default for a wrong global value,
// and no sink that has an error, since without the wrong key it might let in
// or write what it should not. It has no sink at all when all have errors, and is
// nil when nothing of the file could be read.
func Parse(name string, data []byte) (*Config, error) {
	c, _, err := parse(name, data)
	return c, err
}

// parse is Parse with warnings, one line each. auditLogs are those of auditd.
func parse(name string, data []byte, auditLogs ...string) (*Config, []string, error) {
	if len(data) > maxConfigSize {
		return nil, nil, Errors{{File: name, Msg: fmt.Sprintf("is larger than a config may be, %v", Size(maxConfigSize))}}
	}
	doc, vals, err := parseLenient(name, data)
	if err != nil {
		return nil, nil, err
	}
	root := &table{doc: doc, vals: vals}
	c := globals()
	c.File = name
	root.globals(c)
	if sinks := root.table("sinks"); sinks != nil {
		sinks.sinks(c)
	}
	root.finish(nil)
	if !hasKey(vals) && len(doc.errs) == 0 {
		return nil, nil, Errors{{File: name, Msg: "has no key, so it was emptied or cut: put the configuration back, or remove the file to have the defaults"}}
	}
	if len(c.Sinks) == 0 && len(doc.badSinks) == 0 {
		c.Sinks = []Sink{localSink(c)}
	}
	doc.checkPaths(c, auditLogs)
	doc.refuseSelf(c)
	doc.advise(c)
	c.Sinks = slices.DeleteFunc(c.Sinks, func(s Sink) bool { return doc.badSinks[s.Name] })
	return c, doc.warns, doc.errs.sorted()
}

// hasKey reports whether there is a key with a value in any table, or the table of a sink.
func hasKey(table map[string]any) bool {
	for name, val := range table {
		sub, isTable := val.(map[string]any)
		if !isTable || hasKey(sub) || name == "sinks" && len(sub) > 0 {
			return true
		}
	}
	return false
}

// globals reads everything outside [sinks].
func (t *table) globals(c *Config) {
	t.policy(&c.QDepth, &c.QBytes, &c.QOS, &c.OverflowAction, &c.Spool)
	t.integer("priority_boost", &c.PriorityBoost, 0, maxBoost)
	t.integer("oom_score_adj", &c.OOMScoreAdj, -maxOOMScore, maxOOMScore)
	t.oneOf("name_format", &c.NameFormat, nameFormats...)
	t.str("name", &c.Name, emptyOr(nodeName))
	t.size("input_buffer", &c.InputBuffer, minQBytes, true)
	if c.InputBuffer > maxInput {
		t.doc.errorf(t.key("input_buffer"), "%v is too large, must be at most %q", c.InputBuffer, maxInput.String())
		c.InputBuffer = DefaultInput
	}
	t.size("memory_limit", &c.MemoryLimit, minMemory, false)
	t.str("run_dir", &c.RunDir, runDir)
	t.str("state_dir", &c.StateDir, absolutePath)
	t.boolean("loss_markers", &c.LossMarkers)
	t.str("plugin_dir", &c.PluginDir, emptyOr(absolutePath))
	if c.NameFormat == "user" && c.Name == "" {
		t.doc.errorf(t.key("name_format"), `"user" needs a name, set the key name to the node name`)
		c.NameFormat = "none"
	}
	if recovery := t.table("recovery"); recovery != nil {
		recovery.recovery(&c.Recovery)
	}
	if log := t.table("log"); log != nil {
		log.log(&c.Log)
	}
}

func (t *table) log(l *Log) {
	t.oneOf("level", &l.Level, "debug", "info", "warn", "error")
	t.str("output", &l.Output, logOutput)
	t.finish(nil)
}

func (t *table) recovery(r *Recovery) {
	t.boolean("enabled", &r.Enabled)
	t.str("log_file", &r.LogFile, emptyOr(filePath))
	t.finish(nil)
}

// policy reads the keys of a queue, which exist globally and in every sink.
func (t *table) policy(depth *int, bytes *Size, qos, action *string, spool *Spool) {
	t.integer("q_depth", depth, 1, maxQDepth)
	t.size("q_bytes", bytes, minQBytes, false)
	t.oneOf("qos", qos, "lossy", "lossless")
	t.oneOf("overflow_action", action, overflowActions...)
	if disk := t.table("spool"); disk != nil {
		disk.spool(spool)
	}
}

func (t *table) spool(s *Spool) {
	t.size("max_size", &s.MaxSize, minSpool, true)
	t.oneOf("sync", &s.Sync, "none", "interval", "batch")
	t.finish(nil)
}

// sinks reads the tables inside [sinks].
func (t *table) sinks(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(t.vals)) {
		if !sinkName(name) {
			t.doc.errorf(t.key(name), "not a name for a sink, must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
			continue
		}
		if one := t.table(name); one != nil {
			c.Sinks = append(c.Sinks, one.sink(newSink(name, c)))
		}
	}
}

// sinkTypes holds what is particular to each type of sink.
var sinkTypes = map[string]func(*table, *Sink){
	"unix":    (*table).unix,
	"file":    (*table).file,
	"syslog":  (*table).syslog,
	"program": (*table).program,
}

// sink reads one sink into s, which holds the defaults.
func (t *table) sink(s Sink) Sink {
	s.Origin = fmt.Sprintf("%s:%d", t.doc.file, t.doc.lines.of(t.path...))
	types := slices.Sorted(maps.Keys(sinkTypes))
	t.required("type", quoted(types))
	t.oneOf("type", &s.Type, types...)
	t.policy(&s.QDepth, &s.QBytes, &s.QOS, &s.OverflowAction, &s.Spool)
	read, ok := sinkTypes[s.Type]
	if !ok {
		return s // which keys it may have cannot be said
	}
	read(t, &s)
	t.finish(func(name string) string {
		for _, other := range types {
			if slices.Contains(keysOf(other), name) {
				return fmt.Sprintf("does not belong to a sink of type %q", s.Type)
			}
		}
		return ""
	})
	return s
}

// keysOf lists the keys that are particular to a type of sink.
func keysOf(typ string) []string {
	t := &table{doc: &document{lines: &keyLines{}}}
	sinkTypes[typ](t, &Sink{})
	return t.known
}

// events reads which events a consumer gets, and in which of these formats.
func (t *table) events(s *Sink, formats ...string) {
	t.oneOf("format", &s.Format, formats...)
	shown := ""
	t.str("filter", &s.Filter, emptyOr(func(src string) error {
		f, err := filter.Compile(src)
		if err == nil {
			for _, w := range f.Warnings() {
				text, _, _ := strings.Cut(w.Error(), "\n")
				t.doc.warnf(t.key("filter"), "%s", text)
			}
			return nil
		}
		var text string
		text, shown, _ = strings.Cut(err.Error(), "\n")
		return errors.New(text)
	}))
	if shown != "" {
		t.doc.errs[len(t.doc.errs)-1].Shown = shown
	}
}

// frames reads how long frames are; with a format that has none it says nothing.
func (t *table) frames(s *Sink, otherwise string) {
	size := otherwise
	t.oneOf("frames", &size, frameSizes...)
	if s.Format == "binary" {
		s.Frames = size
	}
}

func (t *table) unix(s *Sink) {
	u := newUnix()
	s.Unix = u
	t.events(s, "string", "binary", "json", "ecs", "laurel")
	t.frames(s, "exact")
	t.required("path", "the absolute path of the socket")
	t.str("path", &u.Path, socketPath)
	listen := true
	t.boolean("listen", &listen)
	if u.Connect = !listen; u.Connect {
		t.listenerOnly("mode", "owner", "group", "allow_uids", "max_clients", "max_per_uid", "slow_client", "when_idle")
	}
	t.mode("mode", &u.Mode)
	t.str("owner", &u.Owner, account)
	t.str("group", &u.Group, account)
	t.uids("allow_uids", &u.AllowUIDs)
	t.integer("max_clients", &u.MaxClients, 1, maxClients)
	t.integer("max_per_uid", &u.MaxPerUID, 0, maxClients)
	t.oneOf("slow_client", &u.SlowClient, "disconnect", "drop")
	t.oneOf("when_idle", &u.WhenIdle, "discard", "queue")
}

// listenerOnly reports keys that say something of a socket that is listened on.
func (t *table) listenerOnly(names ...string) {
	for _, name := range names {
		if _, there := t.vals[name]; there {
			t.doc.errorf(t.key(name), "has no effect with listen = false, must be left out")
		}
	}
}

func (t *table) file(s *Sink) {
	f := newFile()
	s.File = f
	t.events(s, "string", "binary", "json", "ecs", "laurel")
	t.required("path", "the absolute path of the file")
	t.str("path", &f.Path, filePath)
	t.mode("mode", &f.Mode)
	t.str("owner", &f.Owner, account)
	t.str("group", &f.Group, account)
	t.size("max_size", &f.MaxSize, minMaxSize, true)
	t.integer("max_files", &f.MaxFiles, 1, maxFiles)
	t.boolean("compress", &f.Compress)
	t.oneOf("sync", &f.Sync, "none", "interval", "batch")
}

func (t *table) syslog(s *Sink) {
	l := newSyslog()
	s.Syslog = l
	t.events(s, "string", "json", "ecs", "laurel") // syslog carries text
	t.oneOf("transport", &l.Transport, "local", "udp", "tcp", "tls", "relp")
	l.Protocol = "rfc5424"
	addressCheck := hostPort
	if l.Transport == "local" {
		l.Protocol = "rfc3164" // what local daemons expect on their socket
		l.Address = "/dev/log"
		addressCheck = socketPath
	} else {
		t.required("address", `"host:port"`)
	}
	t.str("address", &l.Address, func(s string) error {
		if hint := transportHint(l.Transport, s); hint != "" {
			return errors.New(hint)
		}
		return addressCheck(s)
	})
	t.oneOf("protocol", &l.Protocol, "rfc3164", "rfc5424")
	t.oneOf("facility", &l.Facility, facilities...)
	t.oneOf("severity", &l.Severity, severities...)
	t.str("tag", &l.Tag, syslogTag)
	t.message(l)
	t.tls(l)
}

// packetSize is what a message over that transport may have at most: what fits into
// a UDP packet with every header, and what a local daemon's socket buffer takes
// (net.core.wmem_default).
var packetSize = map[string]Size{"udp": 65_000, "local": 128 << 10}

// message reads the keys that say how long messages are and how they are separated.
func (t *table) message(l *Syslog) {
	most, bounded := packetSize[l.Transport]
	if !bounded {
		most = maxMessage
	}
	t.size("max_message", &l.MaxMessage, minMessage, false)
	if l.MaxMessage > most {
		t.doc.errorf(t.key("max_message"), "%v is too large, must be at most %q with transport %q", quoteValue(t.vals["max_message"]), most.String(), l.Transport)
		l.MaxMessage = DefaultMaxMessage
	}
	t.str("framing", &l.Framing, emptyOr(framing))
	switch stream := l.Transport == "tcp" || l.Transport == "tls"; {
	case stream && l.Framing == "":
		l.Framing = "both"
	case !stream && l.Framing != "":
		t.doc.errorf(t.key("framing"), `has no effect with transport %q, must be "" or transport "tcp" or "tls"`, l.Transport)
		l.Framing = ""
	}
}

// tls reads the keys of an encrypted connection.
func (t *table) tls(l *Syslog) {
	t.str("ca_file", &l.CAFile, emptyOr(filePath))
	t.str("cert_file", &l.CertFile, emptyOr(filePath))
	t.str("key_file", &l.KeyFile, emptyOr(filePath))
	t.str("server_name", &l.ServerName, emptyOr(serverName))
	if l.Transport != "tls" && l.Transport != "relp" {
		for _, key := range []struct{ name, value string }{
			{"ca_file", l.CAFile}, {"cert_file", l.CertFile}, {"key_file", l.KeyFile}, {"server_name", l.ServerName},
		} {
			if key.value != "" {
				t.doc.errorf(t.key(key.name), `has no effect with transport %q, must be "" or transport "tls" or "relp"`, l.Transport)
			}
		}
		return
	}
	for _, pair := range [][2]string{{"cert_file", "key_file"}, {"key_file", "cert_file"}} {
		if have, lack := pair[0], pair[1]; t.empty(lack) && !t.empty(have) {
			t.doc.errorf(t.key(have), "needs %s: a certificate and its key belong together", lack)
			l.CertFile, l.KeyFile = "", ""
		}
	}
}

// empty reports whether a key is absent or "".
func (t *table) empty(name string) bool {
	val, there := t.vals[name]
	return !there || val == ""
}

func (t *table) program(s *Sink) {
	p := newProgram()
	s.Program = p
	t.events(s, "string", "binary", "json", "ecs", "laurel")
	t.frames(s, "auto")
	t.str("user", &p.User, emptyOr(account))
	t.required("path", "the absolute path of the program")
	t.str("path", &p.Path, filePath)
	if args, ok := list(t, "args", "strings", argument); ok {
		p.Args = args
	}
	t.integer("max_restarts", &p.MaxRestarts, 0, maxRestarts)
}

// advise warns of a setting that is allowed and without the effect one expects:
// each queue keeps to its own bound, and together they may exceed what the
// process as a whole is meant to stay under; records may go over a network in clear.
func (d *document) advise(c *Config) {
	var sum Size
	for _, s := range c.Sinks {
		sum += s.QBytes
		if s.Syslog == nil || d.badSinks[s.Name] {
			continue
		}
		if key, text := s.Syslog.advise(); text != "" {
			d.warnf(toml.Key{"sinks", s.Name, key}, "%s", text)
		}
	}
	if sum > c.MemoryLimit {
		d.warnf(toml.Key{"memory_limit"}, "the queues of %d sinks may hold %v together, more than %v: lower q_bytes or raise memory_limit",
			len(c.Sinks), sum, c.MemoryLimit)
	}
}
