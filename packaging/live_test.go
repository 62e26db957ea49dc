package packaging

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryLiveTestIsRun: make test skips tests named TestLive… among the others and runs those of the
// packages that it names. One in any other package would never run.
func TestEveryLiveTestIsRun(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^.*-run '\^TestLive'.*$`).Find(makefile)
	named := strings.Fields(string(line))

	var found []string
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("\nfunc Test"+"Live")) {
			found = append(found, "./"+filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../"))))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found = slices.Compact(found)

	if len(found) == 0 {
		t.Error("no tests named TestLive…")
	}
	for _, dir := range found {
		if !slices.Contains(named, dir) {
			t.Errorf("the tests named TestLive… of %s are not run: the Makefile has %q", dir, line)
		}
	}
}
