package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadID(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	path := filepath.Join(t.TempDir(), "id")
	for text, want := range map[string]string{
		id + "\n":                                id,
		"01234567-89AB-CDEF-0123-456789abcdef\n": id,
		"uninitialized\n":                        "",
		"":                                       "",
		id + "00":                                "",
		"00000000000000000000000000000000\n":     "",
		"\x1b123456789abcdef0123456789abcdef":    "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readID(path); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := readID(path + "x"); got != "" {
		t.Errorf("without a file: %q", got)
	}
	if len(BootID()) != 32 {
		t.Errorf("this boot is %q", BootID())
	}
}
