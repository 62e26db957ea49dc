package config

import "testing"

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{0: "0", 1500: "1500", 1 << 10: "1KiB", 1536 << 10: "1536KiB", 64 << 20: "64MiB", 2 << 30: "2GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(size), got, want)
		}
		if got, err := parseSize(want); err != nil || got != size {
			t.Errorf("parseSize(%q) = %d, %v", want, got, err)
		}
	}
}
