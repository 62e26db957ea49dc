package laurel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/sinks/sinktest"
)

// factsEnv names the directory src/testdata of laurel's source. What laurel's tests say of the streams in there is
// compared with what we make of them; none of it is here.
const factsEnv = "AUDISP_LAUREL_TESTDATA"

func factsDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(factsEnv)
	if dir == "" {
		t.Skipf("%s names no directory", factsEnv)
	}
	return dir
}

// readStreams returns the lines of streams, one after the other, without blank ones and comments.
func readStreams(t *testing.T, files ...string) (lines []byte) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 && line[0] != '#' {
				lines = append(append(lines, line...), '\n')
			}
		}
	}
	return lines
}

// encodeKnown returns what the encoder makes of a stream where it knows processes and their labels: each event as soon as its
// last record has come.
func encodeKnown(t *testing.T, lines []byte, labels *process.Labels) []map[string]any {
	t.Helper()
	type id struct {
		millis int64
		serial uint32
	}
	var known process.Current
	known.Set(process.NewTable(process.Options{Labels: labels}))
	e := New(Options{Processes: &known})
	events, at := wholeEvents(lines), make(map[id]int)
	left := make([]int, len(events))
	for n := range events {
		r := &events[n].Recs[0]
		at[id{r.Millis, r.Serial}], left[n] = n, len(events[n].Recs)
	}

	var out []byte
	for _, b := range sinktest.Batches(lines, 64<<10) {
		for i := range b.Recs {
			known.Table().Note(&record.Batch{Buf: b.Buf, Recs: b.Recs[i : i+1]})
			n := at[id{b.Recs[i].Millis, b.Recs[i].Serial}]
			if left[n]--; left[n] == 0 {
				out = e.AppendEvent(out, &events[n], 0, len(events[n].Recs))
			}
		}
	}
	checkLines(t, out)
	return decodeAll(t, out)
}

