package packaging_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"audisp-relay/config"
	_ "audisp-relay/format/all" // the documents name formats
	_ "audisp-relay/sinks/all"
)

// maxReadmeWords keeps README.md short enough to be read whole; the rest belongs into docs.
const maxReadmeWords = 900

// documents returns the paths of the documents whose links are checked, from this directory.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md", "../docs/*.md", "../sinks/*/README.md"} {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			t.Fatalf("no document matches %s: %v", pattern, err)
		}
		paths = append(paths, matches...)
	}
	return paths
}

var (
	fence      = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan   = regexp.MustCompile("`[^`\n]*`")
	inlineLink = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)
	scheme     = regexp.MustCompile(`^[a-z]+:`)
)

// TestLinksLeadSomewhere: each relative link leads to a file that exists, and its anchor to a
// heading of that file.
func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, path := range documents(t) {
		prose := codeSpan.ReplaceAllString(fence.ReplaceAllString(readFile(t, path), ""), "")
		for _, match := range inlineLink.FindAllStringSubmatch(prose, -1) {
			if scheme.MatchString(match[1]) {
				continue
			}
			links++
			if problem := brokenLink(t, path, match[1]); problem != "" {
				t.Errorf("%s: link %s: %s", strings.TrimPrefix(path, "../"), match[1], problem)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links found: is the pattern for them still right?", links)
	}
}

// brokenLink says what is wrong with a link of the document at path, "" if nothing is.
func brokenLink(t *testing.T, path, link string) string {
	t.Helper()
	name, anchor, hasAnchor := strings.Cut(link, "#")
	target := path
	if name != "" {
		target = filepath.Join(filepath.Dir(path), name)
	}
	if _, err := os.Stat(target); err != nil {
		return "there is no such file"
	}
	if hasAnchor && !slices.Contains(anchors(readFile(t, target)), anchor) {
		return "there is no such heading"
	}
	return ""
}

// anchors returns the anchors that a forge gives to the headings of a document.
func anchors(text string) (list []string) {
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		list = append(list, anchorOf(match[1]))
	}
	return list
}

// anchorOf returns a heading in lower case, with hyphens for blanks and without punctuation.
func anchorOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

// TestBrokenLinksAreFound: the check above sees what it is for.
func TestBrokenLinksAreFound(t *testing.T) {
	for link, want := range map[string]string{
		"docs/guarantees.md":                    "",
		"docs/guarantees.md#guaranteed":         "",
		"#quick-start":                          "",
		"docs/operating.md#loss-markers":        "",
		"docs/recipes.md#auditd-2x":             "",
		"sinks":                                 "",
		"docs/absent.md":                        "there is no such file",
		"docs/guarantees.md#absent":             "there is no such heading",
		"#absent":                               "there is no such heading",
		"docs/guarantees.md#Guaranteed":         "there is no such heading",
		"docs/recipes.md#the-relays-own-system": "there is no such heading", // a comment within a block
	} {
		if got := brokenLink(t, "../README.md", link); got != want {
			t.Errorf("link %s: %q, want %q", link, got, want)
		}
	}
}

func TestReadmeIsShort(t *testing.T) {
	if words := len(strings.Fields(readFile(t, "../README.md"))); words > maxReadmeWords {
		t.Errorf("README.md has %d words, at most %d: move what only some readers need to docs", words, maxReadmeWords)
	}
}

var tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```")

// TestDocumentsHaveConfigurations: each configuration in a document is one that the relay takes.
func TestDocumentsHaveConfigurations(t *testing.T) {
	blocks := 0
	for _, path := range documents(t) {
		for _, match := range tomlBlock.FindAllStringSubmatch(readFile(t, path), -1) {
			blocks++
			if _, err := config.Parse("block", []byte(match[1])); err != nil {
				t.Errorf("%s: %v\n%s", strings.TrimPrefix(path, "../"), err, match[1])
			}
		}
	}
	if blocks < 5 {
		t.Errorf("only %d configurations found: is the pattern for them still right?", blocks)
	}
}

var (
	wayStep    = regexp.MustCompile("(?m)^\\d\\. \\[\\S+\\]\\((\\S+)\\), ((?:`\\w+`(?: and )?)+):")
	quotedName = regexp.MustCompile("`(\\w+)`")
)

// TestWaysThroughTheCode: the two lists in docs/design.md visit no file twice, and each of their
// steps names functions that its file has.
func TestWaysThroughTheCode(t *testing.T) {
	design := readFile(t, "../docs/design.md")
	for title, want := range map[string]int{"One record's way": 8, "One loss's way to its marker": 5} {
		_, section, _ := strings.Cut(design, "### "+title+"\n")
		section, _, _ = strings.Cut(section, "\n#")
		steps := wayStep.FindAllStringSubmatch(section, -1)
		if len(steps) != want {
			t.Errorf("%s: %d steps of the form \"1. [file](file), `function`: ...\", want %d", title, len(steps), want)
		}

		visited := make(map[string]bool)
		for _, step := range steps {
			path := filepath.Join("../docs", step[1])
			if visited[path] {
				t.Errorf("%s: %s is visited twice", title, path)
			}
			visited[path] = true

			for _, name := range quotedName.FindAllStringSubmatch(step[2], -1) {
				if !hasFunction(readFile(t, path), name[1]) {
					t.Errorf("%s: %s has no function %s", title, path, name[1])
				}
			}
		}
	}
}

// hasFunction reports whether a function or method of that name is declared in code.
func hasFunction(code, name string) bool {
	return regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + name + `\(`).MatchString(code)
}
