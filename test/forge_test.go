package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/test/lab"
)

// forgeSinks is a file in each format.
func forgeSinks() string {
	var b strings.Builder
	for _, format := range []string{"string", "binary", "json", "ecs", "laurel", "joined"} {
		fmt.Fprintf(&b, "[sinks.%s]\ntype = \"file\"\npath = \"DIR/%s\"\nformat = %q\nmax_size = \"0\"\nqos = \"lossless\"\n", format, format, format)
	}
	return b.String()
}

// TestLiveForgery: an unprivileged user connects to addresses that are to become records
// of his own. No record comes out of any sink that the kernel did not make, and each of
// those once: with every version of auditd, RAW and ENRICHED, string and binary, and
// whether or not audit.log leads.
func TestLiveForgery(t *testing.T) {
	lab.Require(t)
	dir := tempDir(t)
	program, relayPath := build(t, dir, "./forge"), build(t, dir, "../cmd/audisp-relay")
	for _, suite := range []string{"", lab.Trixie, lab.Sid} {
		root := ""
		if suite != "" {
			root = lab.Root(t, suite)
		}
		for _, format := range []string{"ENRICHED", "RAW"} {
			t.Run(lab.Version(root)+" "+format, func(t *testing.T) { forgery(t, root, format, program, relayPath) })
		}
	}
}

// victim is a relay in a test of forgery.
type victim struct {
	*relay
	name    string
	leading bool // audit.log leads for it
}

func forgery(t *testing.T, root, format, program, relayPath string) {
	dir := tempDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o := lab.Options{Root: root, LogFormat: format, QDepth: auditdQueue,
		Plugins: []lab.Plugin{{Name: "truth", Path: program, Args: "tee " + filepath.Join(dir, "truth")}}}
	var victims []victim
	for _, v := range []victim{{name: "string"}, {name: "binary"}, {name: "string-led", leading: true}, {name: "binary-led", leading: true}} {
		v.relay = &relay{t: t, dir: filepath.Join(dir, v.name)}
		if err := os.Mkdir(v.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeConfig(t, v.dir, forgeSinks())
		p := lab.Plugin{Name: v.name, Path: relayPath, Args: "-c " + v.dir + "/relay.toml", Format: strings.TrimSuffix(v.name, "-led")}
		if v.leading {
			plan := filepath.Join(v.dir, "plan")
			if err := os.WriteFile(plan, []byte(p.Path+" "+p.Args), 0o600); err != nil {
				t.Fatal(err)
			}
			p.Path, p.Args = program, "drop "+plan
		}
		o.Plugins = append(o.Plugins, p)
		victims = append(victims, v)
	}
	a := lab.Start(t, o)
	a.Ctl("-a", "always,exit", "-F", "arch=b64", "-S", "connect", "-F", "auid=1007", "-k", "forge")
	truthPath := filepath.Join(dir, "truth")
	everywhere := []string{truthPath}
	for _, v := range victims {
		everywhere = append(everywhere, v.dir+"/string")
	}
	after := a.Drain(everywhere...)
	forge := func() {
		id, serial := lastID(t, truthPath)
		out, err := exec.Command(program, "connect", id, strconv.Itoa(serial)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	forge()
	// 4.2 cuts what it gives to plugins with RAW: then the log leads for everyone.
	cut := format == "RAW" && strings.Contains(a.Version(), ":4.2")
	mode := func(v victim) string {
		if v.leading || cut {
			return "log"
		}
		return "stream"
	}
	for _, v := range victims {
		until(t, v.name+" follows the "+mode(v), func() bool { return v.report().Recovery.Mode == mode(v) })
	}
	forge()
	for _, v := range victims {
		if got := v.report().Recovery.Mode; got != mode(v) {
			t.Logf("%s follows the %s now", v.name, got) // no fault: it may look there when the stream lags
		}
	}
	last := a.DrainTo(everywhere...)
	if cut { // the relay has it from the log, but EOE; with RAW no version writes a newline there
		truthPath = a.Log()
	}
	made := readTruth(t, truthPath, after, last, cut)
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			var faults []string
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
				if faults = made.faults(t, v.dir); len(faults) == 0 || time.Now().After(deadline) {
					break
				}
			}
			for i, f := range faults {
				if i == 20 {
					t.Errorf("and %d more", len(faults)-i)
					break
				}
				t.Error(f)
			}
			if t.Failed() {
				logged, _ := os.ReadFile(v.dir + "/log")
				t.Logf("log of the relay:\n%s", logged)
			}
			rec := v.report().Recovery
			t.Logf("%d records made, %d between the marks; the log led %d times, %d records from it", len(made.all), len(made.wanted), rec.Led, rec.Recovered)
		})
	}
}

