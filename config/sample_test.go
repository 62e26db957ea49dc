package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
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
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the sample differs from Default (-want +got):\n%s", diff)
	}
}

var missingKey = regexp.MustCompile(`([a-z_]+) is missing`)

func TestSampleOptionalSinks(t *testing.T) {
	text := commentedOut.ReplaceAllString(readSample(t), "$1")
	c, warns, err := parse(samplePath, []byte(text))
	// One of each type is more than memory_limit is made for, and the CA of a server is not known to the sample.
	warns = slices.DeleteFunc(warns, func(w string) bool {
		return strings.Contains(w, "memory_limit: the queues of") || strings.Contains(w, "ca_file: is not set")
	})
	if err != nil || len(warns) > 0 {
		t.Fatal(err, warns)
	}
	missing := Kinds()
	for _, got := range c.Sinks {
		required := fmt.Sprintf("[sinks.%s]\ntype = %q\n", got.Name, got.Type)
		_, err := Parse("t.toml", []byte(required))
		for _, m := range missingKey.FindAllStringSubmatch(fmt.Sprint(err), -1) {
			_, table, _ := strings.Cut(text, "[sinks."+got.Name+"]\n")
			value := regexp.MustCompile(`(?m)^` + m[1] + ` += ("[^"]*"|\[.*\])`).FindStringSubmatch(table)
			required += m[1] + " = " + value[1] + "\n"
		}
		bare, err := Parse("t.toml", []byte(required))
		if err != nil {
			t.Fatal(err)
		}
		want := bare.Sinks[0]
		want.Origin = got.Origin
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("sinks.%s differs from the defaults (-want +got):\n%s", got.Name, diff)
		}
		missing = slices.DeleteFunc(missing, func(kind string) bool { return kind == got.Type })
	}
	if len(missing) > 0 {
		t.Errorf("no sink of type %q in the sample", missing)
	}
}

// Defaults that are zero would be equal if the key were missing, so the keys
// themselves are looked for too.
func TestSampleNamesEveryKey(t *testing.T) {
	doc, vals, err := parseDocument(samplePath, []byte(commentedOut.ReplaceAllString(readSample(t), "$1")))
	if err != nil {
		t.Fatal(err)
	}
	root := &Table{doc: doc, vals: vals}
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
	for _, name := range []string{"log", "spool", "recovery", "metrics"} {
		check(name+".", allowedIn(t, name), root.table(name).vals)
	}
	for _, name := range allowedIn(t, "process_labels") { // its tables are empty by default
		if _, there := root.table("process_labels").vals[name]; !there && !strings.Contains(readSample(t), "\n# [process_labels."+name+"]\n") {
			t.Errorf("the sample does not have process_labels.%s", name)
		}
	}
	for name := range sinks.vals {
		one := sinks.table(name)
		_, own := KeysOf(one.vals["type"].(string))
		check("sinks."+name+".", own, one.vals)
	}
	local := sinks.table("local")
	local.policy(new(int), new(Size), new(string), new(string), &Spool{})
	local.diskFull(&Sink{})
	check("sinks.local.", local.known, local.vals)
	check("sinks.local.spool.", allowedIn(t, "spool"), local.table("spool").vals)
}

// allowedIn returns the keys of a table, as the error about a wrong one names them.
func allowedIn(t *testing.T, table string) []string {
	t.Helper()
	_, err := Parse("config", []byte("["+table+"]\nwrong = 1\n"))
	if err == nil {
		t.Fatalf("[%s] may have any key", table)
	}
	_, keys, _ := strings.Cut(err.Error(), "allowed: ")
	return strings.Split(keys, ", ")
}

func TestSampleHasNoTabs(t *testing.T) {
	text := readSample(t)
	if strings.Contains(text, "\t") || !strings.HasSuffix(text, "\n") {
		t.Error("tabs, or no newline at the end")
	}
}
