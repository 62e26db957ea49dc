package sandbox

import (
	"errors"
	"strings"
	"testing"
)

// TestReport: a part is on, not wanted, not available, or it has failed; and the line says which.
func TestReport(t *testing.T) {
	var r Report
	r.enter("a", "", func() error { return nil })
	r.enter("b", "a program needs it", func() error { t.Error("done all the same"); return nil })
	r.enter("c", "", func() error { return notHere("no such kernel") })
	r.enter("d", "", func() error { return errors.New("broken") })
	if want := "on: a; not on: b (a program needs it), c (no such kernel), d (broken)"; r.String() != want {
		t.Errorf("%s, want %s", r, want)
	}
	if f := r.Failed(); len(f) != 1 || f[0].Name != "d" || f[0].On {
		t.Errorf("failed: %+v", f)
	}
	if !r.has("a") || r.has("d") || r.has("e") {
		t.Error("has")
	}
	for text, r := range map[string]Report{"none": {}, "on: nothing; not on: x (y)": {Parts: []Part{{Name: "x", Why: "y"}}}} {
		if !strings.HasPrefix(r.String(), text) {
			t.Errorf("%s, want %s", r, text)
		}
	}
}
