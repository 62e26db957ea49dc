package plugin

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// mappedProgram is how many KiB of this program's text and constants are mapped.
func mappedProgram(t *testing.T) (kib int) {
	t.Helper()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var m mapping
	for line := range strings.Lines(string(all)) {
		line = strings.TrimSpace(line)
		size, ok := strings.CutPrefix(line, "Rss:")
		if m.begin(line, program) || !ok || !m.ours || !m.readOnly {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
		if err != nil {
			t.Fatal(line)
		}
		kib += n
	}
	return kib
}

func TestUnmapProgram(t *testing.T) {
	before := mappedProgram(t)
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	if after := mappedProgram(t); before == 0 || after >= before {
		t.Errorf("%d KiB were mapped, now %d", before, after)
	}
}

// TestWhatIsGivenBack: nothing that differs from the program's file, or may be written, or is another's.
func TestWhatIsGivenBack(t *testing.T) {
	const program = "/opt/a relay"
	for _, c := range []struct {
		begins, anonymous string
		want              bool
	}{
		{"00400000-00e8c000 r-xp 00000000 fe:00 14021     /opt/a relay", "Anonymous:             0 kB", true},
		{"00e8c000-01a2b000 r--p 00a8c000 fe:00 14021     /opt/a relay", "Anonymous:             0 kB", true},
		{"00e8c000-01a2b000 r--p 00a8c000 fe:00 14021     /opt/a relay", "Anonymous:            12 kB", false},
		{"01a2b000-01b34000 rw-p 0162a000 fe:00 14021     /opt/a relay", "Anonymous:             0 kB", false},
		{"7f000000-7f001000 r--p 00000000 fe:00 9 /opt/another", "Anonymous:             0 kB", false},
		{"7f000000-7f001000 r--p 00000000 00:00 0", "Anonymous:             0 kB", false},
	} {
		var m mapping
		if !m.begin(c.begins, program) || m.begin("Size:              10812 kB", program) || m.begin("VmFlags: rd ex mr mw me", program) {
			t.Fatalf("%s: no beginning, or what follows is taken for one", c.begins)
		}
		if got := m.intact(c.anonymous); got != c.want || m.intact("Rss:   0 kB") || m.intact("LazyFree:  0 kB") {
			t.Errorf("%s, %s: %v", c.begins, c.anonymous, got)
		}
	}
}