// lastID returns the id of the last record of the kernel in a file, and its serial.
func lastID(t *testing.T, path string) (id string, serial int) {
	t.Helper()
	for _, r := range readRecords(t, path) {
		if r.serial > 0 && r.typ/100 != 12 {
			id, serial = r.id, r.serial
		}
	}
	if id == "" {
		t.Fatal("no record yet")
	}
	return id, serial
}

// seenRecord is a record as a consumer has it.
type seenRecord struct {
	typ    uint32
	serial int
	id     string // SEC.MS:SERIAL, "" if it has none
	text   string // all of it, of one line
}

// readRecords reads a file of lines, each of which is a record, or of frames.
func readRecords(t *testing.T, path string) (all []seenRecord) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b record.Batch
	add := func() {
		for i := range b.Recs {
			r := seenRecord{typ: b.Recs[i].Type, serial: int(b.Recs[i].Serial)}
			text := strings.ReplaceAll(string(b.Text(i)), "\n", " ")
			r.text = typeName(r.typ) + " " + text
			if b.Recs[i].HasID() {
				r.id, _, _ = strings.Cut(strings.TrimPrefix(text, "audit("), ")")
			}
			all = append(all, r)
		}
	}
	if strings.HasSuffix(path, "binary") {
		r := stream.NewReader(bytes.NewReader(data))
		for r.Next(&b) == nil {
			add()
		}
		return all
	}
	// Line by line: the reader must not put together what a sink has torn apart.
	sp := stream.NewSplitter()
	for line := range bytes.Lines(data) {
		sp.Cut(&b, copy(sp.Space(), line))
		add()
		sp.CutRest(&b)
		add()
	}
	return all
}

// truth is what auditd gave to a plugin of its own, to which no version gives a newline.
type truth struct {
	all    map[string]int            // every record, by its text
	wanted map[string]int            // those between two marks
	types  map[string]map[string]int // of each event, by id
	cut    bool                      // the stream is, EOE too
}

// none reports whether a record does not count: EOE that were cut, and what auditd
// says before its plugins run.
func (m *truth) none(r seenRecord) bool {
	return (m.cut && (r.typ == record.TypeEOE || strings.Contains(r.text, "type=EOE"))) || typeName(r.typ) == "DAEMON_START"
}

func readTruth(t *testing.T, path, after, last string, cut bool) *truth {
	m := &truth{all: map[string]int{}, wanted: map[string]int{}, types: map[string]map[string]int{}, cut: cut}
	inside := false
	for _, r := range readRecords(t, path) {
		if m.none(r) {
			continue
		}
		m.all[r.text]++
		if m.types[r.id] == nil {
			m.types[r.id] = map[string]int{}
		}
		m.types[r.id][typeName(r.typ)]++
		if inside {
			m.wanted[r.text]++
		}
		inside = (inside || strings.Contains(r.text, after)) && !strings.Contains(r.text, last)
	}
	return m
}

// faults holds what a relay's sinks have against it.
func (m *truth) faults(t *testing.T, dir string) (faults []string) {
	t.Helper()
	for _, sink := range []string{"string", "binary"} {
		had := map[string]int{}
		for _, r := range readRecords(t, dir+"/"+sink) {
			if m.none(r) {
				continue
			}
			key := r.text
			if had[key]++; had[key] > m.all[key] {
				faults = append(faults, fmt.Sprintf("%s: made %d times, there %d times: %q", sink, m.all[key], had[key], r.text))
			}
		}
		for key := range m.wanted {
			if had[key] < m.all[key] {
				faults = append(faults, fmt.Sprintf("%s: made %d times, there %d times: %q", sink, m.all[key], had[key], key))
			}
		}
	}
	return slices.Concat(faults, m.jsonFaults(t, dir), m.joinedFaults(t, dir), m.idFaults(t, dir))
}

