package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The packaged file promises to list every key with its default.
const samplePath = "../packaging/audisp-relay.toml"

func readSample(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// commentedOut matches a setting or table that is commented out, not prose.
var commentedOut = regexp.MustCompile(`(?m)^# (\[sinks\.|[a-z_]+ += )`)

func TestSampleIsDefault(t *testing.T) {
	got, warns, err := parse(samplePath, []byte(readSample(t)))
	if err != nil || len(warns) > 0 {
		t.Fatal(err, warns)
	}
	want := Default()
	want.File = samplePath
	want.Sinks[0].Origin = got.Sinks[0].Origin
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the sample differs from Default (-want +got):\n%s", diff)
	}
}

func TestSampleOptionalSinks(t *testing.T) {
	text := commentedOut.ReplaceAllString(readSample(t), "$1")
	c, warns, err := parse(samplePath, []byte(text))
	if err != nil || len(warns) > 0 {
		t.Fatal(err, warns)
	}
	defaults := map[string]*Sink{"unix": {Unix: newUnix()}, "file": {File: newFile()}, "syslog": {Syslog: newSyslog()}, "program": {Program: newProgram()}}
	defaults["unix"].Unix.Path = "/run/audisp-relay/events.sock"
	defaults["file"].File.Path = "/var/log/audisp-relay/events.log"
	defaults["syslog"].Syslog.Address, defaults["syslog"].Syslog.Protocol = "/dev/log", "rfc3164"
	defaults["program"].Program.Path = "/sbin/audisp-remote"
	for _, got := range c.Sinks {
		want := newSink(got.Name, globals())
		d := defaults[got.Type]
		want.Type, want.Origin = got.Type, got.Origin
		want.Unix, want.File, want.Syslog, want.Program = d.Unix, d.File, d.Syslog, d.Program
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sinks.%s differs from the defaults (-want +got):\n%s", got.Name, diff)
		}
		delete(defaults, got.Type)
	}
	for typ := range defaults {
		t.Errorf("no sink of type %s in the sample", typ)
	}
}

// Defaults that are zero would be equal if the key were missing, so the keys
// themselves are looked for too.
func TestSampleNamesEveryKey(t *testing.T) {
	doc, vals, err := parseDocument(samplePath, []byte(commentedOut.ReplaceAllString(readSample(t), "$1")))
	if err != nil {
		t.Fatal(err)
	}
	root := &table{doc: doc, vals: vals}
	root.globals(globals())
	sinks := root.table("sinks")
	check := func(where string, known []string, vals map[string]any) {
		for _, key := range known {
			if _, ok := vals[key]; !ok {
				t.Errorf("the sample does not have %s%s", where, key)
			}
		}
	}
	check("", root.known, vals)
	for name, read := range map[string]func(*table){
		"log":      func(t *table) { t.log(&Log{}) },
		"spool":    func(t *table) { t.spool(&Spool{}) },
		"recovery": func(t *table) { t.recovery(&Recovery{}) },
	} {
		one := root.table(name)
		read(one)
		check(name+".", one.known, one.vals)
	}
	for name := range sinks.vals {
		one := sinks.table(name)
		check("sinks."+name+".", keysOf(one.vals["type"].(string)), one.vals)
	}
	local := sinks.table("local")
	local.policy(new(int), new(Size), new(string), new(string), &Spool{})
	check("sinks.local.", local.known, local.vals)
	spool := local.table("spool")
	spool.spool(&Spool{})
	check("sinks.local.spool.", spool.known, spool.vals)
}

func TestSampleLines(t *testing.T) {
	text := readSample(t)
	if strings.Contains(text, "\t") || !strings.HasSuffix(text, "\n") {
		t.Error("tabs, or no newline at the end")
	}
}
