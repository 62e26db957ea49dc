package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/format"
)

// A file without any key was emptied by an editor or a full disk: it is no wish for the
// defaults.
func TestParseWithoutAnyKey(t *testing.T) {
	for _, text := range []string{"", "\n \t\r\n", "# nothing\n", "\ufeff", "\ufeff# x", "[sinks]\n", "\ufeff[log]\n", "[spool]\n[recovery]\n# q_depth = 5\n", "sinks = {}"} {
		if c, err := Parse("t.toml", []byte(text)); c != nil || err == nil || !strings.Contains(err.Error(), "t.toml: has no key") {
			t.Errorf("Parse(%q): %+v, %v", text, c, err)
		}
	}
	if c, err := Parse("t.toml", make([]byte, 4096)); err == nil { // what a crash may leave
		t.Errorf("NUL bytes: %+v", c)
	}
}

// TestUnknownKeysWithoutEnd: a table of many keys that nobody knows is a few errors, not as many, each with a search for what
// was meant.
func TestUnknownKeysWithoutEnd(t *testing.T) {
	for table, where := range map[string]string{
		"": "t.toml: ",
		"[sinks.x]\ntype = \"file\"\npath = \"/var/log/x\"": "t.toml:1: sinks.x: ",
		"[log]": "t.toml:1: log: ",
	} {
		text := []byte(table + "\n")
		for i := range 5000 {
			text = fmt.Appendf(text, "k%d = 1\n", i)
		}
		_, err := Parse("t.toml", text)
		list, ok := errors.AsType[Errors](err)
		if !ok || len(list) > 2*maxUnknown {
			t.Fatalf("%q: %d errors, %v", table, len(list), ok)
		}
		if got := err.Error(); !strings.Contains(got, where+"has 4980 more unknown keys") || !strings.Contains(got, "k0: unknown key") {
			t.Errorf("%q: %.2000s", table, got)
		}
	}
}

func TestParseOneKeyIsElseDefault(t *testing.T) {
	for _, text := range []string{"q_depth = 16384", "\ufefflog.level = 'info'", "[log]\nlevel = 'info'\n[sinks]\n"} {
		got, err := Parse("t.toml", []byte(text))
		if err != nil {
			t.Fatalf("Parse(%q): %v", text, err)
		}
		want := Default()
		want.File = "t.toml"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q) differs from Default (-want +got):\n%s", text, diff)
		}
	}
}

// One wrong sink, the only one even, or a wrong key costs nothing else of the file, at a
// start.
func TestParseKeepsGlobalsBesideWrongSinks(t *testing.T) {
	globals := "q_depth = 77\nrun_dir = '/run/x'\nstate_dir = '/srv/x'\nname_format = 'user'\nname = 'web01'\n[log]\nlevel = 'debug'\n[spool]\nsync = 'none'\n"
	for _, wrong := range []string{
		"[sinks.f]\ntype='file'\npath='/x'\nmax_size='64MB'\n",
		"[sinks.f]\ntype='file'\npath=/x\n",
		"[sinks.f]\ntype='fil'\n[sinks.g]\ntype='unix'\n",
		"[sinks.f]\n",
		"[sinks]\nf = 1\n",
		"[spool]\n", // twice
		"[log]\noutput = 'relay.log'\n",
		"[recovery]\nenabled = 'yes'\n",
	} {
		c, err := Parse("t.toml", []byte(globals+wrong))
		if err == nil || c == nil {
			t.Errorf("%q: %+v, %v", wrong, c, err)
			continue
		}
		if c.QDepth != 77 || c.RunDir != "/run/x" || c.StateDir != "/srv/x" || c.Name != "web01" || c.Log.Level != "debug" || c.Spool.Sync != "none" {
			t.Errorf("%q: global keys are %+v", wrong, c)
		}
		if named := strings.Contains(wrong, "sinks"); named != (len(c.Sinks) == 0) {
			t.Errorf("%q: sinks %+v", wrong, c.Sinks)
		}
	}
}

