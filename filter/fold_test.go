package filter

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestFoldHelpers: upper and lower case of ASCII are the same, and of nothing else.
func TestFoldHelpers(t *testing.T) {
	l := lines(t, event(
		`SYSCALL arch=c000003e syscall=59 success=yes comm="Curl" exe="/usr/bin/CURL" key=(null)`,
		`EXECVE argc=3 a0="curl" a1="-O" a2=C389E2849AC3A9`, // É, the sign of Kelvin would be three bytes, é
		`PATH item=0 name="/Usr/Bin/curl" nametype=NORMAL`, `PATH item=1 name="/lib/LD.so" nametype=NORMAL`)...)
	for src, want := range map[string]bool{
		`icontains(exe, "bin/cu")`:                    true,
		`icontains(exe, "BIN/CU")`:                    true,
		`icontains(exe, "bin/cx", "xurl")`:            false,
		`icontains(exe, "bin/cx", "CURL")`:            true,
		`istarts(exe, "/USR/")`:                       true,
		`istarts(exe, "usr/")`:                        false,
		`iends(exe, "/curl")`:                         true,
		`iends(exe, "/cur")`:                          false,
		`iequals(exe, "/usr/bin/curl")`:               true,
		`iequals(exe, "/usr/bin/cur")`:                false,
		`iequals(exe, "usr/bin/curl")`:                false,
		`not iequals(exe, "x")`:                       true,
		`icontains(path, "usr/bin")`:                  true,
		`iends(path, "ld.SO")`:                        true,
		`iequals(path, "/lib/ld.so", "x")`:            true,
		`iequals(path, "/lib")`:                       false,
		`iequals(key, "")`:                            true,
		`iequals(acct, "")`:                           true,
		`iequals(exe, "")`:                            false,
		`icontains(exe, "")`:                          true,
		`icontains(acct, "")`:                         true,
		`any(args, iequals(#, "-o"))`:                 true,
		`any(args, iends(#, "RL", "x"))`:              true,
		`all(args, icontains(#, "c"))`:                false,
		`icontains(args[2], "É")`:                     true,
		`icontains(args[2], "é")`:                     true,
		`iequals(args[2], "é")`:                       false,
		`istarts(args[2], "é")`:                       false, // it begins with É
		`icontains(lower(comm) + "X", "rlx")`:         true,
		`icontains(field("comm"), "URL")`:             true,
		`exe | iends("/CURL")`:                        true,
		`any(paths, istarts(#, "/USR") and # != "x")`: true,
		`let c = comm; iequals(c, "CURL")`:            true,
	} {
		m := mustCompile(t, src).New()
		for range 2 {
			if got, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); got != want || err != nil {
				t.Errorf("%s: %v, %v", src, got, err)
			}
		}
	}
}

// TestSearchesAreAsOneByOne: what one pass over a text finds is what looking for each word finds.
func TestSearchesAreAsOneByOne(t *testing.T) {
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("abAB/.é")), 0, 40, -1)
	word := rapid.StringOfN(rapid.RuneFrom([]rune("abAB/.é")), 1, 5, -1)
	rapid.Check(t, func(t *rapid.T) {
		sc := newScan(0, 0)
		searches := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) search {
			s := search{mode: rapid.SampledFrom([]searchMode{within, atStart, atEnd, whole}).Draw(t, "mode"), exact: rapid.Bool().Draw(t, "exact")}
			for _, w := range rapid.SliceOfN(word, 1, 4).Draw(t, "words") {
				if !s.exact {
					w = foldText(w)
				}
				s.words = append(s.words, w)
			}
			return s
		}), 1, 70).Draw(t, "searches")
		for _, s := range searches {
			sc.add(s)
		}
		sc.build()

		for range 5 {
			text := letters.Draw(t, "text")
			bits := make([]uint64, (sc.groups+63)/64)
			sc.run(text, bits)
			for i, s := range searches {
				if got, want := bits[i/64]>>(i%64)&1 != 0, s.in(text); got != want {
					t.Fatalf("%+v in %q: %v, one by one %v", s, text, got, want)
				}
			}
		}
	})
}

