package packaging_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"audisp-relay/config"
	"audisp-relay/queue"
	_ "audisp-relay/sinks/all"
)

const (
	commandPage = "man/audisp-relay.8"
	configPage  = "man/audisp-relay.toml.5"
	sampleFile  = "audisp-relay.toml"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestManLint has mandoc look at the pages.
func TestManLint(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("mandoc is not installed")
	}
	pages, err := filepath.Glob("man/*.[1-9]")
	if err != nil || len(pages) < 2 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}

// setting is a key of the sample configuration, by the place where the manual
// describes it.
type setting struct {
	place string // "global", "sinks" (common to all types) or a type of sink
	key   string
	value string
	kind  string // the type of sink whose table it is in, "" elsewhere
}

// Keys that every sink has; the queue's are described with the global ones.
var (
	queueKeys  = []string{"q_depth", "q_bytes", "qos", "overflow_action"}
	commonKeys = []string{"type", "format", "filter", "node", "order", "data_stream", "disk_full_action", "after"}
	// failureKeys are those of commonKeys that no type of sink reads itself.
	failureKeys = []string{"disk_full_action", "after"}
)

var (
	sampleLine  = regexp.MustCompile(`^(?:# )?([a-z_]+) += ("[^"]*"|\[\]|\S+)`)
	sampleSpool = regexp.MustCompile(`^(?:# )?spool += \{ (.*) \}`)
	inlineKey   = regexp.MustCompile(`([a-z_]+) = ("[^"]*"|[^ ,]+)`)
)

// sampleSettings reads the keys of the packaged configuration, those that are
// commented out too.
func sampleSettings(t *testing.T) (all []setting) {
	t.Helper()
	inSink, types := false, map[int]string{}
	table := 0
	for line := range strings.Lines(readFile(t, sampleFile)) {
		if bare := strings.TrimPrefix(line, "# "); strings.HasPrefix(bare, "[") {
			inSink = strings.HasPrefix(bare, "[sinks.")
			table++
			continue
		}
		// A sink's spool has the keys of the table [spool].
		if m := sampleSpool.FindStringSubmatch(line); m != nil {
			for _, kv := range inlineKey.FindAllStringSubmatch(m[1], -1) {
				all = append(all, setting{"global", kv[1], kv[2], ""})
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		s := setting{"global", m[1], m[2], ""}
		if inSink {
			if s.key == "type" {
				types[table] = strings.Trim(s.value, `"`)
			}
			s.place, s.kind = types[table], types[table]
		}
		switch {
		case slices.Contains(queueKeys, s.key):
			s.place = "global"
		case slices.Contains(commonKeys, s.key):
			s.place = "sinks"
		}
		all = append(all, s)
	}
	if got := slices.Sorted(maps.Values(types)); !slices.Equal(got, config.Kinds()) {
		t.Fatalf("the sample has sinks of types %v, want one of each of %v", got, config.Kinds())
	}
	return all
}

// manKey is how the manual describes a key.
type manKey struct {
	place, key string
	text       string // of the brackets after the key
}

var manItem = regexp.MustCompile(`^\.It Ic ([a-z_]+) Pq (.*)`)

func manKeys(t *testing.T) (all []manKey) {
	t.Helper()
	place := ""
	for line := range strings.Lines(readFile(t, configPage)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, ".Sh GLOBAL KEYS"):
			place = "global"
		case strings.HasPrefix(line, ".Sh SINKS"):
			place = "sinks"
		case strings.HasPrefix(line, ".Sh "):
			place = ""
		case strings.HasPrefix(line, `.Ss type = \(dq`):
			place = strings.TrimSuffix(strings.TrimPrefix(line, `.Ss type = \(dq`), `\(dq`)
		}
		if m := manItem.FindStringSubmatch(line); m != nil {
			all = append(all, manKey{place, m[1], m[2]})
		}
	}
	return all
}

var manQuote = regexp.MustCompile(`Qo (.*?) ?Qc`)

// value returns the default that the manual names, "" when it names none.
func (k manKey) value() string {
	text := manQuote.ReplaceAllString(k.text, `"$1"`)
	text = strings.NewReplacer(`Bq \&`, "[]", `\-`, "-").Replace(text)
	_, value, found := strings.Cut(text, "default ")
	if !found {
		return ""
	}
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })[0]
}

// TestManConfigKeys holds the manual of the configuration against the packaged
// file, which another test holds against the code.
func TestManConfigKeys(t *testing.T) {
	documented := manKeys(t)
	used := make(map[manKey]bool)
	for _, s := range sampleSettings(t) {
		i := slices.IndexFunc(documented, func(k manKey) bool { return k.place == s.kind && k.key == s.key })
		if i < 0 || s.kind == "" {
			i = slices.IndexFunc(documented, func(k manKey) bool { return k.place == s.place && k.key == s.key })
		}
		if i < 0 {
			t.Errorf("%s does not describe %s (%s)", configPage, s.key, s.place)
			continue
		}
		k := documented[i]
		used[k] = true
		switch {
		case k.value() == "" && !strings.Contains(k.text, "required"):
			t.Errorf("%s: %s (%s) has neither a default nor is it required", configPage, s.key, s.place)
		case k.value() != "" && k.value() != s.value:
			t.Errorf("%s: the default of %s (%s) is %s, in %s it is %s", configPage, s.key, s.place, k.value(), sampleFile, s.value)
		}
	}
	for _, k := range documented {
		if !used[k] {
			t.Errorf("%s describes %s (%s), which %s does not have", configPage, k.key, k.place, sampleFile)
		}
	}
}

// TestManCauses holds the causes of a loss in audisp-relay(8) against those of the code.
func TestManCauses(t *testing.T) {
	_, list, _ := strings.Cut(readFile(t, commandPage), ".It NAME lost CAUSE\n")
	list, _, _ = strings.Cut(list, ".El\n")
	var documented, causes []string
	for _, m := range regexp.MustCompile(`(?m)^\.It (\S+)$`).FindAllStringSubmatch(list, -1) {
		documented = append(documented, m[1])
	}
	for cause := range queue.NumCauses {
		causes = append(causes, cause.String())
	}
	slices.Sort(documented)
	slices.Sort(causes)
	if !slices.Equal(documented, causes) {
		t.Errorf("%s: causes %v, the code has %v", commandPage, documented, causes)
	}
}
