package doctor

import (
	"strings"
	"testing"
	"unicode"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// FuzzPrintable: what is shown has no control, whatever it was made of, and is bounded; so is a word for
// a shell.
func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[2J\xff\u202e")
	f.Add("it's")
	f.Fuzz(func(t *testing.T, text string) {
		for _, shown := range []string{Printable(text), quote(text)} {
			if strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) && !strings.ContainsRune(text, unicode.ReplacementChar) {
				t.Errorf("%q shows as %q", text, shown)
			}
		}
		if n := len(Printable(text)); n > maxText+3 {
			t.Errorf("%d bytes", n)
		}
	})
}

// FuzzFiles: parsers of files of the system take any bytes.
func FuzzFiles(f *testing.F) {
	f.Add("22 1 8:1 / /a\\040b ro,relatime shared:1 - ext4 /dev/sda1 rw\n", "[Service]\nPrivateTmp=yes\n", "1min 30s")
	f.Add("- - - -\n", "[\n=\n", "infinity")
	f.Add("", "[Service]\nA=~AF_INET AF_INET6\nA=AF_UNIX\nA=\nA=none\n", "25%")
	f.Fuzz(func(t *testing.T, mounts, section, span string) {
		for _, m := range parseMounts([]byte(mounts)) {
			if strings.Contains(m.Point, " ") && !strings.Contains(mounts, `\`) {
				t.Errorf("mount point %q", m.Point)
			}
		}
		mountOf(parseMounts([]byte(mounts)), span)
		all := ""
		for _, s := range readSection([]byte(section), "Service") {
			all = setting{"RestrictAddressFamilies", s.value}.after(all)
		}
		const fix = "AF_INET AF_INET6"
		if forbidsInternet(all) && forbidsInternet(setting{"RestrictAddressFamilies", fix}.after(all)) {
			t.Errorf("what adds %q to %q does not end it", fix, all)
		}
		spaceLeft(span, Disk{Size: 1 << 40})
	})
}

// TestAddressFamilies: lines of a unit add up as systemd has it, and the fix ends what was found.
func TestAddressFamilies(t *testing.T) {
	const fix = "AF_INET AF_INET6"
	for _, tt := range []struct {
		lines  []string
		forbid bool
	}{
		{nil, false},
		{[]string{"AF_UNIX AF_INET"}, false},
		{[]string{"AF_UNIX AF_INET AF_INET6", "AF_NETLINK"}, false},
		{[]string{"AF_INET", "", "AF_UNIX"}, true},
		{[]string{"AF_UNIX"}, true},
		{[]string{"none"}, true},
		{[]string{"~AF_INET AF_INET6"}, true},
		{[]string{"~AF_PACKET"}, false},
		{[]string{"~AF_INET"}, false},
		{[]string{"AF_UNIX AF_INET AF_INET6", "~AF_INET AF_INET6"}, true},
	} {
		all := ""
		for _, line := range tt.lines {
			all = setting{"RestrictAddressFamilies", line}.after(all)
		}
		if got := forbidsInternet(all); got != tt.forbid {
			t.Errorf("%q: %v, want %v", tt.lines, got, tt.forbid)
		}
		if tt.forbid && forbidsInternet(setting{"RestrictAddressFamilies", fix}.after(all)) {
			t.Errorf("%q: the fix does not end it", tt.lines)
		}
	}
}
