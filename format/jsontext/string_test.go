package jsontext

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestStringCanBeRestored: whatever the bytes, a JSON reader gets a text from which they can be had.
func TestStringCanBeRestored(t *testing.T) {
	pieces := []string{"a", "comm", " ", "%", "%41", "\"", "\\", "\n", "\t", "\r", "\x00", "\x1d", "\x7f", "ü", "€", "\u202e", "\u2028", "\u0085", "\U0001f600", "\xff", "\xc3", "\xe2\x82", "\xed\xa0\x80"}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b strings.Builder
		for range rnd.IntN(12) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		s := b.String()
		checkString(t, s, !utf8.ValidString(s))
		checkString(t, s, true)
	}
}

func checkString(t *testing.T, s string, percent bool) {
	t.Helper()
	out, escaped := AppendString([]byte("x"), []byte(s), percent)
	var got string
	if err := json.Unmarshal(out[1:], &got); err != nil {
		t.Fatalf("%q is written as %s: %v", s, out, err)
	}
	if k := strings.IndexFunc(string(out), func(c rune) bool { return c < ' ' || Unseen(c) }); k >= 0 || !utf8.Valid(out) {
		t.Fatalf("%q is written as %q", s, out)
	}
	if percent {
		plain, err := url.PathUnescape(got)
		if err != nil {
			t.Fatalf("%q is read as %q: %v", s, got, err)
		}
		got = plain
	}
	if got != s || (escaped > 0) != (percent && (strings.Contains(s, "%") || !utf8.ValidString(s))) {
		t.Fatalf("%q is read as %q, %d bytes escaped", s, got, escaped)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a%b\xff\u202e\n", true)
	f.Fuzz(func(t *testing.T, s string, percent bool) { checkString(t, s, percent || !utf8.ValidString(s)) })
}

func BenchmarkAppendString(b *testing.B) {
	text := []byte(`/usr/lib/systemd/system/some-service.service with "quotes" and ü`)
	dst := make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendString(dst[:0], text, false)
	}
}
