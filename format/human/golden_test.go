package human_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/format/human"
	"audisp-relay/testdata/captures"
)

var update = flag.Bool("update", false, "write the golden files")

// show returns a stream's events as a Printer shows them.
func show(t testing.TB, p *human.Printer, data []byte) string {
	t.Helper()
	var out []byte
	eachEvent(data, func(b *record.Batch, i, j int) { out = p.AppendEvent(out, b, i, j) })
	return string(out)
}

// TestGolden: each sample as one line, and as it is laid out on a terminal of 80 columns.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no samples:", err)
	}
	for _, input := range inputs {
		t.Run(filepath.Base(input), func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			now := func() time.Time { return time.Unix(1700000000, 0) }
			got := show(t, human.New(human.Options{Zone: time.UTC}), data) +
				strings.Repeat("-", 80) + "\n" +
				show(t, human.New(human.Options{Zone: time.UTC, Width: 80, Now: now}), data)
			checkGolden(t, strings.TrimSuffix(input, ".in")+".txt", got)
		})
	}
}

// checkGolden compares with a file, which -update writes.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s: %v; got\n%.3000s", file, err, got)
	}
}

// TestGoldenCaptures: whole streams of two auditds, with and without names, as lines.
func TestGoldenCaptures(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched", "audit-2.8.5-direct"} {
		data := captures.Read(t, name+".binary.gz")
		checkGolden(t, "testdata/"+name+".txt", show(t, human.New(human.Options{Zone: time.UTC}), data))
	}
}

// TestFramingsLookTheSame: what came as frames is shown like what came as lines.
func TestFramingsLookTheSame(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched", "audit-3.0.9-node", "audit-4.2.1-enriched"} {
		p := human.New(human.Options{Zone: time.UTC})
		lines := show(t, p, captures.Read(t, name+".string.gz"))
		frames := show(t, p, captures.Read(t, name+".binary.gz"))
		if lines != frames {
			t.Errorf("%s: %d bytes of lines, %d of frames", name, len(lines), len(frames))
		}
	}
}
