package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNextProgramChangesTheRunLevel: where one refuses, or is not there, the next is run, and no other. That none has done it is an error.
func TestNextProgramChangesTheRunLevel(t *testing.T) {
	t.Parallel()
	did := filepath.Join(t.TempDir(), "did")
	touch := []string{"/bin/touch", did}
	refuses, missing := []string{"/bin/false", "0"}, []string{"/no/such/init", "0"}
	for _, c := range []struct {
		programs [][]string
		touched  bool
		want     string // of the error
	}{
		{[][]string{{"/bin/true", "0"}, touch}, false, ""},
		{[][]string{refuses, touch}, true, ""},
		{[][]string{missing, touch}, true, ""},
		{[][]string{{"/bin/sleep", "1.5"}, touch}, false, ""}, // it is at it
		{[][]string{refuses, missing}, false, "/bin/false 0: exit status 1: see what it says when it is run by hand; /no/such/init must not be run: /no does not exist"},
		{[][]string{missing, refuses}, false, "; /bin/false 0: exit status 1"},
	} {
		err := runFirst(c.programs...)
		if (err == nil) != (c.want == "") || (err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n"))) {
			t.Errorf("%q: %v, want %q", c.programs, err, c.want)
		}
		if touched := os.Remove(did) == nil; touched != c.touched {
			t.Errorf("%q: the last was run: %v", c.programs, touched)
		}
	}
}
