package main

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/plugin/top"
)

// busyReport is one of a running plugin with so many rows of each kind, and rules against some.
func busyReport(rows, remedies int) *top.Report {
	r := &top.Report{Minute: new(top.Total), By: make(map[string][]top.Row), Dropped: 1}
	r.Start.Own, r.Minute.Own = 0.5, 0.5
	for _, kind := range top.By {
		for i := range rows {
			r.By[kind] = append(r.By[kind], top.Row{Name: fmt.Sprintf("%s%s%d", strings.Repeat("x", 100), kind, i), Minute: new(top.Part)})
		}
	}
	for range remedies {
		r.Remedies = append(r.Remedies, top.Remedy{By: "exe", Name: "/bin/a", Load: strings.Repeat("auditctl ", 30), RulesD: "-a never,exit", Filter: "f", Hides: "all of it", Note: "a note"})
	}
	return r
}

// TestTopFitsTheScreen: whatever there is, the first line of --watch does not leave the screen, and the last is the cursor's.
func TestTopFitsTheScreen(t *testing.T) {
	text := topScreen(busyReport(5, 3), 80, 24)
	if n := screenLines(text, 80); n > 23 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for _, want := range []string{"last ", "key0", "...", "KEY", "TYPE OF RECORD", "rules against the worst, 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if text := topScreen(busyReport(5, 3), 300, 200); text != topText(busyReport(5, 3)) {
		t.Errorf("on a large terminal:\n%s", text)
	}

	rapid.Check(t, func(t *rapid.T) {
		r := busyReport(rapid.IntRange(0, 30).Draw(t, "rows"), rapid.IntRange(0, 3).Draw(t, "remedies"))
		if by := rapid.SampledFrom(top.By[:]).Draw(t, "by"); rapid.Bool().Draw(t, "one kind") {
			r.By = map[string][]top.Row{by: r.By[by]}
		}
		columns, lines := rapid.IntRange(20, 200).Draw(t, "columns"), rapid.IntRange(3, 100).Draw(t, "lines")
		text := topScreen(r, columns, lines)
		if n := screenLines(text, columns); n > lines-1 && n > 3 { // what says that there is more may be wrapped
			t.Errorf("%d lines of %d columns on a terminal of %d:\n%s", n, columns, lines, text)
		}
	})
}
