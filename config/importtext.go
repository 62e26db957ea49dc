package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

// importedKeys are the keys that a conf can lead to, in the order in which they are written, each
// with the key of that conf: "" where it is what the plugin does by itself.
var importedKeys = []struct{ key, from string }{
	{"path", "path"}, {"args", "args"}, {"mode", "args"}, {"group", ""}, {"slow_client", ""}, {"when_idle", ""},
	{"facility", "args"}, {"severity", "args"}, {"tag", ""}, {"format", "format"}, {"frames", ""}, {"filter", "args"},
	{"q_depth", "args"}, {"max_restarts", "max_restarts"},
}

// table writes the table of a sink, and is an error where Parse would not take it.
func (im *importer) table(p *pluginConf, s *Sink) (string, error) {
	text := im.keys(p, s, true)
	_, err := Parse(im.from.File, []byte(text))
	if err != nil {
		first := asErrors(err, "", 0, "")[0] // whose line number does not count in the conf
		return "", p.errorf(0, first.Key, "%s", first.Msg)
	}
	return text, nil
}

// keys writes a sink's header and keys, with what each comes from if that is wanted.
func (im *importer) keys(p *pluginConf, s *Sink, origins bool) string {
	vals := maps.Clone(p.vals)
	if args, ok := vals["args"].([]any); ok && len(args) == 0 {
		delete(vals, "args")
	}
	if vals["format"] = s.Format; s.Format == "binary" {
		vals["frames"] = "auto" // what reads them was written for this auditd
	}
	if s.QDepth > DefaultQDepth && s.QDepth != im.common.QDepth { // audisp-af_unix has it in args
		vals["q_depth"] = int64(s.QDepth)
	}

	var b strings.Builder
	fmt.Fprintf(&b, "[sinks.%s]\n", s.Name)
	write := func(key string, val any, origin string) {
		if !origins {
			origin = ""
		}
		writeKey(&b, key, val, origin)
	}
	write("type", s.Type, im.origin(p, s, "type", "path"))
	for _, k := range importedKeys {
		val, has := vals[k.key]
		origin := im.origin(p, s, k.key, k.from)
		if !has || (k.key == "max_restarts" && origin == "") {
			continue
		}
		write(k.key, val, origin)
	}
	return b.String()
}

// origin says what a sink's key comes from; a file of the plugin directory goes by its name there.
func (im *importer) origin(p *pluginConf, s *Sink, key, from string) string {
	switch {
	case from == "":
		return "as the plugin does"
	case key == "max_restarts":
		if im.settings == nil {
			return ""
		}
		return im.settings.place(key)
	case from == "path" && p.filter != "", s.Type == "unix" && key == "path", s.Type == "unix" && key == "format" && !isBuiltin(p.path):
		from = "args"
	}
	place := p.place(from)
	if place == "" {
		place = OneLine(p.confFile.name) + " has no " + from + ": the default"
	}
	return strings.TrimPrefix(place, OneLine(im.from.PluginDir)+"/")
}

// writeKey writes one line of TOML. What a value holds cannot end it: the library quotes it.
func writeKey(b *strings.Builder, key string, val any, origin string) {
	line, err := toml.Marshal(map[string]any{key: val})
	if err != nil { // only for types that are not passed
		panic(fmt.Sprintf("%s: %v", key, err))
	}
	_, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " = ")
	fmt.Fprintf(b, "%-12s = %s", key, value)
	if origin != "" {
		b.WriteString("  # " + OneLine(origin))
	}
	b.WriteString("\n")
}

// comment is a line of TOML that says something. It may be empty.
func comment(text string) string {
	return strings.TrimRight("# "+OneLine(text), " ") + "\n"
}

// header says what the file is and what is not in it.
func (im *importer) header() string {
	var b strings.Builder
	b.WriteString(comment(im.from.File + ": what auditd's plugins in " + im.from.PluginDir))
	b.WriteString(comment("are configured to do, taken over by `audisp-relay install --import`."))
	b.WriteString(comment("All keys: audisp-relay.toml(5). After a change: audisp-relay check."))
	if len(im.out.Notes) > 0 {
		b.WriteString("#\n")
	}
	for _, text := range im.out.Notes {
		b.WriteString(comment(text))
	}
	b.WriteString("\n")
	return b.String()
}

