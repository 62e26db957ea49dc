package filter

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentHasEveryFieldAndHelper: docs/filter.md has every field, helper and row of the ausearch test, names
// none that there is not, and its examples compile.
func TestDocumentHasEveryFieldAndHelper(t *testing.T) {
	data, err := os.ReadFile("../docs/filter.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	for _, name := range slices.Concat(fieldNames, slices.Sorted(maps.Keys(helpers)), slices.Sorted(maps.Keys(builtins))) {
		if !strings.Contains(doc, "`"+name+"`") && !strings.Contains(doc, "`"+name+"(") {
			t.Errorf("%s is not in it", name)
		}
	}
	rows, examples := 0, 0
	quoted := regexp.MustCompile("`([^`]+)`")
	fenced := false
	for line := range strings.Lines(doc) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if example, ok := strings.CutPrefix(line, "    "); ok && !fenced {
			examples++
			mustCompile(t, example)
		}
		cells := strings.Split(strings.ReplaceAll(line, `\|`, ""), "|")
		if len(cells) == 4 && strings.HasPrefix(cells[1], " `-") {
			rows++
			option, filter := strings.Trim(cells[1], " `"), strings.Trim(cells[2], " `")
			if !slices.ContainsFunc(asked, func(a struct{ option, filter string }) bool {
				return a.option == option && strings.TrimSuffix(a.filter, ` and type != "ANOM_ABEND"`) == filter
			}) {
				t.Errorf("no test has %s and %s", option, filter)
			}
		}
		if len(cells) == 5 { // of the table of fields
			for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
				if fields[m[1]] == nil {
					t.Errorf("there is no field %s", m[1])
				}
			}
		}
	}
	if rows < 20 || examples < 5 {
		t.Errorf("%d rows, %d examples", rows, examples)
	}
}
