package packaging_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/config"
	_ "audisp-relay/sinks/all"
)

const required = "required" // in the place of a default

// TestSinkKeys holds the keys that each type of sink reads, and their defaults, against its README,
// the packaged configuration and the manual.
func TestSinkKeys(t *testing.T) {
	for _, kind := range config.Kinds() {
		_, own := config.KeysOf(kind)
		slices.Sort(own)
		sample := sampleKeys(t, kind)
		bare := bareSink(kind, sample)
		for source, keys := range map[string]map[string]string{
			"sinks/" + kind + "/README.md": readmeKeys(t, kind),
			sampleFile:                     sample,
			configPage:                     manKeysOf(t, kind),
		} {
			if diff := cmp.Diff(own, slices.Sorted(maps.Keys(keys))); diff != "" {
				t.Errorf("%s: keys of type %s (-code +%s):\n%s", source, kind, source, diff)
			}
			for key, value := range keys {
				checkDefault(t, source, kind, bare, key, value)
			}
		}
	}
}

// TestSinksAreListed: each type of sink is in the lists that a reader chooses from.
func TestSinksAreListed(t *testing.T) {
	_, types, _ := strings.Cut(readFile(t, configPage), "\n.It Ic type Pq string, required\n")
	types, _, _ = strings.Cut(types, "\n.It Ic ")
	for _, kind := range config.Kinds() {
		if !strings.Contains(types, ".Qq "+kind+" ") && !strings.Contains(types, ".Qq "+kind+"\n") {
			t.Errorf("%s: no type %s", configPage, kind)
		}
		for _, path := range []string{"../README.md", "../docs/guarantees.md"} {
			if !strings.Contains(readFile(t, path), "sinks/"+kind+"/README.md") {
				t.Errorf("%s has no link to that of %s", path, kind)
			}
		}
	}
}

// TestCommonKeys holds the keys that sinks of all types have against the same.
func TestCommonKeys(t *testing.T) {
	common, _ := config.KeysOf("")
	common = slices.DeleteFunc(common, func(key string) bool { return key == "type" })
	slices.Sort(common)
	named := regexp.MustCompile("(?m)^((?:`[a-z_]+`(?:, | and ))+`[a-z_]+`) are those of every consumer")
	word := regexp.MustCompile("[a-z_]+")
	for _, kind := range config.Kinds() {
		var got []string
		if m := named.FindStringSubmatch(readFile(t, "../sinks/"+kind+"/README.md")); m != nil {
			got = slices.DeleteFunc(word.FindAllString(m[1], -1), func(w string) bool { return w == "and" })
		}
		slices.Sort(got)
		if diff := cmp.Diff(common, got); diff != "" {
			t.Errorf("sinks/%s/README.md: keys of every consumer (-code +README):\n%s", kind, diff)
		}
	}

	local, found := strings.CutPrefix(readFile(t, sampleFile)[strings.Index(readFile(t, sampleFile), "[sinks.local]"):], "[sinks.local]")
	local, _, _ = strings.Cut(local, "\n\n")
	manual := manKeys(t)
	for _, key := range common {
		m := regexp.MustCompile(`(?m)^# ` + key + ` += (\{.*\}|\S+)`).FindStringSubmatch(local)
		if !found || m == nil {
			t.Errorf("%s: [sinks.local] lacks %s", sampleFile, key)
			continue
		}
		checkDefault(t, sampleFile, "unix", bareSink("unix", sampleKeys(t, "unix")), key, m[1])
		if key != "spool" && !slices.ContainsFunc(manual, func(k manKey) bool { return (k.place == "global" || k.place == "sinks") && k.key == key }) {
			t.Errorf("%s lacks %s", configPage, key)
		}
	}
	if !strings.Contains(readFile(t, configPage), "Each has the four queue keys, a table\n.Ic spool\n") || len(common) != 7 {
		t.Errorf("%s does not say that every sink has %q", configPage, common)
	}
}