// explainRemote says what becomes of audisp-remote, and how to do without it.
func (im *importer) explainRemote(p *pluginConf, s *Sink) {
	path := filepath.Join(filepath.Dir(filepath.Clean(im.from.PluginDir)), "audisp-remote.conf")
	data, err := im.read(path)
	if err != nil {
		im.note("sinks.%s runs %s, which cannot read its configuration: %v", s.Name, p.path, err)
		return
	}
	file, bad := splitConf(path, data)
	if bad != nil {
		im.note("sinks.%s runs %s, which refuses its configuration: %v", s.Name, p.path, bad)
		return
	}
	im.note("sinks.%s runs %s, so all keys of %s stay in force: the relay does not speak auditd's own protocol", s.Name, p.path, path)

	set := make(map[string]confLine)
	for _, l := range file.lines {
		set[l.key] = l
	}
	im.explain = append(im.explain,
		"The relay can send the records itself, to a server that takes RELP or syslog. For that put this",
		"in the place of the table above; the port is another than that of auditd's own protocol:",
		"")
	im.explain = append(im.explain, withoutRemote(p, s.Name, set["remote_server"])...)
	im.explain = append(im.explain, "", "What the keys of "+path+" have in such a sink:", "")
	for _, k := range remoteKeys {
		if l, has := set[k.key]; has {
			im.explain = append(im.explain, keyAndPlace(l, k.place))
		}
		delete(set, k.key)
	}
	for _, l := range file.lines {
		if _, unknown := set[l.key]; unknown {
			im.explain = append(im.explain, keyAndPlace(l, "not known"))
			delete(set, l.key)
		}
	}
}

// keyAndPlace is a line on a key that stays where it is.
func keyAndPlace(l confLine, place string) string {
	value := strings.Join(l.values, " ")
	if len(value) > 100 {
		value = strings.ToValidUTF8(value[:100], "") + "..."
	}
	return fmt.Sprintf("%s = %s -> %s", printableKey(l.key), value, place)
}

// withoutRemote is a sink in the place of audisp-remote, whose server is not known if the line is empty.
func withoutRemote(p *pluginConf, name string, server confLine) []string {
	host := "loghost.example"
	if len(server.values) > 0 {
		host = server.values[0]
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[sinks.%s]\n", name)
	writeKey(&b, "type", "syslog", "")
	writeKey(&b, "transport", "relp", `acknowledged one by one; or "tls", whose port is 6514`)
	writeKey(&b, "address", host+":2514", "")
	writeKey(&b, "ca_file", "/etc/audit/ca.pem", "of the CA that has signed the server's certificate")
	if p.filter != "" {
		writeKey(&b, "filter", p.filter, "")
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// remoteKeys are those of audisp-remote.conf(5), with what a sink of type syslog has for them.
var remoteKeys = []struct{ key, place string }{
	{"remote_server", "address"},
	{"port", "address; this port is that of auditd's protocol"},
	{"local_port", "none: the kernel chooses it"},
	{"transport", `transport: "relp" or "tls"; no krb5`},
	{"mode", "spool: what memory cannot hold is always stored"},
	{"queue_file", "none: the spool is below state_dir"},
	{"queue_depth", "q_depth, q_bytes, and max_size of spool, in bytes"},
	{"format", `transport = "relp" is acknowledged, as managed is`},
	{"network_retry_time", "none: pauses grow, and it is tried for ever"},
	{"max_tries_per_record", "none: it is tried for ever"},
	{"max_time_per_record", "none: it is tried for ever"},
	{"heartbeat_timeout", "none"},
	{"enable_krb5", "none: ca_file, cert_file and key_file of TLS"},
	{"krb5_principal", "none: server_name, with TLS"},
	{"krb5_client_name", "none: cert_file, with TLS"},
	{"krb5_key_file", "none: key_file, with TLS"},
	{"network_failure_action", "network_failure_action, once it has lasted for after"},
	{"disk_low_action", "none: the server does not say that"},
	{"disk_full_action", "none: the server does not say that"},
	{"disk_error_action", "none: the server does not say that"},
	{"remote_ending_action", "none: it connects again"},
	{"generic_error_action", "none: it connects again"},
	{"generic_warning_action", "none"},
	{"queue_error_action", "none: status says that the spool fails"},
	{"overflow_action", "overflow_action: ignore, syslog, suspend, single or halt"},
	{"startup_failure_action", "none: it is tried for ever"},
}