// jsonFaults compares the types of the records of each event.
func (m *truth) jsonFaults(t *testing.T, dir string) (faults []string) {
	t.Helper()
	events, torn := readEvents(t, dir+"/json")
	if torn > 0 {
		faults = append(faults, fmt.Sprintf("json: %d lines are none", torn))
	}
	had := map[string]map[string]int{}
	for _, e := range events {
		if had[e.ID] == nil {
			had[e.ID] = map[string]int{}
		}
		for _, typ := range e.RecordTypes {
			if typ == "DAEMON_START" || (m.cut && typ == "EOE") {
				continue
			}
			if had[e.ID][typ]++; had[e.ID][typ] > m.types[e.ID][typ] {
				faults = append(faults, fmt.Sprintf("json: event %s: %s %d times, made %d times", e.ID, typ, had[e.ID][typ], m.types[e.ID][typ]))
			}
		}
	}
	return faults
}

// joinedRecord is where a record begins in a line of several. A line that lacks it in a record's own text is docs/recipes.md's promise.
var joinedRecord = regexp.MustCompile(`type=([A-Z0-9_]+) msg=audit\(([0-9.]+:[0-9]+)\)`)

// joinedFaults compares the types of the records of each event, as a reader finds them in the joined lines.
func (m *truth) joinedFaults(t *testing.T, dir string) (faults []string) {
	t.Helper()
	data, err := os.ReadFile(dir + "/joined")
	if err != nil {
		t.Fatal(err)
	}
	had := map[string]map[string]int{}
	for line := range bytes.Lines(data) {
		begins := joinedRecord.FindAllSubmatch(line, -1)
		if at := joinedRecord.FindIndex(line); at == nil || at[0] != 0 {
			faults = append(faults, fmt.Sprintf("joined: a line that begins with no record: %q", line))
		}
		for _, b := range begins {
			typ, id := string(b[1]), string(b[2])
			if typ == "DAEMON_START" || (m.cut && typ == "EOE") {
				continue
			}
			if had[id] == nil {
				had[id] = map[string]int{}
			}
			if had[id][typ]++; had[id][typ] > m.types[id][typ] {
				faults = append(faults, fmt.Sprintf("joined: event %s: %s %d times, made %d times: %q", id, typ, had[id][typ], m.types[id][typ], line))
			}
		}
	}
	return faults
}

var (
	eventID = regexp.MustCompile(`"(?:id|ID)":"([0-9.]+:[0-9]+)"`)
	// noType is what an event of the types has that only forged lines are of.
	noType = regexp.MustCompile(`"(USER_LOGIN|DAEMON_ERR|CONFIG_CHANGE)":|"message_type":"(user_login|daemon_err|config_change)"`)
)

// idFaults compares which events there are.
func (m *truth) idFaults(t *testing.T, dir string) (faults []string) {
	t.Helper()
	for _, sink := range []string{"ecs", "laurel"} {
		data, err := os.ReadFile(dir + "/" + sink)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			id := eventID.FindSubmatch(line)
			switch {
			case bytes.Contains(line, []byte("DAEMON_START")) || bytes.Contains(line, []byte("daemon_start")):
			case m.cut && id == nil && bytes.Contains(line, []byte("EOE")):
			case id == nil || m.types[string(id[1])] == nil || (noType.Match(line) && !m.rare(string(id[1]))):
				faults = append(faults, fmt.Sprintf("%s: no such event: %s", sink, line))
			}
		}
	}
	return faults
}

// rare reports whether an event does have a record of a type that lines are forged of.
func (m *truth) rare(id string) bool {
	types := m.types[id]
	return types["USER_LOGIN"]+types["DAEMON_ERR"]+types["CONFIG_CHANGE"] > 0
}

func typeName(n uint32) string { return string(record.AppendTypeName(nil, n)) }
