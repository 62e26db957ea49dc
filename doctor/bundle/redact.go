package bundle

import (
	_ "embed"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// words.txt has the words of this program's own messages, and of those of the system and of Go's network
// library: what a text may say in a bundle. TestWords holds it against the code.
//
//go:embed words.txt
var wordList string

var words = sync.OnceValue(func() map[string]bool { return readWords(wordList) })

func readWords(text string) map[string]bool {
	known := make(map[string]bool)
	for word := range strings.FieldsSeq(text) {
		known[word] = true
	}
	return known
}

// redactor replaces what could name a person, a host, an address or a secret. It goes by what is
// known to be harmless, not by what is known to be secret: words of the program's own messages,
// numbers and times stay; everything else becomes a placeholder, the same one for the same text in all of a
// bundle. It belongs to one goroutine.
type redactor struct {
	names  map[string]string // by kind and text
	counts map[string]int    // by kind
	known  map[string]string // placeholders of tokens that are replaced even where they are words
}

func newRedactor() *redactor {
	return &redactor{names: make(map[string]string), counts: make(map[string]int), known: make(map[string]string)}
}

// public are names of users, groups and hosts that every system has.
var public = strings.Fields("root adm syslog daemon nobody audit localhost wheel")

// hide has a name of this host, a user or a sink replaced wherever it stands, also where it is a word.
func (r *redactor) hide(kind, text string) {
	if text = strings.ToLower(text); text != "" && !slices.Contains(public, text) && !number().MatchString(text) && len(r.known) < maxNames {
		r.known[text] = r.name(kind, text)
	}
}

// maxNames bounds the placeholders, of what a hostile log can have.
const maxNames = 50_000

// name returns the placeholder of a text.
func (r *redactor) name(kind, text string) string {
	key := kind + "\x00" + strings.ToLower(text)
	if name, known := r.names[key]; known {
		return name
	}
	if len(r.names) >= maxNames {
		return kind + "-more"
	}
	r.counts[kind]++
	r.names[key] = fmt.Sprintf("%s-%d", kind, r.counts[kind])
	return r.names[key]
}

// compiled returns a pattern that is compiled at its first use: the plugin links this package, too,
// and starts without it.
func compiled(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// What may stay of a token besides words.
var (
	number    = compiled(`^[+-]?\d{1,9}(\.\d{1,9})?(ns|us|µs|ms|s|m|h|d|B|KiB|MiB|GiB|TiB|kB|MB|GB|%)?$`)
	span      = compiled(`^-?(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}(\.\d{1,9})?(µs|ns|us|ms|s))?$`)
	mode      = compiled(`^0[0-7]{3,4}$`)
	timestamp = compiled(`^\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?)?$`)
	clock     = compiled(`^\d\d:\d\d(:\d\d(\.\d{1,9})?)?$`)
	version   = compiled(`^v?\d{1,3}\.\d{1,3}(\.\d{1,3})?$`)
	plainWord = compiled(`^[A-Za-z]+$`)
	pieces    = compiled(`[A-Za-z]+|[^A-Za-z]+`)
	port      = compiled(`^:\d{1,5}$`)
	fileName  = compiled(`\.(conf|go|json|log|service|sock|socket|timer|toml)$`)
	hostPort  = compiled(`^(.*):(\d{1,5})$`)
)

// whole are texts that are taken out with all that follows in the line: audit records, and PEM.
var whole = []struct {
	kind string
	is   func() *regexp.Regexp
}{
	{"record", compiled(`(?s)(node=\S+ )?(type=\S+ )?msg=audit\(.*|audit\(\d+\.\d+:\d+\).*`)},
	{"pem", compiled(`(?s)-----BEGIN.*`)},
}

// isBreak separates tokens: what is not part of a word, number, path or address.
func isBreak(c rune) bool {
	return unicode.IsSpace(c) || strings.ContainsRune("\"'`()[]{}<>|,;=!?*&$\\#^", c)
}

// Text redacts a text of any origin.
func (r *redactor) Text(text string) string {
	end := ""
	for _, w := range whole {
		if at := w.is().FindStringIndex(text); at != nil {
			text, end = text[:at[0]], r.name(w.kind, text[at[0]:])
		}
	}

	var b strings.Builder
	var after introduction
	for text != "" {
		n := strings.IndexFunc(text, isBreak)
		if n < 0 {
			n = len(text)
		}
		if n > 0 {
			if after.secret() {
				b.WriteString(r.name("secret", text[:n]))
			} else {
				b.WriteString(r.token(text[:n]))
			}
			after.read(text[:n])
			text = text[n:]
			continue
		}
		c := text[0]
		after.assigned = after.assigned || c == '='
		if c < ' ' || c > '~' { // a newline within a text, and spaces that are none
			c = ' '
		}
		b.WriteByte(c)
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return b.String() + end
}

// secretWords introduce what is no word of the program's, but may be a number, or look like one of its words.
var secretWords = []string{"passw", "passphrase", "secret", "token", "bearer", "authorization", "apikey", "api_key", "api-key", "cookie", "credential"}

// isSecret reports whether a key or word says that a secret follows.
func isSecret(word string) bool {
	word = strings.ToLower(word)
	return slices.ContainsFunc(secretWords, func(part string) bool { return strings.Contains(word, part) })
}

// introduction is what stands before a token of a text.
type introduction struct {
	word     string
	assigned bool // by "=" or ":"
}

// secret reports whether the next token is one: "password=1234", "Authorization: Bearer abc".
func (i *introduction) secret() bool {
	return isSecret(i.word) && (i.assigned || strings.EqualFold(i.word, "bearer"))
}

// read notes a token. A colon alone, as in JSON, belongs to the word before.
func (i *introduction) read(token string) {
	word := strings.TrimRight(token, ":")
	if word != "" {
		i.word, i.assigned = word, false
	}
	i.assigned = i.assigned || word != token
}

// token redacts a run of characters without a break, and keeps the punctuation at its end.
func (r *redactor) token(text string) string {
	body := strings.TrimRight(text, ".:")
	tail := text[len(body):]
	if key, value, ok := strings.Cut(body, ":"); ok && isSecret(key) {
		return r.token(key) + ":" + r.name("secret", value) + tail
	}
	switch {
	case body == "":
		return text
	case r.known[strings.ToLower(body)] != "":
		return r.known[strings.ToLower(body)] + tail
	case harmless(body) && !isAddress(body):
		return body + tail
	case strings.HasPrefix(body, "/"):
		return r.Path(body) + tail
	}

	if m := hostPort().FindStringSubmatch(body); m != nil && m[1] != "" && !strings.Contains(m[1], ":") {
		return r.host(m[1]) + ":" + m[2] + tail
	}
	return r.place(body) + tail
}

// place is the placeholder of a token that is not harmless, by what it looks like.
func (r *redactor) place(text string) string {
	switch {
	case r.known[strings.ToLower(text)] != "":
		return r.known[strings.ToLower(text)]
	case harmless(text) && !isAddress(text):
		return text
	case isAddress(text):
		return r.name("addr", text)
	case strings.Contains(text, "@"):
		return r.name("mail", text)
	case strings.Contains(text, "."):
		return r.name("host", text)
	case strings.Contains(text, "/"):
		return r.Path(text)
	}
	return r.name("word", text)
}

// isAddress reports whether text is, or ends in the way of, an address of IP or of a network card.
func isAddress(text string) bool {
	text = strings.Trim(text, "[]")
	text, _, _ = strings.Cut(text, "/") // a prefix's length
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return strings.Count(text, ":") > 1 && !clock().MatchString(text) && !timestamp().MatchString(text)
}

// harmless reports whether a token is a number, a time, or made of known words.
func harmless(text string) bool {
	for _, pattern := range []func() *regexp.Regexp{number, mode, timestamp, clock, version, port} {
		if pattern().MatchString(text) {
			return true
		}
	}
	if span().MatchString(text) && text != "" && text != "-" {
		return true
	}
	return isWords(text)
}

// withDigits are words that have digits in them.
var withDigits = readWords("ipv4 ipv6 rfc3164 rfc5424 sha1 sha256 sha512 utf8 x509 lost_1h lost_24h config_sha256 p50 p99 amd64 arm64")

// isWords reports whether text is words of the program's, with signs between them: "run_dir",
// "queue-full", "i/o". With a dot it could be the name of a host, so only names of files have one.
func isWords(text string) bool {
	switch {
	case withDigits[strings.ToLower(text)]:
		return true
	case strings.HasPrefix(text, "/"), strings.Contains(text, ".") && !fileName().MatchString(text):
		return false
	}

	parts := pieces().FindAllString(text, -1)
	for _, part := range parts {
		switch {
		case plainWord().MatchString(part):
			if len(part) > 1 && !words()[strings.ToLower(part)] {
				return false
			}
		case len(part) == 1 && strings.ContainsAny(part, "_-/.+:~%"):
		default:
			return false
		}
	}
	return len(parts) > 0
}

// Path redacts a path: names in it that are common on every system stay.
func (r *redactor) Path(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		switch hidden := r.known[strings.ToLower(part)]; {
		case hidden != "":
			parts[i] = hidden
		case part != "" && part != "." && part != ".." && !commonNames[part]:
			parts[i] = r.name("name", part)
		}
	}
	return strings.Join(parts, "/")
}

// commonNames are names in paths that say nothing of a host or person.
var commonNames = readWords(`
	audisp-relay audisp-relay.toml audisp-relay.conf audisp audispd.conf audit audit.log auditd auditd.conf aide.conf audit.rules
	bin boot control.sock data dev etc events.sock fd home lib lib64 local log null opt plugins.d proc root rules.d run
	sbin self share spool srv state state.json stderr stdin stdout sys systemd tmp usr var journal dev-log syslog
	af_unix.conf au-remote.conf syslog.conf audisp-remote audisp-syslog audisp-af_unix sedispatch sedispatch.conf setroubleshoot`)