func TestImpliedSinkFollowsRunDir(t *testing.T) {
	c, err := Parse("t.toml", []byte("run_dir = '/run/other'\nq_depth = 3"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Sinks[0]; got.Output != "/run/other/events.sock" || got.QDepth != 3 {
		t.Errorf("path %q, q_depth %d", got.Output, got.QDepth)
	}
}

// TestFilterIsShown: an error in a filter points at its place.
func TestFilterIsShown(t *testing.T) {
	_, err := Parse("t.toml", []byte("[sinks.a]\ntype = 'unix'\npath = '/run/a'\nfilter = 'pid == 1 && audi == 1'\n"))
	var list Errors
	if !errors.As(err, &list) || len(list) != 1 {
		t.Fatalf("%v", err)
	}
	if want := "  pid == 1 && audi == 1\n              ^"; list[0].Shown != want {
		t.Errorf("shown\n%s\nwant\n%s", list[0].Shown, want)
	}
}

// TestParseErrors: each row gives the errors that must come, all of them and in this order:
// "line: key: words that must be in the message".
func TestParseErrors(t *testing.T) {
	unix := "[sinks.a]\ntype = 'unix'\npath = '/run/a'\n"
	file := "[sinks.a]\ntype = 'file'\npath = '/var/a'\n"
	prog := "[sinks.a]\ntype = 'program'\npath = '/sbin/a'\n"
	slog := "[sinks.a]\ntype = 'syslog'\n"
	tls := slog + "transport = 'tls'\naddress = 'h:1'\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"syntax", "q_depth = 1\nqos = lossy\n", []string{"2: : not valid TOML"}},
		{"not UTF-8", "\nname = '\xff'", []string{"2: : UTF-8"}},
		{"duplicate key", "q_depth = 1\n\nq_depth = 2", []string{"3: : already been defined"}},
		{"sink named twice", unix + "[sinks.b]\ntype='syslog'\n" + unix, []string{"6: : already been defined"}},
		{"unknown", "spam = 1", []string{"1: spam: unknown key; allowed: input_buffer, log, loss_markers, memory_limit, metrics, name,"}},
		{"misspelt", "\n\nq_dpeth = 1", []string{`3: q_dpeth: did you mean "q_depth"?; allowed: input_buffer, log,`}},
		{"misspelt case", "QOS = 'lossy'", []string{`1: QOS: did you mean "qos"?`}},
		{"later issues", "\n[tracing]\n", []string{"2: tracing: unknown"}},
		{"state_dir", "state_dir = 'x'\nloss_markers = 'yes'", []string{"1: state_dir: not absolute", "2: loss_markers: is a string, must be true or false"}},
		{"state_dir of all", "state_dir = '//etc/..'\nrun_dir = 'x'", []string{"1: state_dir: \"//etc/..\" has what is others' in it, must be a directory of the relay's own", "2: run_dir: not absolute"}},
		{"state_dir path", "state_dir = '/s/'\n" + strings.Replace(unix, "/run/a", "/s/lock", 1) + "[sinks.b]\ntype = 'file'\npath = '/s/spool/b/x'\n[sinks.c]\ntype = 'file'\npath = '/s/state.json'",
			[]string{`4: sinks.a.path: "/s/lock" is written by the relay itself`, `7: sinks.b.path: "/s/spool/b/x" is in the directory of the spools`, `10: sinks.c.path: written by the relay itself`}},
		{"spool", "[spool]\nmax_size = '1023KiB'\nsync = 'always'\nsise = 1", []string{`2: spool.max_size: "1023KiB" is too small, must be "0" or at least "1MiB"`,
			`3: spool.sync: must be "none", "interval" or "batch"`, `4: spool.sise: unknown key`}},
		{"spool of a sink", unix + "spool.max_size = 1\n[sinks.b]\ntype = 'syslog'\nspool = '1MiB'", []string{`4: sinks.a.spool.max_size: 1 is too small`, `7: sinks.b.spool: is a string, must be a table`}},
		{"recovery", "[recovery]\nenabled = 1\nlog_file = 'audit.log'\nlog = ''", []string{"2: recovery.enabled: true or false", "3: recovery.log_file: not absolute", `4: recovery.log: unknown key`}},
		{"auditd's log", "recovery.log_file = '/var//a'\n" + file, []string{"4: sinks.a.path: written by auditd (recovery.log_file) already"}},
		{"misspelt table", "[sink.local]\ntype='unix'", []string{`1: sink: did you mean "sinks"?`}},
		{"sink outside of sinks", "[local]\ntype='unix'\npath='/run/a'", []string{`1: local: unknown key, did you mean [sinks.local]?; allowed: input_buffer, log,`}},
		{"sinks by another name", "[outputs.local]\ntype='unix'\npath='/run/a'", []string{`1: outputs: unknown key, did you mean [sinks.NAME]?`}},
		{"sink without a header", "type='unix'\npath='/run/a'", []string{"1: type: unknown key", "2: path: unknown key"}},
		{"every error", "q_depth = 0\nqos = 'loss'\n[log]\nlevel = 'loud'\n", []string{"1: q_depth: out of range, must be an integer from 1 to 1000000", `2: qos: "loss" is not allowed, must be "lossy" or "lossless"`, `4: log.level: "debug", "info", "warn" or "error"`}},
		{"depth high", "q_depth = 1_000_001", []string{"1: q_depth: 1000001 is out of range"}},
		{"wrong types", "q_depth = '1'\nqos = 1\nq_bytes = 1.5\nlog = []\nsinks = 7\nname = 2020-01-01\nname_format = true\nrun_dir = {}",
			[]string{"1: q_depth: is a string, must be an integer", "2: qos: is an integer, must be \"lossy\" or \"lossless\"", "3: q_bytes: is a float, must be a size", "4: log: is an array, must be a table",
				"5: sinks: is an integer, must be a table", "6: name: is a date or time", "7: name_format: is a boolean", "8: run_dir: is a table"}},
		{"bytes low", "q_bytes = '63KiB'", []string{`1: q_bytes: "63KiB" is too small, must be at least "64KiB"`}},
		{"bytes int low", "q_bytes = 65535", []string{`1: q_bytes: 65535 is too small`}},
		{"bytes negative", "q_bytes = -1", []string{`1: q_bytes: -1 must be a size`}},
		{"bytes unit", "q_bytes = '64MB'", []string{`1: q_bytes: "64MB" must be a size like "64MiB"`}},
		{"bytes overflow", "q_bytes = '9999999999GiB'\ninput_buffer = '99999999999999999999'", []string{`1: q_bytes: "9999999999GiB" is too large, must be at most "16384GiB"`, `2: input_buffer: "99999999999999999999" is too large`}},
		{"memory low", "memory_limit = '31MiB'", []string{`1: memory_limit: at least "32MiB"`}},
		{"memory zero", "memory_limit = '0'", []string{`1: memory_limit: at least "32MiB"`}},
		{"input buffer", "input_buffer = '1025MiB'", []string{`1: input_buffer: 1025MiB is too large, must be at most "1GiB"`}},
		{"input buffer low", "input_buffer = 1", []string{`1: input_buffer: 1 is too small, must be "0" or at least "64KiB"`}},
		{"oom", "oom_score_adj = 1001", []string{"1: oom_score_adj: -1000 to 1000"}},
		{"boost", "priority_boost = -1", []string{"1: priority_boost: 0 to 39"}},
		{"name missing", "name_format = 'user'", []string{"1: name_format: needs a name"}},
		{"name blank", "name = 'a b'", []string{"1: name: not a node name"}},
		{"run_dir", "run_dir = 'run'", []string{"1: run_dir: not absolute"}},
		{"run_dir long", "run_dir = '/" + strings.Repeat("x", 80) + "'", []string{"1: run_dir: is 81 bytes long"}},
		{"plugin_dir", "plugin_dir = 'x'", []string{"1: plugin_dir: not absolute"}},
		{"log output", "[log]\noutput = 'stdout'", []string{`2: log.output: "syslog", "stderr" or the absolute`}},
		{"global key in a table", "[log]\nq_depth = 5\n" + slog + "state_dir = '/x'", []string{"2: log.q_depth: is a key of the whole file: put it in front of the first table; allowed: level, output",
			"5: sinks.a.state_dir: is a key of the whole file"}},
		{"log key", "[log]\nlevl = 'info'", []string{`2: log.levl: did you mean "level"?; allowed: level, output`}},
		{"sink name", "[sinks.'a b']\ntype='unix'", []string{`1: sinks."a b": not a name for a sink`}},
		{"sink name long", "[sinks." + strings.Repeat("a", 65) + "]", []string{"1: sinks.aaaa"}},
		{"sink name empty", "[sinks.'']", []string{`1: sinks."": not a name`}},
		{"sink no table", "[sinks]\nlocal = 'unix'", []string{"2: sinks.local: is a string, must be a table"}},
		{"sinks array", "[[sinks]]\ntype='unix'", []string{"1: sinks: is an array of tables, must be a table"}},
		{"type missing", "\n[sinks.a]\npath='/x'", []string{`2: sinks.a: type is missing, must be "file", "nats", "otlp", "program", "syslog" or "unix"`}},
		{"type unknown", "[sinks.a]\ntype='kafka'\nq_depth=0", []string{`2: sinks.a.type: "kafka" is not allowed, must be "file"`, "3: sinks.a.q_depth"}},
		{"path missing", "[sinks.a]\ntype='unix'\n[sinks.b]\ntype='file'\n[sinks.c]\ntype='program'",
			[]string{"1: sinks.a: path is missing", "3: sinks.b: path is missing", "5: sinks.c: path is missing"}},
		{"path relative", "[sinks.a]\ntype='unix'\npath='@abstract'", []string{"3: sinks.a.path: not absolute"}},
		{"path directory", "[sinks.a]\ntype='file'\npath='/var/log/'", []string{"3: sinks.a.path: names a directory"}},
		{"path NUL", "[sinks.a]\ntype='file'\npath=\"/x\\u0000y\"", []string{"3: sinks.a.path: NUL"}},
		{"name long", "log.output = '/" + strings.Repeat("x", 256) + "'\nstate_dir = '/" + strings.Repeat("x", 256) + "/y'\n[sinks.a]\ntype='file'\npath='/x/" + strings.Repeat("é", 128) + "'",
			[]string{"1: log.output: has a name of 256 bytes in it", "2: state_dir: has a name of 256 bytes in it, a file or directory can have 255", "5: sinks.a.path: has a name of 256 bytes"}},
		{"name of a rotated file long", "[sinks.a]\ntype='file'\npath='/" + strings.Repeat("x", 254) + "'\n[sinks.b]\ntype='file'\ncompress=true\nmax_size='0'\npath='/" + strings.Repeat("y", 243) + "'",
			[]string{"3: sinks.a.path: has a name of 254 bytes, a rotated file 256 with what is added to it: a file can have 255", "8: sinks.b.path: has a name of 243 bytes, a rotated file 256"}},
		{"socket long", "[sinks.a]\ntype='unix'\npath='/" + strings.Repeat("x", 107) + "'", []string{"3: sinks.a.path: is 108 bytes long, a socket's path can have 107"}},
		{"foreign key", unix + "max_size = '1MiB'", []string{`4: sinks.a.max_size: does not belong to a sink of type "unix"; allowed: after, allow_uids, data_stream, disk_full_action, filter, format, frames, group,`}},
		{"foreign key 2", slog + "mode = '0600'", []string{`3: sinks.a.mode: does not belong to a sink of type "syslog"; allowed: address, after, ca_file,`}},
		{"misspelt sink key", unix + "max_cleints = 1", []string{`4: sinks.a.max_cleints: did you mean "max_clients"?`}},
		{"filter", unix + "filter = 'audi == 1'", []string{"4: sinks.a.filter: 1:1: unknown field audi: did you mean auid?"}},
		{"filter of two lines", unix + "filter = \"\"\"\nauid == 1 &&\n  uid == 'x'\"\"\"", []string{"4: sinks.a.filter: 2:"}},
		{"filter is no string", unix + "filter = 1", []string{"4: sinks.a.filter: is an integer, must be a string"}},
		{"format", unix + "format = 'xml'", []string{`4: sinks.a.format: "xml" is not allowed, must be "string", "binary", "json", "ecs", "ocsf", "laurel" or "joined"`}},
		{"node", unix + "node = 'no'", []string{`4: sinks.a.node: "no" is not allowed, must be "keep", "strip" or "add"`}},
		{"order", unix + "order = 'time'", []string{`4: sinks.a.order: "time" is not allowed, must be "arrival" or "serial"`}},
		{"data stream of another format", unix + "format = 'json'\ndata_stream = 'a.b'", []string{`5: sinks.a.data_stream: has no place in format "json": remove it, or set format = "ecs"`}},
		{"data stream by its whole name", unix + "format = 'ecs'\ndata_stream = 'logs-a.b-default'", []string{`5: sinks.a.data_stream: must be DATASET or DATASET-NAMESPACE, each 1 to 100 of the characters a-z 0-9 _ .`}},
		{"order of all", "order = 'serial'\n" + unix, []string{"1: order: unknown key"}},
		{"node of all", "node = 'strip'\n" + unix, []string{"1: node: unknown key"}},
		{"binary syslog", slog + "format = 'binary'", []string{`3: sinks.a.format: "binary" is not allowed, must be "string", "json", "ecs", "ocsf", "laurel" or "joined"`}},
		{"mode int", unix + "mode = 0o660", []string{`4: sinks.a.mode: is an integer, must be octal digits in quotes`}},
		{"mode bad", unix + "mode = '0680'", []string{`4: sinks.a.mode: "0680" is not a mode`}},
		{"mode setuid", file + "mode = '4755'", []string{`4: sinks.a.mode: not a mode`}},
		{"mode sign", file + "mode = '+640'", []string{`4: sinks.a.mode: not a mode`}},
		{"owner", unix + "owner = ''\ngroup = 'a:b'", []string{"4: sinks.a.owner: not a user", "5: sinks.a.group: not a user"}},
		{"number of an account", file + "owner = '4294967295'\ngroup = '99999999999999999999'", []string{`4: sinks.a.owner: "4294967295" is not the number of a user or group, must be 0 to 4294967294`, "5: sinks.a.group: is not the number"}},
		{"uids", unix + "allow_uids = ['root']", []string{"4: sinks.a.allow_uids: member 1 is a string, must be a user id"}},
		{"uids range", unix + "allow_uids = [0, -1]", []string{"4: sinks.a.allow_uids: member 2: -1 is not a user id"}},
		{"clients", unix + "max_clients = 1025", []string{"4: sinks.a.max_clients: 1 to 1024"}},
		{"slow, idle", unix + "slow_client = 'wait'\nwhen_idle = 'keep'", []string{`4: sinks.a.slow_client: "disconnect" or "drop"`, `5: sinks.a.when_idle: "discard" or "queue"`}},
		{"file keys", file + "max_size = '1KiB'\nmax_files = 0\ncompress = 1\nsync = 'always'",
			[]string{`4: sinks.a.max_size: must be "0" or at least "64KiB"`, "5: sinks.a.max_files: 1 to 1000", "6: sinks.a.compress: true or false", `7: sinks.a.sync: "none", "interval" or "batch"`}},
		{"program keys", prog + "args = 'x'\nmax_restarts = -1", []string{"4: sinks.a.args: is a string, must be an array of strings", "5: sinks.a.max_restarts: 0 to 99999"}},
		{"program args", prog + "args = [1]", []string{"4: sinks.a.args: member 1 is an integer, must be a string"}},
		{"transport", slog + "transport = 'ssl'", []string{`3: sinks.a.transport: "ssl" is not allowed, must be "local", "udp", "tcp", "tls" or "relp"`}},
		{"tls keys without tls", slog + "transport = 'tcp'\naddress = 'h:1'\nca_file = '/x'\ncert_file = '/c'\nkey_file = '/k'\nserver_name = 'n'",
			[]string{`5: sinks.a.ca_file: has no effect with transport "tcp", must be "" or transport "tls" or "relp"`, "6: sinks.a.cert_file: has no", "7: sinks.a.key_file: has no", "8: sinks.a.server_name: has no"}},
		{"tls address missing", slog + "transport = 'tls'", []string{"1: sinks.a: address is missing, must be"}},
		{"tls files", tls + "ca_file = 'ca.pem'\ncert_file = '/etc/'\nkey_file = 1", []string{`5: sinks.a.ca_file: "ca.pem" is not absolute`, "6: sinks.a.cert_file: names a directory", "7: sinks.a.key_file: is an integer, must be a string"}},
		{"certificate without key", tls + "cert_file = '/c'\nkey_file = ''", []string{"5: sinks.a.cert_file: needs key_file: a certificate and its key belong together"}},
		{"key without certificate", strings.Replace(tls, "tls", "relp", 1) + "key_file = '/k'", []string{"5: sinks.a.key_file: needs cert_file"}},
		{"server name", tls + "server_name = 'a:6514'", []string{`5: sinks.a.server_name: "a:6514" is not a host name or IP address`}},
		{"server name blank", tls + "server_name = 'a b'", []string{`5: sinks.a.server_name: not a host name`}},
		{"address missing", slog + "transport = 'udp'", []string{"1: sinks.a: address is missing, must be"}},
		{"address no port", slog + "transport = 'tcp'\naddress = 'host'", []string{`4: sinks.a.address: "host" is not an address, must be "host:port"`}},
		{"address port 0", slog + "transport = 'tcp'\naddress = 'host:0'", []string{`4: sinks.a.address: not an address`}},
		{"address service", slog + "transport = 'tcp'\naddress = 'host:syslog'", []string{`4: sinks.a.address: not an address`}},
		{"address local", slog + "address = 'host:514'", []string{`3: sinks.a.address: looks like host:port`}},
		{"framing", slog + "transport='udp'\naddress='a:1'\nframing='newline'", []string{`5: sinks.a.framing: has no effect with transport "udp", must be "" or transport "tcp" or "tls"`}},
		{"framing of another name", slog + "transport='tcp'\naddress='a:1'\nframing='lf'", []string{`5: sinks.a.framing: "lf" is not allowed, must be "both", "octet-counted" or "newline"`}},
		{"max_message", slog + "max_message='1000'", []string{`3: sinks.a.max_message: "1000" is too small, must be at least "1KiB"`}},
		{"max_message of a packet", slog + "transport='udp'\naddress='a:1'\nmax_message='64KiB'", []string{`5: sinks.a.max_message: "64KiB" is too large, must be at most "65000" with transport "udp"`}},
		{"max_message of a stream", slog + "transport='relp'\naddress='a:1'\nmax_message='5MiB'", []string{`5: sinks.a.max_message: "5MiB" is too large, must be at most "4MiB" with transport "relp"`}},
		{"syslog words", slog + "protocol = 'x'\nfacility = 'LOCAL0'\nseverity = 'error'\ntag = 'a[b]'",
			[]string{"3: sinks.a.protocol", "4: sinks.a.facility", "5: sinks.a.severity", "6: sinks.a.tag: not a tag"}},
		{"one path", unix + "[sinks.b]\ntype = 'file'\npath = '/run/../run/a'", []string{`6: sinks.b.path: "/run/a" is written by sinks.a already`}},
		{"one path, later in the file", strings.ReplaceAll(unix, ".a]", ".z]") + "[sinks.b]\ntype = 'file'\npath = '/run/a'", []string{`6: sinks.b.path: written by sinks.z already`}},
		{"log path", "log.output = '/var/a'\n" + file, []string{`4: sinks.a.path: written by log.output already`}},
		{"run_dir path", "run_dir = '/run/'\n" + strings.Replace(unix, "/run/a", "/run/control.sock", 1) + "[sinks.b]\ntype = 'file'\npath = '/run/state'",
			[]string{`4: sinks.a.path: "/run/control.sock" is written by the relay itself already`, `7: sinks.b.path: "/run/state" is written by the relay`}},
		{"rotated path", "[sinks.a]\ntype = 'file'\npath = '/x.2.gz'\n[sinks.b]\ntype = 'file'\npath = '/x'\nmax_files = 3\n[sinks.c]\ntype = 'file'\npath = '/x.3'",
			[]string{`3: sinks.a.path: "/x.2.gz" is the name of a rotated file of sinks.b`}},
		{"size large", "q_bytes = '16385GiB'\nmemory_limit = 9223372036854775807", []string{`1: q_bytes: must be at most "16384GiB"`, `2: memory_limit: must be at most`}},
		{"inline", "sinks = { a = { type = 'unix', path = '/x',\n mode = 1 } }", []string{"2: sinks.a.mode: is an integer"}},
		{"dotted", "sinks.a.type = 'file'\nsinks.a.path = '/x'\nsinks.\"a\" . sync = 'x'", []string{"3: sinks.a.sync"}},
		{"after multi-line strings", "name = '''\\\n[log]\nq_depth = 0'''\n\"q_depth\" = 0", []string{"1: name: not a node name", "4: q_depth: out of range"}},
		{"control in key", "\"a\\nb\" = 1", []string{"1: \"a"}},
		{"too deep", "\na.b.c.d.e.f.g.h.i = 1", []string{"2: : nested deeper than 8"}},
		{"too deep in brackets", "a = [[[[[[[[[1]]]]]]]]]", []string{"1: : nested deeper than 8"}},
		{"too deep in braces", strings.Repeat("a={", 20), []string{"1: : nested deeper than 8"}},
		{"key too long", strings.Repeat("a", 129) + " = 1", []string{"1: : a key of 129 bytes, allowed are 128"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("t.toml", []byte(tt.text))
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("Parse gave %v, %v, want Errors", c, err)
			}
			if c != nil {
				checkConfig(t, c)
			}
			if len(errs) != len(tt.want) {
				t.Fatalf("%d errors, want %d:\n%v", len(errs), len(tt.want), err)
			}
			for i, e := range errs {
				line, rest, _ := strings.Cut(tt.want[i], ": ")
				key, msg, _ := strings.Cut(rest, ": ")
				if fmt.Sprint(e.Line) != line || !strings.HasPrefix(e.Key, key) || !strings.Contains(e.Msg, msg) {
					t.Errorf("got  %v\nwant %s", e, tt.want[i])
				}
				if strings.ContainsAny(e.Error(), "\n\r\x00") {
					t.Errorf("more than one line: %q", e.Error())
				}
			}
		})
	}
}

