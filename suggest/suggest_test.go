package suggest

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"auid", "uid", "euid", "syscall", "success"}
	for word, want := range map[string]string{
		"uaid": "auid", "AUID": "auid", "syscal": "syscall", "sucess": "success", "uidd": "uid", "comm": "", "": "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// TestLongWordsAreNotCompared: the cost of a distance grows with the lengths, and whoever writes the word chooses its own.
func TestLongWordsAreNotCompared(t *testing.T) {
	for letters, want := range map[int]bool{longest: true, longest + 1: false} {
		word := strings.Repeat("x", letters)
		if got := Nearest(word, []string{word + "y"}) != ""; got != want {
			t.Errorf("a word of %d letters: found %v, want %v", letters, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(tt.a, tt.b); got != tt.want || Distance(tt.b, tt.a) != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
