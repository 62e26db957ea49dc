package record_test

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestPlainEnd: eight bytes at once find what one after the other does.
func TestPlainEnd(t *testing.T) {
	for n := range 20 {
		for at := range n + 1 {
			for c := range 256 {
				b := []byte(strings.Repeat("z", n))
				want := n
				if at < n {
					if b[at] = byte(c); !record.IsPlain(b[at]) {
						want = at
					}
				}
				if got := record.PlainEnd(b, 0); got != want {
					t.Fatalf("%q: ends at %d, want %d", b, got, want)
				}
			}
		}
	}
}
