package laurel

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/records.golden again; it takes laurel")

// example is one case of testdata/records.golden: records, regular ones first and then hostile
// ones, what laurel makes of them and what we make. laurel is "same", "refuses" when it writes nothing, "crashes", or its lines.
type example struct {
	comment      []string
	lines        []byte
	laurel, ours []string
}

// readExamples reads the golden file: "# why", "> record in quotes as Go has them",
// "laurel ..." and "ours ...", a blank line after each case.
func readExamples(t testing.TB) (cases []example) {
	t.Helper()
	text, err := os.ReadFile("testdata/records.golden")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		var c example
		for line := range strings.SplitSeq(block, "\n") {
			word, rest, _ := strings.Cut(line, " ")
			switch word {
			case "#":
				c.comment = append(c.comment, rest)
			case ">":
				record, err := strconv.Unquote(rest)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				c.lines = append(c.lines, record+"\n"...)
			case "laurel":
				c.laurel = append(c.laurel, rest)
			case "ours":
				c.ours = append(c.ours, rest)
			default:
				t.Fatalf("what is %q?", line)
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// TestRecordsAreAsInTheGoldenFile: our lines are what the golden file says, each valid JSON without a key twice.
func TestRecordsAreAsInTheGoldenFile(t *testing.T) {
	for _, c := range readExamples(t) {
		got := encode(t, c.lines)
		if !*update {
			if d := cmp.Diff(strings.Join(c.ours, "\n")+"\n", string(got)); d != "" {
				t.Errorf("%s\n%q (-golden +ours):\n%s", c.comment, c.lines, d)
			}
		}
		checkLines(t, got)
	}
}

// TestLaurelIsAsInTheGoldenFile: what laurel makes of them is what the golden file says.
func TestLaurelIsAsInTheGoldenFile(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	cases := readExamples(t)
	for i := range cases {
		c := &cases[i]
		p := runLaurel(t, c.lines)
		ours := decodeAll(t, encode(t, c.lines))
		verdict := verdicts(t, p, ours)
		if *update {
			c.laurel, c.ours = verdict, strings.Split(strings.TrimSpace(string(encode(t, c.lines))), "\n")
		} else if d := cmp.Diff(c.laurel, verdict); d != "" {
			t.Errorf("%s\n%q (-golden +laurel):\n%s", c.comment, c.lines, d)
		}
	}
	if *update {
		writeExamples(t, cases)
	}
}

func verdicts(t *testing.T, p peer, ours []map[string]any) (lines []string) {
	t.Helper()
	for _, event := range p.events {
		dropContext(event)
	}
	place := func(event map[string]any) int {
		return slices.IndexFunc(ours, func(o map[string]any) bool { return nodeID(o) == nodeID(event) })
	}
	slices.SortStableFunc(p.events, func(x, y map[string]any) int { return place(x) - place(y) })
	switch {
	case p.crashed:
		return []string{"crashes"}
	case len(p.events) == 0:
		return []string{"refuses"}
	case cmp.Equal(p.events, ours):
		return []string{"same"}
	}
	for _, event := range p.events {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(event); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(b.String()))
	}
	return lines
}

func writeExamples(t *testing.T, cases []example) {
	t.Helper()
	var b strings.Builder
	for i, c := range cases {
		if i > 0 {
			b.WriteString("\n")
		}
		for _, line := range c.comment {
			b.WriteString("# " + line + "\n")
		}
		for line := range bytes.Lines(c.lines) {
			b.WriteString("> " + strconv.QuoteToASCII(strings.TrimSuffix(string(line), "\n")) + "\n")
		}
		for _, line := range c.laurel {
			b.WriteString("laurel " + line + "\n")
		}
		for _, line := range c.ours {
			b.WriteString("ours " + line + "\n")
		}
	}
	if err := os.WriteFile("testdata/records.golden", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
