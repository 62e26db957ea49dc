package packaging_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestVersionIsThatOfTheCommit: what the program says of itself, and so its bytes, depends on the commit and the tag of its release, not on
// what other tags a clone has.
func TestVersionIsThatOfTheCommit(t *testing.T) {
	need(t, "git")
	need(t, "make")
	clone := filepath.Join(t.TempDir(), "clone")
	output(t, "git", "clone", "-q", "--no-tags", "..", clone)
	version := func() string {
		t.Helper()
		_, rest, found := strings.Cut(output(t, "make", "-n", "-C", clone, "build"), "-X main.version=")
		text, _, _ := strings.Cut(rest, `"`)
		if !found || text == "" || text == "dev" {
			t.Fatalf("version %q", text)
		}
		return text
	}
	before := version()
	output(t, "git", "-C", clone, "tag", "nightly")
	if now := version(); now != before {
		t.Errorf("with another tag it is called %s, was %s", now, before)
	}
	output(t, "git", "-C", clone, "tag", "v0.0.1")
	if now := version(); now != "v0.0.1" {
		t.Errorf("with the tag of its release it is called %s", now)
	}
}