func TestParseTooLarge(t *testing.T) {
	if _, err := Parse("t.toml", make([]byte, maxConfigSize+1)); err == nil || !strings.Contains(err.Error(), "1MiB") {
		t.Errorf("got %v", err)
	}
}

// What the TOML library would take minutes or gigabytes for must be refused
// before it gets to see it. A hang is the failure here.
func TestParseHostileNesting(t *testing.T) {
	const n = 300_000
	for _, text := range []string{
		"a=" + strings.Repeat("[", n), "a=" + strings.Repeat("{a=", n), "a" + strings.Repeat(".a", n) + "=1",
		"[a" + strings.Repeat(".a", n) + "]", "a = [" + strings.Repeat("[[{b=[", n),
		"[" + strings.Repeat("k", n) + "]\n" + strings.Repeat("a=1\n", n/2), strings.Repeat("'", n), strings.Repeat("[[a]]\n", n/2),
	} {
		if _, err := Parse("t.toml", []byte(text)); err == nil {
			t.Errorf("%.20q... was accepted", text)
		}
	}
}

func TestParseWarnsOfWhatIsAllowed(t *testing.T) {
	_, warns, err := parse("t.toml", []byte("memory_limit = '32MiB'\n\n[sinks.a]\ntype='syslog'\nq_bytes='20MiB'\n[sinks.b]\ntype='program'\npath='/x'\nq_bytes='13MiB'\n"))
	if err != nil || len(warns) != 1 || !strings.HasPrefix(warns[0], "t.toml:1: memory_limit: the queues of 2 sinks may hold 33MiB together") {
		t.Errorf("got %q, %v", warns, err)
	}
	_, warns, err = parse("t.toml", []byte("[sinks.a]\ntype='syslog'\nfilter = \"\"\"uid == 0 and\n  syscall == 'opnat'\"\"\"\n[sinks.b]\ntype='syslog'\nfilter='syscall == \"openat\"'\n"))
	want := `t.toml:3: sinks.a.filter: 2:14: there is no system call "opnat" in the tables: did you mean openat?`
	if err != nil || len(warns) != 1 || warns[0] != want {
		t.Errorf("got %q, %v", warns, err)
	}
}