// bareSink returns the table of a sink that has nothing but what it must have.
func bareSink(kind string, sample map[string]string) string {
	text := fmt.Sprintf("[sinks.a]\ntype = %q\n", kind)
	for _, key := range requiredKeys(kind) {
		text += key + " = " + sample[key] + "\n"
	}
	return text
}

// requiredKeys are those that the code reports as missing.
func requiredKeys(kind string) (keys []string) {
	_, err := config.Parse("t.toml", []byte(fmt.Sprintf("[sinks.a]\ntype = %q\n", kind)))
	for _, m := range regexp.MustCompile(`([a-z_]+) is missing`).FindAllStringSubmatch(fmt.Sprint(err), -1) {
		keys = append(keys, m[1])
	}
	return keys
}

// checkDefault wants a key with its documented default to change nothing.
func checkDefault(t *testing.T, source, kind, bare, key, value string) {
	t.Helper()
	needed := slices.Contains(requiredKeys(kind), key)
	if needed && (source == sampleFile || value == required) {
		return // the sample has an example
	}
	if key == "frames" {
		bare += "format = \"binary\"\n" // else it has no effect
	}
	want, err := config.Parse("t.toml", []byte(bare))
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Parse("t.toml", []byte(bare+key+" = "+value+"\n"))
	if err != nil || needed {
		t.Errorf("%s: default of %s (%s) is %s: %v, required %v", source, key, kind, value, err, needed)
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s (%s) is not %s by default (-default +documented):\n%s", source, key, kind, value, diff)
	}
}

// sampleKeys returns the keys that the packaged configuration shows for a type alone.
func sampleKeys(t *testing.T, kind string) map[string]string {
	t.Helper()
	keys := make(map[string]string)
	for table := range strings.SplitSeq(readFile(t, sampleFile), "[sinks.") {
		if !regexp.MustCompile(`(?m)^(# )?type += "` + kind + `"`).MatchString(table) {
			continue
		}
		for line := range strings.Lines(table) {
			if m := sampleLine.FindStringSubmatch(line); m != nil && m[1] != "type" && !slices.Contains(queueKeys, m[1]) && !slices.Contains(failureKeys, m[1]) {
				keys[m[1]] = m[2]
			}
		}
	}
	delete(keys, "spool")
	return keys
}

// manKeysOf returns the keys that the manual describes for a type, format, filter and node with them.
func manKeysOf(t *testing.T, kind string) map[string]string {
	t.Helper()
	keys := make(map[string]string)
	for _, k := range manKeys(t) {
		if k.place != kind && (k.place != "sinks" || k.key == "type" || slices.Contains(failureKeys, k.key)) {
			continue
		}
		if keys[k.key] = k.value(); keys[k.key] == "" && strings.Contains(k.text, ", "+required) {
			keys[k.key] = required
		}
	}
	return keys
}

var (
	readmeRow = regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+`) \\| ([^|]*) \\|")
	readmeBit = regexp.MustCompile("`([^`]*)`")
)

// readmeKeys returns the keys in the table of a sink's README. A row of several keys has a default
// for each, or one for all.
func readmeKeys(t *testing.T, kind string) map[string]string {
	t.Helper()
	_, text, _ := strings.Cut(readFile(t, "../sinks/"+kind+"/README.md"), "\n## Configuration\n")
	text, _, _ = strings.Cut(text, "\n## ")
	keys := make(map[string]string)
	for _, row := range readmeRow.FindAllStringSubmatch(text, -1) {
		values := readmeBit.FindAllStringSubmatch(row[2], -1)
		for i, key := range readmeBit.FindAllStringSubmatch(row[1], -1) {
			switch {
			case strings.Contains(row[2], required):
				keys[key[1]] = required
			case len(values) > 0:
				keys[key[1]] = values[min(i, len(values)-1)][1]
			}
		}
	}
	return keys
}
