package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// viewPackage is a package of the terminal view that runs code at each start, the plugin's too:
// its name and how many bytes it allocates then.
var viewPackage = regexp.MustCompile(`(?m)^init (\S*(?:charm|muesli|mattn|rivo|clipperhouse|lucasb-eyer|xo/terminfo|plugin/live|plugin/overview)\S*) .* (\d+) bytes`)

// TestPluginDoesNotPayForTheView: what the terminal view and its library prepare at each start is
// little, so that the plugin starts as fast as without them.
func TestPluginDoesNotPayForTheView(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := viewPackage.FindAllStringSubmatch(string(out), -1)
	sum := 0
	var names []string
	for _, m := range found {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
		names = append(names, m[1])
	}
	if !strings.Contains(strings.Join(names, " "), "charmbracelet/x/ansi") {
		t.Fatalf("packages not understood in:\n%s", out)
	}
	const most = 128 << 10
	if sum > most {
		t.Errorf("%d bytes at a start, want at most %d: %v", sum, most, names)
	}
}
