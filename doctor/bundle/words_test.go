package bundle

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write words.txt again from the code and docs/messages.md")

// wordDirs are the packages whose texts reach logs, reports and findings; the tables of audit/record
// and the formats are not among them.
var wordDirs = []string{"cmd", "config", "doctor", "filter", "host", "plugin", "queue", "recovery", "sinks", "state", "audit/auditlog", "audit/integrity", "audit/stream"}

var wordPattern = regexp.MustCompile(`[A-Za-z]{2,24}`)

// collectWords returns the words that a bundle may have.
func collectWords(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	add := func(text string) {
		for _, word := range wordPattern.FindAllString(text, -1) {
			found[strings.ToLower(word)] = true
		}
	}
	for _, dir := range wordDirs {
		addCode(t, filepath.Join("../..", dir), add)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output() // a program built with -trimpath does not know it
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"net", "crypto/tls", "crypto/x509", "os", "io", "io/fs"} {
		addCode(t, filepath.Join(strings.TrimSpace(string(root)), "src", dir), func(text string) {
			if strings.Contains(text, " ") { // messages only, not what is parsed
				add(text)
			}
		})
	}

	text, err := os.ReadFile("../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	add(string(text))
	for n := unix.Errno(1); n < 134; n++ {
		add(n.Error() + " " + unix.ErrnoName(n))
	}
	for n := unix.Signal(1); n < 32; n++ {
		add(unix.SignalName(n))
	}
	add("debian ubuntu rhel centos fedora suse opensuse alma rocky amzn arch linux gnu generic amd64 arm64 max open files core file size hard soft limit units " +
		"processes locked memory address space cpu time seconds unlimited nice realtime priority pending signals msgqueue stack resident data timeout bytes us " +
		strings.Join(unitSettings, " "))
	return found
}

// addCode adds the string literals, and the names of fields, of a directory's code.
func addCode(t *testing.T, dir string, add func(string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "sinktest" || (d.Name() == "internal" && path != dir)):
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					add(text)
				}
			case *ast.Field:
				for _, name := range n.Names {
					if name.IsExported() {
						add(name.Name)
					}
				}
			}
			return true
		})
		return nil
	})

	if err != nil {
		t.Fatal(err)
	}
}

// TestWords holds words.txt against the code of this program: a message with words that are missing
// is hard to read in a bundle. go test ./doctor/bundle -run TestWords -update writes it.
func TestWords(t *testing.T) {
	want := collectWords(t)
	if *update {
		text := strings.Join(slices.Sorted(maps.Keys(want)), "\n") + "\n"
		if err := os.WriteFile("words.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}

	var missing []string
	for _, word := range slices.Sorted(maps.Keys(want)) {
		if !words()[word] {
			missing = append(missing, word)
		}
	}
	// A few new messages do no harm: their new words are placeholders until the list is made again.
	if 10*len(missing) > len(want) {
		t.Errorf("words.txt lacks %d of %d words (%s ...): run go test ./doctor/bundle -run TestWords -update",
			len(missing), len(want), strings.Join(missing[:20], " "))
	}
}
