package human_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format/human"
	"audisp-relay/testdata/captures"
)

// ours are the sequences that a Printer writes itself.
var ours = regexp.MustCompile("\x1b\\[(0|1|2|3[1-6]|1;31)m")

// checkSeen reports whatever is not to reach a terminal.
func checkSeen(t *testing.T, out string) {
	t.Helper()
	for line := range strings.Lines(ours.ReplaceAllString(out, "")) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended || !utf8.ValidString(line) {
			t.Errorf("no line of UTF-8: %q", line)
		}
		for _, r := range line {
			if !human.Seen(r) {
				t.Fatalf("%U came through in %q", r, line)
			}
		}
	}
}

// eachEvent calls f with every event of a stream.
func eachEvent(data []byte, f func(b *record.Batch, i, j int)) {
	asm := event.NewAssembler(event.AssemblerOptions{Out: func(b *record.Batch) {
		for i := 0; i < len(b.Recs); {
			j := i + 1
			for b.Recs[j-1].Flags&record.End == 0 {
				j++
			}
			f(b, i, j)
			i = j
		}
	}})
	var b record.Batch
	in := stream.NewReader(bytes.NewReader(data))
	for {
		err := in.Next(&b)
		asm.Add(&b, time.Unix(0, 0))
		if err != nil {
			break
		}
	}
	asm.Flush()
}

// TestEachRecordShows: without any one of its records an event looks different. What is left out
// is only an EOE, and a title that repeats the arguments.
func TestEachRecordShows(t *testing.T) {
	inputs, _ := filepath.Glob("testdata/*.in")
	streams := make(map[string][]byte)
	for _, name := range inputs {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		streams[name] = data
	}
	for _, name := range captures.Names(t, "*.string.gz") {
		streams[filepath.Base(name)] = captures.Read(t, filepath.Base(name))
	}

	for name, data := range streams {
		p := human.New(human.Options{Zone: time.UTC})
		records, shown, left := 0, 0, 0
		eachEvent(data, func(b *record.Batch, i, j int) {
			whole := string(p.AppendEvent(nil, b, i, j))
			records += j - i
			for k := i; k < j; k++ {
				typ := b.Recs[k].Type
				rest := record.Batch{Buf: b.Buf}
				rest.Recs = append(append(rest.Recs, b.Recs[i:k]...), b.Recs[k+1:j]...)
				switch {
				case len(rest.Recs) == 0:
					shown++
				case typ == record.TypeEOE:
					left++
				default:
					rest.Recs[len(rest.Recs)-1].Flags |= b.Recs[j-1].Flags & record.Partial
					if string(p.AppendEvent(nil, &rest, 0, len(rest.Recs))) != whole {
						shown++
					} else if left++; typ != record.TypeProctitle {
						t.Errorf("%s: not to be seen: %q in\n%s", name, b.Bytes(k), whole)
					}
				}
			}
		})
		want := bytes.Count(bytes.TrimRight(data, "\n"), []byte{'\n'}) + 1
		if records != want || shown+left != records || shown < records/2 {
			t.Errorf("%s: %d records, %d in events, %d shown, %d left out", name, want, records, shown, left)
		}
	}
}

// TestCapturesAreSeen: real streams, with file names chosen to do harm, in colours and with
// a width that no line exceeds.
func TestCapturesAreSeen(t *testing.T) {
	p := human.New(human.Options{Zone: time.UTC, Colour: true, Width: 80})
	for _, name := range captures.Names(t, "*.string.gz") {
		out := show(t, p, captures.Read(t, filepath.Base(name)))
		checkSeen(t, out)
		checkWidth(t, out, 80)
	}
}

func checkWidth(t *testing.T, out string, width int) {
	t.Helper()
	for line := range strings.Lines(ours.ReplaceAllString(out, "")) {
		if w := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
			t.Errorf("%d columns: %q", w, line)
		}
	}
}

// TestQuotesInQuotes: a program's text is opened once, and what is in it is all shown.
func TestQuotesInQuotes(t *testing.T) {
	got := show(t, human.New(human.Options{}), []byte("type=CAPSET msg=audit(1.000:1): "+strings.Repeat("msg='", 6000)+"\n"))
	if n := strings.Count(got, "msg="); n != 5999 {
		t.Errorf("%d of 5999: %.200s", n, got)
	}
}

