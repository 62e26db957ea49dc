package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audisp-relay/state"
	"audisp-relay/test/lab"
)

const deadLetters = "[sinks.o]\ntype = \"otlp\"\nurl = \"https://localhost:4318\"\n"

// TestOwnDirs: a directory beneath state_dir is not given for itself, and does not have to be reached before state_dir is given.
func TestOwnDirs(t *testing.T) {
	for name, x := range map[string]struct {
		text string
		want []string // beneath DIR
	}{
		"default":   {"state_dir = \"DIR/state/\"\n" + deadLetters, []string{"state"}},
		"elsewhere": {"state_dir = \"DIR/state\"\n" + deadLetters + "dead_letter_dir = \"DIR/state2\"\n", []string{"state", "state2"}},
	} {
		d, dir := deskFor(t, x.text)
		var want []string
		for _, name := range x.want {
			want = append(want, filepath.Join(dir, name))
		}
		if got := ownDirs(d.config()); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestOneProcessIsNoReasonForOne: a state_dir that is root's, with dead letters in it, is given to a worker.
func TestOneProcessIsNoReasonForOne(t *testing.T) {
	uid, gid := lab.AsNobody(t)
	d, dir := deskFor(t, "state_dir = \"DIR/state\"\n"+deadLetters)
	if err := state.Give(dir+"/state", 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/state/dead/o", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, own := range ownDirs(d.config()) {
		if err := state.Reach(own, uid, gid); err != nil && strings.Contains(err.Error(), dir+"/state") { // not those of the test above it
			t.Error(err)
		}
	}
}