// TestDataStreamOfASink: a name is one that Elasticsearch and its schema allow, in two parts.
func TestDataStreamOfASink(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, want := range map[string]format.DataStream{
		"":                          {},
		"auditd_manager.auditd":     {Dataset: "auditd_manager.auditd", Namespace: "default"},
		"auditd_manager.auditd-eu1": {Dataset: "auditd_manager.auditd", Namespace: "eu1"},
		long + "-" + long:           {Dataset: long, Namespace: long},
		long + "x":                  {}, "a-" + long + "x": {}, "A": {}, "a b": {}, "a-": {}, "-a": {}, "-": {}, "a-b-c": {}, "a/b": {}, "a*": {}, "é": {}, "a\\n": {}, "a:b": {}, "a\\\"": {},
	} {
		c, err := Parse("t.toml", []byte("[sinks.a]\ntype = 'syslog'\nformat = 'ecs'\ndata_stream = \""+name+"\"\n"))
		if isError := err != nil; isError != (name != "" && want == format.DataStream{}) {
			t.Errorf("%q: %v", name, err)
		} else if err == nil && c.Sinks[0].DataStream != want {
			t.Errorf("%q: %+v", name, c.Sinks[0].DataStream)
		}
	}
}

// TestOrderOfASink: of any type and format.
func TestOrderOfASink(t *testing.T) {
	for key, want := range map[string]bool{"": false, "order = 'arrival'": false, "order = 'serial'": true, "order = 'serial'\nformat = 'json'": true} {
		for _, kind := range []string{"syslog'\n", "file'\npath = '/var/log/x'\n", "program'\npath = '/bin/x'\n"} {
			c, err := Parse("t.toml", []byte("[sinks.a]\ntype = '"+kind+key))
			if err != nil {
				t.Fatal(err)
			}
			if s := c.Sinks[0]; s.Serial != want {
				t.Errorf("%q: %v", key, s.Serial)
			}
		}
	}
}