// TestLongEvents: an event of any size takes a screen at most, and says how much is left out;
// as a line it has all.
func TestLongEvents(t *testing.T) {
	var b strings.Builder
	for range 300 {
		b.WriteString("type=PATH msg=audit(1.000:1): item=0 name=\"/" + strings.Repeat("x", 70) + "\" nametype=NORMAL\n")
	}
	b.WriteString("type=EOE msg=audit(1.000:1): \n")
	got := show(t, human.New(human.Options{Width: 80}), []byte(b.String()))
	if n := strings.Count(got, "\n"); n != 17 || !strings.Contains(got, "more, see --raw or --json") {
		t.Errorf("%d lines:\n%s", n, got)
	}
	got = show(t, human.New(human.Options{}), []byte(b.String()))
	if n := strings.Count(got, "path=/xxx"); n != 300 {
		t.Errorf("%d paths", n)
	}
}

// TestLongKeys are cut like values: a record of a program has any.
func TestLongKeys(t *testing.T) {
	key := strings.Repeat("k", 300)
	for width := 40; width < 60; width++ {
		got := show(t, human.New(human.Options{Width: width}), []byte("type=NEVER_SEEN msg=audit(1.000:1): "+key+"=b c="+key+"\n"))
		checkWidth(t, got, width)
		if n := strings.Count(got, "k…+2"); n != 2 || strings.Contains(got, "=b") {
			t.Errorf("width %d: %d cut: %q", width, n, got)
		}
	}
}

// TestSignals have names, or else are the number that they have elsewhere: SYSCALL has it in hex.
func TestSignals(t *testing.T) {
	for in, want := range map[string]string{"f": "SIGTERM", "22": "34", "0": "0", "ffffffffffffffff": "-1", "ffffffff00000009": "SIGKILL", "x": "x"} {
		got := show(t, human.New(human.Options{}), []byte("type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=62 success=yes a0=1 a1="+in+" pid=2 uid=0\n"))
		if !strings.Contains(got, "  signal="+want+"  #1") {
			t.Errorf("%s: %q", in, got)
		}
	}
}

// TestDescriptorsOfDirectories: a relative name may count from one, and then not from cwd=.
func TestDescriptorsOfDirectories(t *testing.T) {
	for in, want := range map[string]string{
		"257 a0=3 a1=0 a2=0 a3=0|shadow":        "path=shadow  cwd=/home/evil  dirfd=3  #1",
		"257 a0=ffffff9c a1=0 a2=0 a3=0|shadow": "path=shadow  cwd=/home/evil  #1",
		"257 a0=3 a1=0 a2=0 a3=0|/etc/shadow":   "path=/etc/shadow  cwd=/home/evil  #1",
		"316 a0=3 a1=0 a2=ffffffff a3=0|shadow": "path=shadow  cwd=/home/evil  dirfd=3  dirfd=-1  #1",
		"431 a0=3 a1=0 a2=0 a3=0|shadow":        "path=shadow  cwd=/home/evil  dirfd=?  #1",
		"2 a0=3 a1=0 a2=0 a3=0|shadow":          "path=shadow  cwd=/home/evil  #1",
	} {
		call, name, _ := strings.Cut(in, "|")
		got := show(t, human.New(human.Options{}), []byte("type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall="+call+" success=yes pid=2 uid=0\n"+
			"type=CWD msg=audit(1.000:1): cwd=\"/home/evil\"\ntype=PATH msg=audit(1.000:1): name=\""+name+"\" nametype=NORMAL\ntype=EOE msg=audit(1.000:1): \n"))
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q is not in %q", in, want, got)
		}
	}
}

