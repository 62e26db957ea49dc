package packaging

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// floors are the packages, each of which imports none but those of the floors below its own.
var floors = [][]string{
	{"audit/record", "fleet/wire", "host/journald", "host/runnable", "host/sockdiag", "patternsize", "sinks/local", "suggest", "topk", "audisp-plugins.d", "packaging"},
	{"host/athand", "host/broker"},
	{"audit/process", "audit/stream", "audit/users", "fleet", "format/jsontext", "host", "host/trusted", "plugin/sandbox", "queue/spool", "state"},
	{"audit/auditlog", "audit/event", "audit/integrity", "filter", "format", "plugin/checkpoint", "plugin/monitor", "plugin/recent", "queue"},
	{"format/ecs", "format/human", "format/joined", "format/json", "format/laurel", "format/ocsf"},
	{"config", "recovery", "sigma"},
	{"sinks"},
	{"sinks/remote"},
	{"sinks/engine", "sinks/file", "sinks/otlp", "sinks/program", "sinks/sinktest", "sinks/syslog", "sinks/unix"},
	{"sinks/nats"},
	{"format/all", "plugin/nodes", "plugin/top", "sinks/all"},
	{"plugin/consumer"},
	{"plugin", "plugin/replay"},
	{"metrics", "plugin/overview"},
	{"doctor", "plugin/live"},
	{"doctor/bundle", "doctor/canary", "doctor/probe", "doctor/stig"},
	{"cmd/audisp-relay"},
}

// tools are packages that the program does not consist of: nothing imports them but each other and tests.
var tools = []string{"audit/audittest", "bench", "test", "test/engine", "test/forge", "test/lab", "test/load", "test/otelcol", "test/picture", "test/pki", "test/shim", "testdata/captures"}

// TestImportsPointDownwards: no package imports one of its own floor or of one above, and each has
// its place.
func TestImportsPointDownwards(t *testing.T) {
	const module = "audisp-relay/"
	floorOf := make(map[string]int)
	for n, packages := range floors {
		for _, name := range packages {
			floorOf[name] = n
		}
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module)
		floor, known := floorOf[name]
		if !known {
			if !slices.Contains(tools, name) {
				t.Errorf("%s has no place in the floors", name)
			}
			continue
		}
		for _, path := range words[1:] {
			imported, ours := strings.CutPrefix(path, module)
			if below, ok := floorOf[imported]; ours && (!ok || below >= floor) {
				t.Errorf("%s imports %s, which is not below it", name, imported)
			}
		}
	}
}

var quotedPath = regexp.MustCompile("`([a-z][a-z0-9./-]*)`")

// TestRoomsAreDescribed: each package has its place in the table of docs/design.md: by its path, or by its
// name in a row that begins with the path of a sister.
func TestRoomsAreDescribed(t *testing.T) {
	design, err := os.ReadFile("../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(design), "\n## Rooms\n")
	table, _, _ = strings.Cut(table, "\n## ")
	described := make(map[string]bool)
	for row := range strings.Lines(table) {
		dir := "."
		for _, match := range quotedPath.FindAllStringSubmatch(row, -1) {
			name := path.Clean(match[1])
			if strings.Contains(name, "/") {
				dir = path.Dir(name)
			}
			described[name], described[path.Join(dir, name)] = true, true
		}
	}
	for _, packages := range floors {
		for _, name := range packages {
			if !described[name] {
				t.Errorf("docs/design.md: the rooms lack %s", name)
			}
		}
	}
}
