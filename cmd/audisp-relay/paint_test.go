package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"audisp-relay/testdata/captures"
)

func TestPaintRecord(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"Enriched", "type=SYSCALL msg=audit(1700000000.007:42): arch=c000003e success=no\x1dARCH=x86_64 AUID=\"root\"\n",
			"Nov 14 22:13:20.007 SYSCALL        #42 arch=c000003e success=no │ ARCH=x86_64 AUID=\"root\"\n"},
		{"Node", "node=web1 type=EOE msg=audit(1700000000.000:4294967295): \n",
			"Nov 14 22:13:20.000 EOE            #4294967295 node=web1\n"},
		{"BareSeparator", "type=CWD msg=audit(1.000:1): cwd=\"/\"\x1d\n",
			"Jan  1 00:00:01.000 CWD            #1 cwd=\"/\" │\n"},
		{"Escapes", "type=USER msg=audit(1.000:1): msg='\x1b]0;x\x07\x9b\u202e\u0085\\ é\x1da\x1db\xff'\n",
			"Jan  1 00:00:01.000 USER           #1 msg='" + `\x1b]0;x\x07\x9b\xe2\x80\xae\xc2\x85\\ é │ a\x1db\xff'` + "\n"},
		{"EscapesInNode", "node=\x1b[2J type=X msg=audit(1.000:1): a=b\n",
			`Jan  1 00:00:01.000 X              #1 node=\x1b[2J a=b` + "\n"},
		{"Blanks", "type=USER msg=audit(1.000:1): msg='a  b   c'  d\x1dUID=\"x  y\"\n", "Jan  1 00:00:01.000 USER           #1 msg='a  b   c'  d │ UID=\"x  y\"\n"},
		{"EscapesInType", "type=\x1b[m msg=audit(1.000:1): a=b\n", `type=\x1b[m msg=audit(1.000:1): a=b` + "\n"},
		{"NoRecord", "hello \x00\n", `hello \x00` + "\n"},
		{"NoTime", "type=X msg=audit(x): a\n", "type=X msg=audit(x): a\n"},
		{"NoNewline", "type=X", "type=X"},
		{"Replacement", "\ufffd\xef\xbf", "\ufffd\\xef\\xbf"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := painter{zone: time.UTC}
			if got := string(p.show([]byte(test.line), true)); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			p.colour = true
			if got := string(ours.ReplaceAll(p.show([]byte(test.line), true), nil)); got != test.want {
				t.Errorf("coloured: got %q\nwant %q", got, test.want)
			}
		})
	}
}

// ours are the sequences that the painter adds itself.
var ours = regexp.MustCompile("\x1b\\[[0-9]+m")

func TestPaintColoursFailures(t *testing.T) {
	p := painter{colour: true, zone: time.UTC}
	got := p.show([]byte("type=USER_AUTH msg=audit(1.000:1): msg='op=PAM res=failed'\n"), true)
	if !bytes.Contains(got, []byte(sgrDim+"res="+sgrReset+sgrRed+"failed'"+sgrReset)) {
		t.Errorf("res=failed is not red: %q", got)
	}
}

// Nothing but printable text and the painter's own sequences comes out, and the
// bytes can be got back.
func FuzzPaint(f *testing.F) {
	f.Add([]byte("type=SYSCALL msg=audit(1700000000.007:42): arch=c000003e\x1dARCH=x86_64\n"))
	f.Add([]byte("node=\x1b[2J type=\x1b[m msg=audit(1.000:1): a=b \\x1b \x9b\u202e\xff\xfe\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		checkPrintable(t, line)
		if got := unescape(t, escape(nil, line)); !bytes.Equal(got, line) {
			t.Errorf("got %q back from %q", got, line)
		}
	})
}

func checkPrintable(t *testing.T, line []byte) {
	t.Helper()
	p := painter{colour: true, zone: time.UTC}
	for _, out := range [][]byte{bytes.Clone(p.show(line, true)), p.show(line, false)} {
		text := ours.ReplaceAll(bytes.TrimSuffix(out, []byte{'\n'}), nil)
		if !utf8.Valid(text) {
			t.Errorf("not UTF-8: %q", text)
		}
		for _, r := range string(text) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U came through in %q", r, text)
			}
		}
	}
}

func unescape(t *testing.T, text []byte) (out []byte) {
	for len(text) > 0 {
		switch {
		case text[0] != '\\':
			out, text = append(out, text[0]), text[1:]
		case text[1] == '\\':
			out, text = append(out, '\\'), text[2:]
		default:
			b, err := strconv.ParseUint(string(text[2:4]), 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			out, text = append(out, byte(b)), text[4:]
		}
	}
	return out
}

// Real streams, with file names chosen to do harm.
func TestPaintCaptures(t *testing.T) {
	for _, path := range captures.Names(t, "*.string.gz") {
		for _, line := range bytes.SplitAfter(captures.Read(t, path), []byte{'\n'}) {
			if len(line) == 0 {
				continue
			}
			if strings.Contains(path, "3.0.9-enriched") {
				checkPrintable(t, line)
			}
			// auditd 4.2.1 cuts 16 bytes off each record with log_format = RAW; of an
			// EOE not even the time remains.
			cut := strings.Contains(path, "4.2.1-raw") && bytes.HasPrefix(line, []byte("type=EOE"))
			if b := readHeader(line); b.Recs[0].HasID() == cut {
				t.Errorf("%s: header not understood: %q", filepath.Base(path), line)
			}
		}
	}
}
