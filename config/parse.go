package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/host/runnable"
	"audisp-relay/suggest"
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

	broken := len(doc.errs) > 0 // in its syntax
	root := &Table{doc: doc, vals: vals}
	c := globals()
	c.File = name
	root.globals(c)
	if rules := root.table("rules"); rules != nil {
		rules.rules(c)
	}
	if sinks := root.table("sinks"); sinks != nil {
		sinks.sinks(c)
	}

	root.finish(strayKey)
	doc.noteStray(root)
	switch {
	case hasKey(vals):
	case len(doc.errs) == 0:
		return nil, nil, Errors{{File: name, Msg: "has no key, so it was emptied or cut: put the configuration back, or remove the file to have the defaults"}}
	case broken && len(doc.badSinks) == 0: // nothing could be read
		return nil, nil, doc.errs.sorted()
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
		if !isTable || hasKey(sub) || (name == "sinks" && len(sub) > 0) {
			return true
		}
	}
	return false
}

// strayKey says where a table belongs that describes a sink, but is not in [sinks]; "" for other keys.
func strayKey(name string, val any) string {
	if _, isTable := val.(map[string]any); !isTable || !hasType(val) || near(name, "sinks") {
		return ""
	}
	if sinkName(name) && val.(map[string]any)["type"] != nil {
		return fmt.Sprintf("unknown key, did you mean [sinks.%s]?", name)
	}
	return "unknown key, did you mean [sinks.NAME]?"
}

// noteStray notes where the keys of a sink stand outside of [sinks]: the sinks that were asked for are not known then, and
// the built-in one does not take their place.
func (d *document) noteStray(root *Table) {
	for name, val := range root.vals {
		if !slices.Contains(root.known, name) && (name == "type" || near(name, "sinks") || hasType(val)) {
			d.badSinks[""] = true
		}
	}
}

func near(word, meant string) bool { return suggest.Nearest(word, []string{meant}) != "" }

// hasType reports whether a value is a table with a type, as that of a sink has it, or has such tables in it.
func hasType(val any) bool {
	switch v := val.(type) {
	case map[string]any:
		return v["type"] != nil || slices.ContainsFunc(slices.Collect(maps.Values(v)), hasType)
	case []map[string]any:
		return slices.ContainsFunc(v, func(t map[string]any) bool { return hasType(t) })
	}
	return false
}

// globals reads everything outside [sinks].
func (t *Table) globals(c *Config) {
	t.policy(&c.QDepth, &c.QBytes, &c.QOS, &c.OverflowAction, &c.Spool)
	t.Integer("priority_boost", &c.PriorityBoost, 0, maxBoost)
	t.Integer("oom_score_adj", &c.OOMScoreAdj, -maxOOMScore, maxOOMScore)
	t.OneOf("name_format", &c.NameFormat, nameFormats...)
	t.Str("name", &c.Name, EmptyOr(nodeName))
	t.OneOf("sandbox", &c.Sandbox, "on", "off")
	t.SizeOrZero("input_buffer", &c.InputBuffer, minQBytes)
	if c.InputBuffer > maxInput {
		t.doc.errorf(t.key("input_buffer"), "%v is too large, must be at most %q", c.InputBuffer, maxInput.String())
		c.InputBuffer = defaultInput
	}

	t.Size("memory_limit", &c.MemoryLimit, minMemory)
	t.dir("run_dir", &c.RunDir, runDir)
	t.dir("state_dir", &c.StateDir, OwnDirPath)
	t.doc.stateDir = c.StateDir
	t.Boolean("process_context", &c.ProcessContext)
	t.Boolean("process_cgroup", &c.ProcessCgroup)
	t.SizeOrZero("process_hash", &c.ProcessHash, 1)
	t.Boolean("loss_markers", &c.LossMarkers)
	t.dir("plugin_dir", &c.PluginDir, EmptyOr(DirPath))
	if c.NameFormat == "user" && c.Name == "" {
		t.doc.errorf(t.key("name_format"), `"user" needs a name, set the key name to the node name`)
		c.NameFormat = "none"
	}

	t.within("recovery", func(t *Table) {
		t.Boolean("enabled", &c.Recovery.Enabled)
		t.Str("log_file", &c.Recovery.LogFile, EmptyOr(FilePath))
	})
	t.within("log", func(t *Table) {
		t.OneOf("level", &c.Log.Level, "debug", "info", "warn", "error")
		t.Str("output", &c.Log.Output, logOutput)
	})
	t.within("metrics", func(t *Table) { t.metrics(&c.Metrics) })
	t.within("process_labels", func(t *Table) { t.labels(c) })
}