// TestNodeOfASink: name_format gives the name to add, and "add" needs none of it.
func TestNodeOfASink(t *testing.T) {
	for _, tt := range []struct {
		global, key string
		format      string
		strip       bool
	}{
		{"", "", "none", false},
		{"", "node = 'keep'", "none", false},
		{"", "node = 'strip'", "none", true},
		{"", "node = 'add'", "hostname", false},
		{"name_format = 'none'\nname = 'x'\n", "node = 'add'", "hostname", false},
		{"name_format = 'fqd'\n", "", "fqd", false},
		{"name_format = 'fqd'\n", "node = 'keep'", "fqd", false},
		{"name_format = 'fqd'\n", "node = 'strip'", "fqd", true},
		{"name_format = 'user'\nname = 'x'\n", "node = 'add'", "user", false},
	} {
		c, err := Parse("t.toml", []byte(tt.global+"[sinks.a]\ntype = 'syslog'\n"+tt.key))
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Sinks[0]; s.NameFormat != tt.format || s.StripNode != tt.strip {
			t.Errorf("%q, %q: name_format %s, strip %v", tt.global, tt.key, s.NameFormat, s.StripNode)
		}
	}
}

// What comes beside the errors is for a start that must not fail.
func TestParseGivesTheRightPart(t *testing.T) {
	good, dotted := "[sinks.good]\ntype='syslog'\n", "sinks.good.type='syslog'\n"
	tests := []struct {
		name, text string
		sinks      string // names
	}{
		{"wrong global", "q_depth = 0\nname_format = 'user'", "local"},
		{"unknown table", "[tracing]\n", "local"},
		{"one sink wrong", good + "[sinks.bad]\ntype='unix'\npath='/x'\nallow_uid=[0]\n", "good"},
		{"one path twice", "[sinks.a]\ntype='unix'\npath='/x'\n[sinks.b]\ntype='unix'\npath='/x'\n", "a"},
		{"no sink right", "[sinks.bad]\ntype='unix'\n", ""},
		{"sink not a table", "[sinks]\nlocal=1\n", ""},
		{"no sinks table", "sinks=1\n", ""},
		{"sinks misspelt", "[sink.a]\npath='/x'\n", ""},
		{"sinks misspelt in case", "[Sinks.a]\ntype='syslog'\n", ""},
		{"one in sinks misspelt", good + "[sink.a]\ntype='syslog'\n", "good"},
		{"sink outside of sinks", "[a]\ntype='syslog'\n", ""},
		{"sinks by another name", "[outputs.a]\ntype='syslog'\n", ""},
		{"sinks by another name, as an array", "[[output]]\ntype='syslog'\n", ""},
		{"sink without a header", "type='syslog'\n", ""},
		{"syntax", good + "x", ""},
		{"quote missing in one sink", good + "[sinks.bad]\ntype='file'\npath=/var/log/x\nmode='0600'\n[sinks.other]\ntype='syslog'\n", "good other"},
		{"quote missing in its spool", good + "[sinks.bad]\ntype='syslog'\n[sinks.bad.spool]\nsync='none\n", "good"},
		{"end of a string missing", good + "[sinks.bad]\ntype='syslog'\nfilter='''\nuid == 0\n", "good"},
		{"string that hides another sink", "[sinks.bad]\ntype='syslog'\nfilter='''\n" + good, ""},
		{"bracket missing", good + "[sinks.bad\ntype='unix'\n[sinks.other]\ntype='syslog'\n", "good other"},
		{"cut in the middle", good + "[sinks.bad]\ntype='unix'\npath='/ru", "good"},
		{"sink twice", good + "[sinks.bad]\ntype='syslog'\n[sinks.bad]\ntype='syslog'\n", "good"},
		{"byte order mark and a quote missing", "\ufeff[sinks.bad]\ntype='unix'\npath='/x'\nmode='0600\n" + good, "good"},
		{"quote missing in a dotted key", "sinks.bad.type='unix'\nsinks.bad.path='/x'\nsinks.bad.mode='0600\n" + dotted, "good"},
		{"comma missing in a dotted key", "sinks.bad.type='program'\nsinks.bad.path='/x'\nsinks.bad.args=[\n'a',\n'b'\n'c']\n" + dotted, "good"},
		{"comma missing further up", "sinks.ok.type='syslog'\nsinks.bad.type='program'\nsinks.bad.path='/x'\nsinks.bad.args=[\n'a'\n'b',\n'c']\n" + dotted, "good ok"},
		{"sign missing after a dotted key", "sinks.ok.type='syslog'\nsinks.ok.tag='t'\nq_depth 5\n" + dotted, "good ok"},
		{"quote missing in the table of all", "[sinks]\nbad.type='unix'\nbad.path='/x\n", ""},
		{"quote missing in a line for all", "sinks={bad={type='syslog', tag='t}}\n", ""},
		{"nothing but a wrong line", "sink.a.type = syslog\n", ""},
		{"NUL bytes of a crash", strings.Repeat("\x00", 200), ""},
		{"UTF-16", "[\x00s\x00i\x00n\x00k\x00s\x00", ""},
		{"syntax of a global key", "q_depth 5\n" + good, "good"},
		{"syntax in a table", "[log]\nlevel = debug\n" + good, "good"},
		{"bracket of a table missing", "[log\nlevel = 'debug'\n" + good, "good"},
	}
	for _, tt := range tests {
		c, err := Parse("t.toml", []byte(tt.text))
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		var names []string
		if c != nil {
			checkConfig(t, c)
			for _, s := range c.Sinks {
				names = append(names, s.Name)
			}
			if c.QDepth != DefaultQDepth || c.NameFormat != "none" {
				t.Errorf("%s: wrong values kept: %+v", tt.name, c)
			}
		}
		if got := strings.Join(names, " "); got != tt.sinks {
			t.Errorf("%s: sinks %q, want %q", tt.name, got, tt.sinks)
		}
	}
}