// leaves puts the values of v that are no objects or arrays into out, as JSON by their paths: "PATH[0].name". laurel has labels
// in no order.
func leaves(out map[string]string, path string, v any) map[string]string {
	switch v := v.(type) {
	case map[string]any:
		for key, v := range v {
			leaves(out, strings.TrimPrefix(path+"."+key, "."), v)
		}
	case []any:
		if strings.HasSuffix(path, "LABELS") {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		for i, v := range v {
			leaves(out, fmt.Sprintf("%s[%d]", path, i), v)
		}
	default:
		text, _ := json.Marshal(v)
		out[path] = string(text)
	}
	return out
}

// listed is where we differ from laurel, and why. What differs otherwise is a fault.
type listed struct {
	stream, path string // regular expressions; an empty one is any
	theirs, ours string // the values, the same; "-" is none
	why          string
}

// allows reports whether a difference is in the list. It marks the entry in used.
func allows(list []listed, used map[int]int, stream, path, theirs, ours string) bool {
	is := func(expr, text string) bool { return regexp.MustCompile(`^(?:` + expr + `)$`).MatchString(text) }
	for i, d := range list {
		if (d.stream == "" || is(d.stream, stream)) && (d.path == "" || is(d.path, path)) && is(d.theirs, theirs) && is(d.ours, ours) {
			used[i]++
			return true
		}
	}
	return false
}

// facts counts what was compared.
type facts struct {
	equal, listed int
	used          map[int]int
}

// compare holds our events against laurel's, value by value.
func (f *facts) compare(t *testing.T, list []listed, stream string, theirs, ours []map[string]any) {
	t.Helper()
	byID := func(events []map[string]any) map[string]map[string]string {
		all := make(map[string]map[string]string)
		for _, event := range events {
			id := nodeID(event)
			if all[id] == nil {
				all[id] = make(map[string]string)
			}
			leaves(all[id], "", event) // laurel may write an event in parts
		}
		return all
	}
	their, our := byID(theirs), byID(ours)
	if len(their) != len(our) {
		t.Errorf("%s: laurel has %d events, we have %d", stream, len(their), len(our))
	}
	for id, values := range their {
		for path := range our[id] {
			if _, ok := values[path]; !ok {
				values[path] = "-"
			}
		}
		for path, value := range values {
			got, ok := our[id][path]
			if !ok {
				got = "-"
			}
			switch {
			case got == value:
				f.equal++
			case allows(list, f.used, stream, path, value, got):
				f.listed++
			default:
				t.Errorf("%s, %s: %s: laurel has %.200s, we have %.200s", stream, id, path, value, got)
			}
		}
	}
}

// report says how many there were, and what of the list was of no use.
func (f *facts) report(t *testing.T, list []listed) {
	t.Helper()
	for i, d := range list {
		if f.used[i] == 0 {
			t.Errorf("nothing differs as listed: %+v", d)
		}
	}
	t.Logf("%d values are equal, %d differ as listed", f.equal, f.listed)
}

// goldenList is for laurel's golden files, which have no context of processes: its test switches that off.
var goldenList = []listed{
	{"", `SYSCALL\.(PID|PPID|SPAWNED_BY)\..*`, `-`, `[^-].*`, "laurel's test leaves the context of processes out"},
}

// TestGoldenFilesOfLaurel: of each stream for which laurel has a golden file we make the same.
func TestGoldenFilesOfLaurel(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(factsDir(t), "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	f := facts{used: make(map[int]int)}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := readStreams(t, strings.TrimSuffix(file, ".json")+".txt")
		f.compare(t, goldenList, filepath.Base(file), decodeAll(t, text), encodeKnown(t, lines, nil))
	}
	f.report(t, goldenList)
}

// statement is what a test of laurel says of an event: which value stands at a path.
type statement struct {
	labels  func() *process.Labels
	streams string // with blanks between them
	ids     string // of the events, the same
	path    string
	value   string // as JSON; "-" is none, "" is any
	why     string // we differ, and have nothing
}

// labelled is a set of labels: key=LABEL, exe=LABEL=EXPRESSION, unexe to take it away and so on, pass=LABEL.
func labelled(t *testing.T, all ...string) func() *process.Labels {
	return func() *process.Labels {
		l := new(process.Labels)
		for _, one := range all {
			kind, rest, _ := strings.Cut(one, "=")
			label, expr, _ := strings.Cut(rest, "=")
			var err error
			switch kind {
			case "key":
				err = l.AddKey(label)
			case "exe":
				err = l.Add(process.OfExe, expr, label)
			case "cmdline":
				err = l.Add(process.OfCmdline, expr, label)
			case "unexe":
				err = l.Take(process.OfExe, expr, label)
			case "uncmdline":
				err = l.Take(process.OfCmdline, expr, label)
			case "pass":
				err = l.PassOn(label)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return l
	}
}

// TestStatementsOfLaurel: what laurel's tests say of events beside the golden files holds of ours.
func TestStatementsOfLaurel(t *testing.T) {
	dir := factsDir(t)
	noLabels := func() *process.Labels { return nil }
	software := labelled(t, "key=software_mgmt", "pass=software_mgmt")
	script := labelled(t, "key=test-script", "pass=test-script")
	const inScript = "1682609045.526:29238 1682609045.530:29239 1682609045.530:29240 1682609045.530:29241 " +
		"1682609045.530:29242 1682609045.530:29243 1682609045.530:29244 1682609045.534:29245"
	const lost = "serials are missing in that stream, so that nobody knows what the parent has executed"
	held, differ := 0, 0
	for _, s := range []statement{
		{noLabels, "record-execve.txt", "1615114232.375:15558", "SYSCALL.ARCH", `"x86_64"`, ""},
		{noLabels, "record-execve.txt", "1615114232.375:15558", "SYSCALL.SYSCALL", `"execve"`, ""},
		{noLabels, "record-execve.txt", "1615114232.375:15558", "NODE", `"work"`, ""},
		{noLabels, "record-execve.txt", "1615114232.375:15558", "SYSCALL.UID_GROUPS[0]", "", "no record says it: it depends on the host's users"},
		{noLabels, "line-user-acct.txt", "1615113648.981:15220", "USER_ACCT.UID", `"user"`, ""},
		{noLabels, "record-anom-promiscuous.txt", "1708689989.768:339749193", "SOCKADDR[0].saddr", `"%10` + strings.Repeat("%00", 11) + `"`, ""},
		{software, "tree/00.txt tree/01.txt", "1654180383.030:299896 1654180383.046:299897", "SYSCALL.LABELS[0]", `"software_mgmt"`, ""},
		{labelled(t, "exe=recon=whoami"), "record-execve.txt", "1615114232.375:15558", "SYSCALL.LABELS[0]", `"recon"`, ""},
		{labelled(t, `cmdline=weblogic=^\S*java .* -Dweblogic`), "record-weblogic.txt", "1734013587.483:2679223", "SYSCALL.LABELS[0]", `"weblogic"`, ""},
		{labelled(t, "cmdline=echo=^/bin/echo ", "cmdline=aaaa=aaaaaaaaaa"), "record-execve-long.txt", "1615150974.493:21028", "SYSCALL.LABELS[0]", `"echo"`, ""},
		{labelled(t, "cmdline=echo=^/bin/echo ", "cmdline=aaaa=aaaaaaaaaa"), "record-execve-long.txt", "1615150974.493:21028", "SYSCALL.LABELS[1]", "-", ""},
		{script, "shell-proc-trace.txt", inScript, "SYSCALL.LABELS[0]", `"test-script"`, ""},
		{script, "shell-proc-trace-reordered.txt", inScript, "SYSCALL.LABELS[0]", `"test-script"`, ""},
		{labelled(t, "exe=pkg_mgmt=^/usr/bin/dpkg$", "pass=pkg_mgmt"), "proc-trace-dpkg-l.txt",
			"1778355636.725:2322552 1778355636.728:2322553 1778355636.752:2322555 1778355636.754:2322557", "SYSCALL.LABELS[0]", `"pkg_mgmt"`, ""},
		{labelled(t, "exe=uncaring-parent=/uncaring-parent$", "pass=uncaring-parent"), "fork-sleep-exec.txt", "1783860945.368:6104008", "SYSCALL.LABELS[0]", `"uncaring-parent"`, ""},
		{noLabels, "fork-sleep-exec.txt", "1783860945.368:6104008", "SYSCALL.SPAWNED_BY.exe", "", ""},
		{noLabels, "fork-sleep-exec.txt", "1783860945.368:6104008", "SYSCALL.SPAWNED_BY.EVENT_ID", "", "EVENT_ID is that of an exec, and who was forked has none"},
		{noLabels, "shell-proc-trace-confusion.txt", "1697091526.357:2638035", "SYSCALL.PPID.comm", `"csh"`, lost},
		{noLabels, "shell-proc-trace-confusion.txt", "1697091526.357:2638035", "SYSCALL.PPID.exe", `"/bin/tcsh"`, lost},
		{noLabels, "shell-proc-trace-confusion.txt", "1697091526.357:2638035", "SYSCALL.PPID.ppid", "2542", lost},
		{noLabels, "shell-proc-trace-confusion.txt", "1697091526.357:2638035", "SYSCALL.PPID.EVENT_ID", `"1697091526.357:2638033"`, lost},
	} {
		var files []string
		for name := range strings.FieldsSeq(s.streams) {
			files = append(files, filepath.Join(dir, name))
		}
		ours := encodeKnown(t, readStreams(t, files...), s.labels())
		for id := range strings.FieldsSeq(s.ids) {
			got := "no event"
			for _, event := range ours {
				if event["ID"] == id {
					got = "-"
					if value, ok := leaves(map[string]string{}, "", event)[s.path]; ok {
						got = value
					}
				}
			}
			switch isSo := got == s.value || (s.value == "" && got != "-"); {
			case isSo && s.why == "":
				held++
			case !isSo && got == "-" && s.why != "":
				differ++
			default:
				t.Errorf("%s, %s: %s is %s, laurel has %s (%s)", s.streams, id, s.path, got, s.value, s.why)
			}
		}
	}
	t.Logf("%d statements hold, %d do not, as listed", held, differ)
}

// byteFacts are the ways in which laurel's tests say how bytes are written: in json.rs as JSON, in quote.rs without its quotes.
var byteFacts = []struct {
	file, expr    string
	bytes, text   int // its groups
	before, after string
	listed, why   string // what is written otherwise
}{
	{"json.rs", `\(&b"((?:[^"\\]|\\.)*)"\[\.\.\], r#"(".*?")"#\)`, 1, 2, "", "", "", ""},
	{"quote.rs", `assert_eq!\(\s*"([^"]*)",\s*uri_escaped\(b"((?:[^"\\]|\\.)*)"\)`, 2, 1, `"`, `"`,
		"\ufeff", "0.5.1 leaves a byte order mark as it is, which a reader of JSON reads as the same"},
}

// TestBytesOfLaurel: bytes are written as laurel's tests say.
func TestBytesOfLaurel(t *testing.T) {
	dir, n := filepath.Dir(factsDir(t)), 0
	for _, f := range byteFacts {
		text, err := os.ReadFile(filepath.Join(dir, f.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(f.expr).FindAllSubmatch(text, -1) {
			raw, err := strconv.Unquote(`"` + string(m[f.bytes]) + `"`)
			if err != nil {
				t.Fatalf("%q: %v", m[f.bytes], err)
			}
			want, got := f.before+string(m[f.text])+f.after, string(appendString(nil, []byte(raw)))
			if n++; (got == want) == (f.listed != "" && raw == f.listed) {
				t.Errorf("%q: %s, laurel writes %s", raw, got, want)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d facts were found", n)
	}
	t.Logf("%d ways to write bytes", n)
}