// rules reads the table of that name: a rule under each key. What is wrong with one leaves that one out.
func (t *Table) rules(c *Config) {
	sources := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(t.vals)) {
		src := ""
		if !ruleName(name) {
			t.Errorf(name, "not a name for a rule, must be 1 to %d bytes of printable UTF-8", maxRuleName)
		} else if t.Str(name, &src, nil); src != "" {
			sources[name] = src
		} else if t.vals[name] == "" {
			t.Errorf(name, "is empty: write an expression, or remove the rule")
		}
	}

	set, errs, warnings := filter.NewRules(sources)
	for _, e := range errs {
		t.wrongFilter(e.Name, e.Error)
	}
	for _, w := range warnings {
		t.doc.warnf(t.key(w.Name), "%s", firstLine(w.Error.Error()))
	}
	for name, label := range set.Labels {
		t.warnOfLabel(name, label)
	}
	c.Rules, t.doc.rules = set, set
	t.doc.asksProcesses = set.AsksForProcesses()
}

// wrongFilter reports what is wrong with an expression.
func (t *Table) wrongFilter(key string, err error) {
	text, shown, _ := strings.Cut(err.Error(), "\n")
	t.Errorf(key, "%s", text)
	t.doc.errs[len(t.doc.errs)-1].Shown = shown
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// policy reads the keys of a queue, which exist globally and in every sink.
func (t *Table) policy(depth *int, bytes *Size, qos, action *string, spool *Spool) {
	t.Integer("q_depth", depth, 1, maxQDepth)
	t.Size("q_bytes", bytes, minQBytes)
	t.OneOf("qos", qos, "lossy", "lossless")
	t.OneOf("overflow_action", action, overflowActions...)
	t.within("spool", func(t *Table) {
		t.SizeOrZero("max_size", &spool.MaxSize, minSpool)
		t.OneOf("sync", &spool.Sync, "none", "interval", "batch")
		t.warnAt(&spool.WarnAt)
	})
}

// sinks reads the tables inside [sinks].
func (t *Table) sinks(c *Config) {
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

// sink reads one sink into s, which holds the defaults.
func (t *Table) sink(s Sink) Sink {
	s.Origin = fmt.Sprintf("%s:%d", t.doc.file, t.doc.lines.of(t.path...))
	t.Required("type", quoted(Kinds()))
	t.OneOf("type", &s.Type, Kinds()...)
	t.policy(&s.QDepth, &s.QBytes, &s.QOS, &s.OverflowAction, &s.Spool)
	t.diskFull(&s)
	k, known := kinds[s.Type]
	if !known {
		return s // which keys it may have cannot be said
	}
	k.read(t, &s)
	t.checkDisk(&s)
	t.finish(func(name string, _ any) string {
		if name == networkFailure {
			return fmt.Sprintf("does not belong to a sink of type %q, which connects to nothing: status, doctor and alerts say that it does not deliver", s.Type)
		}
		for _, other := range Kinds() {
			if _, own := KeysOf(other); slices.Contains(own, name) {
				return fmt.Sprintf("does not belong to a sink of type %q", s.Type)
			}
		}
		return ""
	})
	return s
}

// events reads which events a consumer gets, and in which format.
func (t *Table) events(s *Sink, text bool) {
	formats := format.Names()
	if text {
		formats = slices.DeleteFunc(formats, func(name string) bool { return name == "binary" })
	}
	t.OneOf("format", &s.Format, formats...)
	src := ""
	if t.Str("filter", &src, nil); src == "" {
		return
	}

	f, err := filter.CompileWith(src, t.doc.rules)
	if err != nil {
		t.wrongFilter("filter", err)
		return
	}
	for _, w := range f.Warnings() {
		t.doc.warnf(t.key("filter"), "%s", firstLine(w.Error()))
	}
	for _, label := range f.Labels() {
		t.warnOfLabel("filter", label)
	}

	t.doc.asksProcesses = t.doc.asksProcesses || f.AsksForProcesses()
	s.Filter = src
	for _, l := range f.Lists() {
		s.Lists = append(s.Lists, l.Path())
	}
}

// node reads whether the records' text has node=. The name to add is that of name_format, which "keep"
// leaves to decide.
func (t *Table) node(s *Sink) {
	word := "keep"
	t.OneOf("node", &word, nodeWords...)
	s.StripNode = word == "strip"
	if word == "add" && s.NameFormat == "none" {
		s.NameFormat = "hostname"
	}
}

// order reads whether events are put into an order.
func (t *Table) order(s *Sink) {
	word := "arrival"
	t.OneOf("order", &word, "arrival", "serial")
	s.Serial = word == "serial"
}

// dataStream reads which data stream of Elasticsearch the events are for.
func (t *Table) dataStream(s *Sink) {
	name := ""
	t.Str("data_stream", &name, EmptyOr(dataStreamName))
	switch dataset, namespace, _ := strings.Cut(name, "-"); {
	case name == "":
	case s.Format != "ecs":
		t.Errorf("data_stream", `has no place in format %q: remove it, or set format = "ecs"`, s.Format)
	default:
		s.DataStream = format.DataStream{Dataset: dataset, Namespace: cmp.Or(namespace, "default")}
	}
}

// frames reads how long frames are; with a format that has none it says nothing.
func (t *Table) frames(s *Sink, otherwise string) {
	size := otherwise
	t.OneOf("frames", &size, frameSizes...)
	if s.Format == "binary" {
		s.Frames = size
	}
}

// refuseSelf reports the sinks whose program is the relay itself: each child would
// read the same configuration and start the next.
func (d *document) refuseSelf(c *Config) {
	self, _ := os.Executable() // "" without /proc: then it is not known
	for _, s := range c.Sinks {
		if runnable.SameProgram(s.Program, self) {
			d.errorf(toml.Key{"sinks", s.Name, "path"}, "%q is audisp-relay itself, which would start itself over and over: must be another program", s.Program)
		}
	}
}

// advise warns of a setting that is allowed and without the effect one expects:
// each queue keeps to its own bound, and together they may exceed what the
// process as a whole is meant to stay under; records may go over a network in clear; nothing is known of processes.
func (d *document) advise(c *Config) {
	var sum Size
	for _, s := range c.Sinks {
		sum += s.QBytes
		if s.Spool.MaxSize > usedSpool && !d.badSinks[s.Name] {
			d.warnf(toml.Key{"sinks", s.Name, "spool", "max_size"}, "is %v, and a spool takes some %v at most, as each part of it is known in memory: what comes beyond that is lost, or makes a lossless sink stop the stream",
				s.Spool.MaxSize, usedSpool)
		}
		a, ok := s.Settings.(Advisor)
		if !ok || d.badSinks[s.Name] {
			continue
		}
		if key, text := a.Advise(); text != "" {
			d.warnf(toml.Key{"sinks", s.Name, key}, "%s", text)
		}
	}

	if sum > c.MemoryLimit {
		d.warnf(toml.Key{"memory_limit"}, "the queues of %d sinks may hold %v together, more than %v: lower q_bytes or raise memory_limit",
			len(c.Sinks), sum, c.MemoryLimit)
	}
	if d.asksProcesses && !c.ProcessContext {
		d.warnf(toml.Key{"process_context"}, `is false, so what a filter or a rule asks of processes and their parents is always "": set it to true`)
	}
	if (c.Labels != nil || c.ProcessCgroup || c.ProcessHash > 0) && !c.ProcessContext {
		d.warnf(toml.Key{"process_context"}, "is false, so process_labels, process_cgroup and process_hash do nothing: set it to true")
	}
}