// TestWordThatIsRepeatedIsNotedOnce: whoever writes a word that many rules look for chooses how often.
func TestWordThatIsRepeatedIsNotedOnce(t *testing.T) {
	sc := newScan(0, 0)
	for i := range 20_000 {
		sc.add(search{mode: searchMode(i % 4), words: []string{"curl"}})
		sc.add(search{mode: within, exact: true, words: []string{"curl"}})
	}
	sc.build()
	bits, text := make([]uint64, (sc.groups+63)/64), strings.Repeat("curlCURL", 100_000)
	began := time.Now()
	sc.run(text, bits)
	if took := time.Since(began); took > 4*time.Second { // it is a hundredth of one; noted each time, some ten
		t.Errorf("took %v", took)
	}
	for group := range uint32(40_000) {
		want := group%2 == 1 || group/2%4 != uint32(whole)
		if hasBit(bits, group) != want {
			t.Fatalf("search %d: %v", group, !want)
		}
	}
}

// TestWordInOtherCaseIsNotLookedAtForEachSearch: a text may have a word as often as it likes as no search wants it.
func TestWordInOtherCaseIsNotLookedAtForEachSearch(t *testing.T) {
	sc := newScan(0, 0)
	for range 20_000 {
		sc.add(search{mode: within, exact: true, words: []string{"curl"}})
	}
	for i := range 1 << 10 { // each in another case
		word := []byte("wgetwgetwg")
		for k := range word {
			word[k] -= byte(i>>k&1) * 0x20
		}
		sc.add(search{mode: within, exact: true, words: []string{string(word)}})
	}
	sc.build()
	bits := make([]uint64, (sc.groups+63)/64)
	began := time.Now()
	sc.run(strings.Repeat("CURL", 200_000)+strings.Repeat("wgetwgetWG", 100_000), bits)
	if took := time.Since(began); took > 4*time.Second { // it is a hundredth of one; each search by itself is more than ten
		t.Errorf("took %v", took)
	}
	for group := range sc.groups {
		if want := group == 20_000+3<<8; hasBit(bits, group) != want {
			t.Fatalf("search %d: %v", group, !want)
		}
	}
}

// TestWordsThatAreThereTwice: a list may have each word as often as its writer likes.
func TestWordsThatAreThereTwice(t *testing.T) {
	var words []string
	for i := range 200 {
		words = append(words, fmt.Sprintf(`"tool%d"`, i), fmt.Sprintf(`"TOOL%d"`, i))
	}
	for _, src := range []string{`any(args, icontains(#, ` + strings.Join(words, ", ") + `))`, `icontains(cmdline, ` + strings.Join(words, ", ") + `)`} {
		for arg, want := range map[string]bool{"a Tool199 b": true, "a tool b": false} {
			l := lines(t, event(`EXECVE argc=2 a0="x" a1="`+arg+`"`)...)
			if got, err := mustCompile(t, src).New().Keep(&l.batch, 0, 1); got != want || err != nil {
				t.Errorf("%s of %q: %v, %v", brief(src, 40), arg, got, err)
			}
			set, _, _ := NewRules(map[string]string{"x": src})
			if got := set.New().Match(&l.batch, 0, 1); (len(got) > 0) != want {
				t.Errorf("%s of %q as a rule: %v", brief(src, 40), arg, got)
			}
		}
	}
}

