package filter

import (
	"slices"
	"strings"
	"testing"
)

func TestNeededWords(t *testing.T) {
	for pattern, want := range map[string][]string{
		`abc`:                  {"abc"},
		`ab`:                   nil,
		`^/usr/(local/)?bin/`:  {"/usr/"},
		`a|bcd`:                nil,
		`abc|defg`:             {"abc", "defg"},
		`x(abc|defg)+y`:        {"abc", "defg"},
		`(abc){0,3}`:           nil,
		`(abc){2,3}`:           {"abc"},
		`(?i)WGET`:             {"wget"},
		`(?i)mask`:             nil, // "ma", and s and k may be other letters
		`(?i)ThisIsBadly`:      {"badly"},
		`curl.*\x{FFFD}wgetto`: {"wgetto"},
		`.*`:                   nil,
		`[abc]def`:             {"def"},
		`Curl`:                 {"curl"},
	} {
		re, message := compilePattern(pattern)
		if message != "" {
			t.Fatalf("%s: %s", pattern, message)
		}
		if !slices.Equal(re.words, want) {
			t.Errorf("%s needs %q, want %q", pattern, re.words, want)
		}
	}
}

// FuzzNeededWords: what a regular expression matches has one of the words that it needs.
func FuzzNeededWords(f *testing.F) {
	for _, s := range [][2]string{
		{`(?i)mask`, "maſK"}, {`(?i)kelvin`, "Kelvin"}, {"\\x{FFFD}abc", "\xffabc"}, {`(abc|def)+x`, "defx"}, {`(?i:abc)DEF`, "aBcDEF"}, {`a(?i)bcd(?-i)E`, "aBCDE"}, {`(?i)straße`, "STRASSE"}, {`[[:word:]]foo|barbaz`, "xfoo"},
		{`-(W|R)\s?("|')x{2,}`, `-R "xx`}, {`(?i)(ſ|k)[kK]{2}`, "SKK"}, {`(a|)b?(?i)cd`, "bCD"}, {`.{3}`, "\xff\xfe\xfd"}, {`^$|ab{2}`, ""},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		re, message := compilePattern(pattern)
		if message != "" || !re.MatchString(text) {
			return
		}
		if len(text) < re.least {
			t.Errorf("%q matches %q, which is not as long as %d", pattern, text, re.least)
		}
		if re.words != nil && !slices.ContainsFunc(re.words, func(w string) bool { return strings.Contains(foldText(text), w) }) {
			t.Errorf("%q matches %q, which has none of %q", pattern, text, re.words)
		}
	})
}