// TestOddRecords: what hardly says anything, says too much, or something else than it seems to.
func TestOddRecords(t *testing.T) {
	const eoe = "type=EOE msg=audit(1.000:1): "
	for in, want := range map[string]string{
		"type=ANOM_ABEND msg=audit(1.000:1): auid=5 uid=5 ses=3 pid=7 sig=11 res=1\n":                                                "Z crash  5  ses=3  pid=7  sig=SIGSEGV  res=1  #1",
		"type=PATH msg=audit(1.000:1): item=1 name=(null) nametype=UNKNOWN\ntype=PATH msg=audit(1.000:1): name=\"?\"\n" + eoe + "\n": "path=?  path='?'  #1",
		"type=CWD msg=audit(1.000:1): cwd=\"/\"\n" + eoe + "more=5\n":                                                                "cwd=/  EOE more=5  #1",
		eoe + "\n": "parts of an event  EOE  #1",
	} {
		if got := show(t, human.New(human.Options{Zone: time.UTC}), []byte(in)); !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// TestWideCharacters are counted as the columns they take, and never cut in two.
func TestWideCharacters(t *testing.T) {
	line := "type=CWD msg=audit(1.000:1): cwd=" + strings.ToUpper(hexOf(strings.Repeat("漢", 60)+strings.Repeat("e\u0301", 60))) + "\n"
	for width := 40; width < 60; width++ {
		got := show(t, human.New(human.Options{Width: width}), []byte(line))
		checkWidth(t, got, width)
		if !strings.Contains(got, "漢…+") {
			t.Errorf("width %d: %q", width, got)
		}
	}
}

func hexOf(s string) string {
	const digits = "0123456789abcdef"
	var out []byte
	for i := range len(s) {
		out = append(out, digits[s[i]>>4], digits[s[i]&15])
	}
	return string(out)
}

// TestMarks: a pile of combining marks stays on its line, and one at the beginning of a value is
// not set on what stands before it.
func TestMarks(t *testing.T) {
	for text, want := range map[string]string{
		"e\u0301":                        "e\u0301",
		"\u0301e":                        `\xcc\x81e`,
		"e\u0301\u0301\u0301":            "e\u0301\u0301\u0301",
		"e" + "\u0301\u0301\u0301\u0301": "e\u0301\u0301\u0301" + `\xcc\x81`,
		"\u3164\u2800\ufe0f":             `\xe3\x85\xa4\xe2\xa0\x80\xef\xb8\x8f`,
		"\x1b[2J\u202e\x9b\xff\\":        `\x1b[2J\xe2\x80\xae\x9b\xff\\`,
	} {
		if got := string(human.AppendText(nil, []byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestNotice: what stands among the events is seen, whatever is in it.
func TestNotice(t *testing.T) {
	p := human.New(human.Options{Zone: time.UTC, Width: 80})
	got := string(p.AppendNotice(nil, time.UnixMilli(1), "gone: \x1b[2J"))
	if want := "1970-01-01 00:00:00.001 --- gone: \\x1b[2J\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

var words = []string{"", "a", "a b", "it's", "$HOME", "`id`", "!!", "~", "*", "a\nb", "\t\\", "\x1b[2J", "\xff\xfe0", "é", "漢字", "\u202e\u0301", "-n", "'\\''"}

// TestWordsAreAShells: bash reads each word as it was.
func TestWordsAreAShells(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	line := []byte("printf '%s\\0'")
	var want string
	for _, w := range words {
		line = human.AppendWord(append(line, ' '), []byte(w))
		want += w + "\x00"
	}
	out, err := exec.Command(bash, "-c", string(line)).Output()
	if err != nil || string(out) != want {
		t.Errorf("%v: %q\nof %s", err, out, line)
	}
}

// namesOf gives every id the same name.
type namesOf string

func (n namesOf) User(uint32) string  { return string(n) }
func (n namesOf) Group(uint32) string { return "group" }

// TestNames: those that records carry count; else this host's are asked for its own records.
func TestNames(t *testing.T) {
	const line = "type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=59 success=yes exit=0 items=0 pid=1 auid=1000 uid=0 euid=0 gid=0 ses=4 tty=pts1\n"
	p := human.New(human.Options{Users: namesOf("a b"), Local: "here"})
	for in, want := range map[string]string{
		line:                 "  'a b'→'a b'  ",
		"node=there " + line: "  1000→0  ",
		"node=here " + line:  "  'a b'→'a b'  ",
		strings.TrimSuffix(line, "\n") + "\x1dAUID=\"lena\" UID=\"root\"\n": "  lena→root  ",
		// Of fields of the same name each has its own, and one that has none is a number.
		"type=USER_ACCT msg=audit(1.000:1): uid=0 auid=7 msg='op=x auid=8 auid=9 uid=10'\x1dUID=\"root\" AUID=\"lena\" AUID=\"max\"\n": "  lena→root  op=x  auid=max  auid=9  uid=10  ",
	} {
		if got := show(t, p, []byte(in)); !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// TestManyIDs: a record of a program may have any number of ids. So many are named, whatever that
// costs, the others are numbers.
func TestManyIDs(t *testing.T) {
	in := "type=USER_ACCT msg=audit(1.000:1): pid=2 msg='op=x" + strings.Repeat(" suid=0", 300) + "'\x1d" + strings.TrimSpace(strings.Repeat(" SUID=\"root\"", 300)) + "\n"
	got := show(t, human.New(human.Options{}), []byte(in))
	if named, numbers := strings.Count(got, "suid=root"), strings.Count(got, "suid=0"); named != 256 || numbers != 44 {
		t.Errorf("%d names and %d numbers: %q", named, numbers, got)
	}
}

// Whatever the records are, nothing but what is seen and the Printer's own colours comes
// out, and no line is wider than it may be.
func FuzzAppendEvent(f *testing.F) {
	inputs, _ := filepath.Glob("testdata/*.in")
	for _, name := range inputs {
		if data, err := os.ReadFile(name); err == nil && len(data) < 8<<10 {
			f.Add(data, 80)
		}
	}
	f.Add([]byte("node=\x1b[2J type=\x1b[m msg=audit(1.000:1): a=b \\x1b \x9b\u202e\xff\xfe\n"), 40)
	f.Add([]byte("type=USER msg=audit(1.000:1): msg='text=\u0301\x1b exe=\x1b res=\x1b'\x1dUID=\"\x1b\"\n"), 0)
	f.Add([]byte("type=AVC msg=audit(1.000:1): avc:  denied  { \x1b } for  pid=\u0301 saddr=0100FF\n"), 45)
	f.Fuzz(func(t *testing.T, data []byte, width int) {
		width = max(width, 0) % 300
		p := human.New(human.Options{Zone: time.UTC, Colour: true, Width: width})
		out := show(t, p, data)
		checkSeen(t, out)
		if width > 0 {
			checkWidth(t, out, max(width, 40))
		}
	})
}

func FuzzAppendWord(f *testing.F) {
	for _, w := range words {
		f.Add([]byte(w))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		checkSeen(t, string(human.AppendWord(nil, text))+"\n")
		checkSeen(t, string(human.AppendText(nil, text))+"\n")
	})
}

// TestFieldsOfTheHeadAreHiddenOnlyWhereShown: a record that says what happened may have other ids and
// another result than who and the result of the line.
func TestFieldsOfTheHeadAreHiddenOnlyWhereShown(t *testing.T) {
	const call = "type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=44 success=yes exit=5 items=0 pid=2 auid=1000 uid=0 euid=0 ses=4 tty=pts1\n"
	p := human.New(human.Options{})
	for in, want := range map[string]string{
		"type=SERVICE_START msg=audit(1.000:1): pid=1 uid=0 auid=7 ses=9 msg='unit=x res=success'\n" + call:                                          "  1000→0  ses=4  tty=pts1  pid=2  pid=1  auid=7  ses=9  unit=x  call=send",
		"type=SERVICE_START msg=audit(1.000:1): pid=2 uid=0 auid=1000 ses=4 msg='unit=x res=success'\n" + call:                                       "pid=2  unit=x  call=send",
		"type=USER_ACCT msg=audit(1.000:1): pid=2 uid=0 msg='op=x uid=5 res=failed res=success res=maybe'\n":                                         "account check  failed  0  pid=2  op=x  uid=5  res=success  res=maybe  #1",
		"type=USER msg=audit(1.000:1): pid=1 uid=0 auid=7 ses=9 msg='text=res=failed terminal=x success=no exe=\"/x\" terminal=pts/1 res=success'\n": "message  ok  7→0  ses=9  tty=pts/1  pid=1  res=failed terminal=x success=no  exe=/x  #1",
		"type=USER msg=audit(1.000:1): pid=1 uid=0 auid=7 ses=9 msg='text=hello exe=\"/x\" res=success'\n" + call:                                    "pid=2  hello  pid=1  auid=7  ses=9  exe=/x",
	} {
		if got := show(t, p, []byte(in)); !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}