// TestFindsIsAsStrings holds the search for one word against package strings.
func TestFindsIsAsStrings(t *testing.T) {
	part := rapid.StringOfN(rapid.RuneFrom([]rune("aAbB0")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		text, word := part.Draw(t, "text"), part.Draw(t, "word")
		folded, wanted := strings.ToLower(text), strings.ToLower(word)
		for mode, want := range map[searchMode]bool{
			within: strings.Contains(folded, wanted), atStart: strings.HasPrefix(folded, wanted), atEnd: strings.HasSuffix(folded, wanted), whole: folded == wanted,
		} {
			s := search{mode: mode, words: []string{foldText(word)}}
			if got := s.in(text); got != want {
				t.Fatalf("mode %d: %q in %q: %v", mode, word, text, got)
			}
		}
		for mode, want := range map[searchMode]bool{within: strings.Contains(text, word), atStart: strings.HasPrefix(text, word), atEnd: strings.HasSuffix(text, word), whole: text == word} {
			s := search{mode: mode, exact: true, words: []string{word}}
			if got := s.in(text); got != want {
				t.Fatalf("exact, mode %d: %q in %q: %v", mode, word, text, got)
			}
		}
	})
}

// TestManyWords: tens of thousands are found, and take memory in proportion to their bytes.
func TestManyWords(t *testing.T) {
	var words []string
	size := 0
	for i := range 20000 {
		words = append(words, fmt.Sprintf("%c%c%d-%x-indicator", 'a'+i%26, 'A'+i/26%26, i, i*i))
		size += len(words[i])
	}
	src := `icontains(exe, "The-Last")`
	for part := range slices.Chunk(words, 100) {
		src += ` or icontains(exe, "` + strings.Join(part, `", "`) + `")`
	}
	f := mustCompile(t, src)
	if len(f.scans) != 1 {
		t.Fatalf("%d scans", len(f.scans))
	}
	if a := f.scans[0].within.auto; len(a.in) > size+1 || len(a.rows) > maxRows*int(a.stride) {
		t.Errorf("%d states and rows of %d for %d bytes", len(a.in), len(a.rows), size)
	}
	m := f.New()
	for exe, want := range map[string]bool{"/x/The-Last": true, "/x/" + strings.ToUpper(words[7777]): true, "/x/y" + words[19999] + "z": true, "/x/" + words[5][1:]: false, "/x/y": false} {
		l := lines(t, event(`SYSCALL arch=c000003e syscall=59 exe="`+exe+`"`)...)
		if got, _ := m.Keep(&l.batch, 0, 1); got != want {
			t.Errorf("%s: %v", exe, got)
		}
	}
}

// TestBytesThatAreNoText: a process may put any bytes into its names. A NUL is one like others, and what is no UTF-8 is a character to a
// regular expression and to len; to name it, it takes a list in a file.
func TestBytesThatAreNoText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	writeList(t, path, "\xff/bin/\xfe\n")
	l := lines(t, event(`SYSCALL arch=c000003e syscall=59 comm=610062 exe=FF2F62696E2FFE`)...)
	for src, want := range map[string]bool{
		`comm == "a\x00b"`:            true,
		`comm == "a"`:                 false,
		`comm in ["a\x00b", "x"]`:     true,
		`icontains(comm, "A\x00B")`:   true,
		`iequals(comm, "a")`:          false,
		`comm startsWith "a\x00"`:     true,
		`comm matches "^a.b$"`:        true,
		`exe contains "/bin/"`:        true,
		`exe matches "^./bin/.$"`:     true,
		`exe == "\xff/bin/\xfe"`:      false, // these are characters of two bytes
		`iends(exe, "\xfe")`:          false,
		`len(exe) == 7`:               true,
		`exe in file("` + path + `")`: true,
	} {
		if got, err := mustCompile(t, src).New().Keep(&l.batch, 0, 1); got != want || err != nil {
			t.Errorf("%s: %v, %v", src, got, err)
		}
		set, _, _ := NewRules(map[string]string{"x": src})
		if got := set.New().Match(&l.batch, 0, 1); (len(got) > 0) != want {
			t.Errorf("%s as a rule: %v", src, got)
		}
	}
}
