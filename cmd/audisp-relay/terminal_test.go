package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"audisp-relay/test/lab"
)

// hostile is text that does something to a terminal, and what is shown instead.
var hostile = []struct{ text, want string }{
	{"\x1b[2J", `\x1b[2J`},
	{"\x1b]0;pwn\x07", `\x1b]0;pwn\x07`},
	{"\u009b31m", `\xc2\x9b31m`},
	{"\u0080\u0085\u009f", `\xc2\x80\xc2\x85\xc2\x9f`},
	{"\x9b31m", `\x9b31m`},
	{"\x7f\r\b\x00\v\f", `\x7f\x0d\x08\x00\x0b\x0c`},
	{"\u202a\u202b\u202c\u202d\u202e", `\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae`},
	{"\u2066\u2067\u2068\u2069", `\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9`},
	{"\u200e\u200f\u061c", `\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c`},
	{"\u2028\u2029\ufeff", `\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf`},
	{"\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", `\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80`},
	{"ä€😀 \\ \t\n", "ä€😀 \\ \t\n"},
	{"\x1d", `\x1d`},
}

// TestTerminalShowsWhatIsHostile: whatever pieces it comes in.
func TestTerminalShowsWhatIsHostile(t *testing.T) {
	var text, want string
	for _, h := range hostile {
		text += h.text + "|"
		want += h.want + "|"
	}
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		w := &terminal{w: &out}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if k, err := w.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatalf("%d, %v", k, err)
			}
			rest = rest[n:]
		}
		if out.String() != want || !utf8.Valid(out.Bytes()) {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", size, out.String(), want)
		}
	}
}

// TestTerminalsWithoutUTF8 get ASCII: the second byte of Û is the beginning of an escape sequence to
// them.
func TestTerminalsWithoutUTF8(t *testing.T) {
	for _, test := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", true}, {"", "", "en_US.UTF-8", true}, {"C.utf8", "", "C", true}, {"", "de_DE.UTF-8@euro", "C", true},
		{"", "", "C", false}, {"POSIX", "", "en_US.UTF-8", false}, {"", "en_US", "C.UTF-8", false}, {"", "", "de_DE.ISO-8859-1", false},
	} {
		t.Setenv("LC_ALL", test.all)
		t.Setenv("LC_CTYPE", test.ctype)
		t.Setenv("LANG", test.lang)
		if got := isUTF8(); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}

	t.Setenv("TERM", "xterm")
	t.Setenv("LC_ALL", "C")
	one, _ := sampleEvent(1)
	one = strings.ReplaceAll(one, `"/file-1"`, "C39B33316D") // Û31m
	for _, args := range [][]string{nil, {"--raw"}, {"--json"}} {
		path, wait := serve(t, one)
		out := tailOn(t, append(args, "--count", "1", path)...)
		wait()
		if strings.ContainsFunc(out, func(r rune) bool { return r >= utf8.RuneSelf }) {
			t.Errorf("%v: %q", args, out)
		}
		if args == nil && (!strings.Contains(out, `\xc3\x9b31m`) || !strings.Contains(out, "->")) {
			t.Errorf("%q", out)
		}
	}
}

// endOfTest is what a test writes to a terminal when it is done.
const endOfTest = "the end of the test"

// untilEnd gives all that reaches a terminal once endOfTest is among it.
func untilEnd(master *os.File) <-chan string {
	done := make(chan string, 1)
	go func() {
		var all []byte
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil || bytes.Contains(all, []byte(endOfTest)) {
				done <- string(all)
				return
			}
		}
	}()
	return done
}

// TestReplayToATerminal: nothing raw reaches a terminal, in any format, and what is wrong
// with a file whose name is hostile is said so; a pipe gets the bytes as they are.
func TestReplayToATerminal(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	dir := t.TempDir()
	record := "type=USER_CMD msg=audit(1795298317.824:100): pid=1 uid=1000 auid=1000 ses=1 msg='op=x acct=\""
	for _, h := range hostile[:11] {
		record += h.text
	}
	record += "\" res=success'\n"
	input := filepath.Join(dir, "in")
	if err := os.WriteFile(input, []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	for _, args := range [][]string{
		{"replay", input}, {"replay", "--format", "json", input}, {"replay", "--format", "ecs", input}, {"replay", "--format", "laurel", input},
		{"replay", "--format", "ocsf", input}, {"replay", "--format", "joined", input},
		{"replay", "--explain", input},
		{"replay", filepath.Join(dir, "\x1b[2J\u009b\u202e")}, {"spool", dir + "/\x1b[2J\u009b\u202e"}, {"check", dir + "/\x1b[2J\u009b\u202e"},
		{"status", "--run-dir", dir + "/\x1b]0;x\x07\u0085"}, {"verify", "--key", dir + "/\x1b[2J\u009b", input}, {"\x1b[2J\u009b"},
	} {
		master, slave := lab.OpenTerminal(t)
		os.Stdout, os.Stderr = slave, slave
		done := untilEnd(master)
		run(args)
		fmt.Fprintln(slave, endOfTest)
		got := <-done
		os.Stdout, os.Stderr = stdout, stderr
		shown := 0
		for line := range strings.Lines(got) {
			line = strings.TrimRight(line, "\r\n")
			shown += len(line)
			if escaped := string(escapeText(nil, []byte(line))); escaped != line {
				t.Errorf("%q: %q", args, line)
			}
		}
		if shown < 40 {
			t.Errorf("%q says nothing: %q", args, got)
		}
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	run([]string{"replay", input})
	os.Stdout = stdout
	w.Close()
	got := make([]byte, 2*len(record))
	n, _ := r.Read(got)
	r.Close()
	if string(got[:n]) != record {
		t.Errorf("to a pipe: %q, want %q", got[:n], record)
	}
}
