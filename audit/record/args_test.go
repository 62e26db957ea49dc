package record_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
)

// args is what Args makes of records.
type args struct {
	Args    []string // a missing one is "<missing>", a cut one ends in "<cut>"
	Argc    uint32
	Counted bool
	Missing int64
	Cut     int
	Regular bool
}

func assemble(a *record.Args, bodies ...string) (got args) {
	a.Reset()
	for _, body := range bodies {
		a.Add([]byte(body))
	}
	for i := range a.Len() {
		text, state := a.Arg(i)
		switch state {
		case record.ArgMissing:
			text = []byte("<missing>")
		case record.ArgCut:
			text = append(bytes.Clone(text), "<cut>"...)
		}
		got.Args = append(got.Args, string(text))
	}
	got.Argc, got.Counted = a.Count()
	got.Missing, got.Cut, got.Regular = a.Missing(), a.Cut(), a.Regular()
	return got
}

func TestArgumentsArePutTogether(t *testing.T) {
	one := func(regular bool, list ...string) args {
		return args{Args: list, Argc: uint32(len(list)), Counted: true, Regular: regular}
	}
	var a record.Args // the same for all: Reset forgets everything
	for _, tt := range []struct {
		name   string
		bodies []string
		want   args
	}{
		{"regular", []string{`argc=3 a0="grep" a1=6120622063 a2="f"`}, one(true, "grep", "a b c", "f")},
		{"no arguments", []string{`argc=0`}, args{Counted: true, Regular: true}},
		{"no records", nil, args{}},
		{"empty record", []string{""}, args{}},
		{"empty arguments", []string{`argc=3 a0="" a1="" a2="x"`}, one(true, "", "", "x")},
		{"odd values", []string{`argc=4 a0="?" a1="(null)" a2="'q'" a3="a=b"`}, one(true, "?", "(null)", "'q'", "a=b")},
		{"hex of all bytes", []string{`argc=2 a0=00FF0A1D a1=22`}, one(true, "\x00\xff\n\x1d", `"`)},
		{"digits in quotes are text", []string{`argc=1 a0="4142"`}, one(true, "4142")},
		{"hex that need not be", []string{`argc=1 a0=4142`}, one(false, "AB")},
		{"lower-case hex", []string{`argc=1 a0=0a0b`}, one(false, "\n\v")},
		{"null", []string{`argc=2 a0="x" a1=(null)`}, args{Args: []string{"x", "<missing>"}, Argc: 2, Counted: true, Missing: 1}},
		{"bare", []string{`argc=3 a0=? a1=x a2='q'`}, one(false, "?", "x", "'q'")},
		{"nothing", []string{`argc=1 a0=`}, one(false, "")},
		{"blank in quotes", []string{`argc=1 a0="a b"`}, one(false, "a b")},
		{"two records", []string{`argc=4 a0="a" a1="b"`, ` a2="c" a3="d"`}, one(false, "a", "b", "c", "d")},
		{"split", []string{`argc=3 a0="x" a1_len=16 a1[0]=4141 a1[1]=42424343 a1[2]=44 a2="y"`},
			args{Args: []string{"x", "AABBCCD<cut>", "y"}, Argc: 3, Counted: true, Cut: 1}},
		{"split, all there", []string{`argc=3 a0="x" a1_len=8 a1[0]=4141 a1[1]=4242 a2="y"`}, one(false, "x", "AABB", "y")},
		{"split over records", []string{`argc=3 a0="x" a1_len=8 a1[0]=4141`, ` a1[1]=4242 a2="y"`}, one(false, "x", "AABB", "y")},
		{"split in quotes", []string{`argc=2 a0_len=6 a0[0]="abc"`, ` a0[1]="def" a1="y"`}, one(false, "abcdef", "y")},
		{"split, length is short", []string{`argc=1 a0_len=2 a0[0]=41 a0[1]=42`}, one(false, "AB")},
		{"split, nothing", []string{`argc=1 a0_len=0 a0[0]=""`}, one(false, "")},
		{"split, last record is not there", []string{`argc=3 a0="x" a1_len=8 a1[0]=4141`},
			args{Args: []string{"x", "AA<cut>", "<missing>"}, Argc: 3, Counted: true, Missing: 1, Cut: 1}},
		{"split, record between is not there", []string{`argc=3 a0="x" a1_len=12 a1[0]=4141`, ` a1[2]=4343 a2="y"`},
			args{Args: []string{"x", "AA<cut>", "y"}, Argc: 3, Counted: true, Cut: 1}},
		{"split, first record is not there", []string{` a1[1]=4242 a1[2]=43 a2="y"`},
			args{Args: []string{"<missing>", "BBC<cut>", "y"}, Missing: 1, Cut: 1}},
		{"split, pieces come again", []string{`argc=1 a0_len=8 a0[0]=4141 a0[0]=4141 a0[1]=4242`},
			args{Args: []string{"AA<cut>"}, Argc: 1, Counted: true, Cut: 1}},
		{"split, pieces of two in turns", []string{`argc=2 a0_len=8 a0[0]=4141 a1_len=8 a1[0]=4242 a0[1]=4141 a1[1]=4242`},
			args{Args: []string{"AA<cut>", "BBBB"}, Argc: 2, Counted: true, Cut: 1}},
		{"split, length that is none", []string{`argc=1 a0_len=x a0[0]=4141`},
			args{Args: []string{"AA<cut>"}, Argc: 1, Counted: true, Cut: 1}},
		{"split, the piece is cut", []string{`argc=1 a0_len=8 a0[0]="AA`},
			args{Args: []string{"AA<cut>"}, Argc: 1, Counted: true, Cut: 1}},
		{"split, a piece after a cut one", []string{`argc=1 a0_len=8 a0[0]="AA`, ` a0[1]=4242`},
			args{Args: []string{"AA<cut>"}, Argc: 1, Counted: true, Cut: 1}},
		{"index beyond a number", []string{`argc=1 a4294967296="b" a0="a"`}, one(false, "a")},
		{"record cut in quotes", []string{`argc=3 a0="x" a1="yz`},
			args{Args: []string{"x", "yz<cut>", "<missing>"}, Argc: 3, Counted: true, Missing: 1, Cut: 1}},
		{"record cut in hex", []string{`argc=2 a0="x" a1=41424`},
			args{Args: []string{"x", "AB<cut>"}, Argc: 2, Counted: true, Cut: 1}},
		{"first record is not there", []string{` a2="c" a3="d"`},
			args{Args: []string{"<missing>", "<missing>", "c", "d"}, Missing: 2}},
		{"record between is not there", []string{`argc=4 a0="a"`, ` a3="d"`},
			args{Args: []string{"a", "<missing>", "<missing>", "d"}, Argc: 4, Counted: true, Missing: 2}},
		{"records in another order", []string{` a1="b"`, `argc=2 a0="a"`}, one(false, "a", "b")},
		{"argument twice", []string{`argc=2 a0="a" a0="b" a1="c"`}, one(false, "a", "c")},
		{"more than argc", []string{`argc=1 a0="a" a1="b"`}, args{Args: []string{"a", "b"}, Argc: 1, Counted: true}},
		{"argc twice", []string{`argc=1 a0="a" argc=2`}, one(false, "a")},
		{"argc after", []string{`a0="a" argc=1`}, one(false, "a")},
		{"argc is none", []string{`argc=01 a0="a"`}, args{Args: []string{"a"}}},
		{"two blanks", []string{`argc=1  a0="a"`}, one(false, "a")},
		{"blank before", []string{` argc=1 a0="a"`}, one(false, "a")},
		{"text after", []string{`argc=1 a0="a" x`}, one(false, "a")},
		{"other fields", []string{`argc=1 a0="a" b=1 a=2 ax=3 a0_=4 a0[=5 a0[]=6 a0[x]=7 a00=8`}, one(false, "a")},
		{"separator of records", []string{"argc=1 a0=\"a\x1db\""}, one(false, "a\x1db")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, assemble(&a, tt.bodies...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Indices and counts that no program can have cost no memory.
func TestArgsAreBounded(t *testing.T) {
	var a record.Args
	for _, body := range []string{
		`argc=4294967295 a0="a"`, `argc=1 a4294967295="a"`, `a99999999999999999999="a"`,
		`argc=1 a4294967295_len=4294967295 a4294967295[0]=41`, `argc=4294967295`,
	} {
		a.Reset()
		a.Add([]byte(body))
		if n := a.Len(); n > 2000 {
			t.Errorf("%s: %d arguments", body, n)
		}
		if allocs := testing.AllocsPerRun(5, func() { a.Reset(); a.Add([]byte(body)) }); allocs > 1 {
			t.Errorf("%s: %v allocations", body, allocs)
		}
	}
	a.Reset()
	a.Add([]byte(`argc=4294967295 a0="a" a500="b" a9000="c"`))
	got := []any{a.Len(), a.Missing()}
	if diff := cmp.Diff([]any{501 + 1024 - 499, int64(4294967295 - 2)}, got); diff != "" {
		t.Error(diff)
	}
	// Many gaps, each small.
	var b strings.Builder
	for i := range 100000 {
		fmt.Fprintf(&b, ` a%d="x"`, i*7)
	}
	a.Reset()
	a.Add([]byte(b.String()))
	if n := a.Len(); n > 2000 {
		t.Errorf("%d arguments", n)
	}
	// What one event took is given back.
	b.Reset()
	for i := range 100000 {
		fmt.Fprintf(&b, ` a%d="xxxx"`, i)
	}
	a.Reset()
	a.Add([]byte(b.String()))
	if n := a.Len(); n != 100000 {
		t.Errorf("%d arguments", n)
	}
	a.Reset()
	if list, text := a.Kept(); list+text > 0 {
		t.Errorf("memory for %d arguments of %d bytes is kept", list, text)
	}
}

// TestArgumentsOfALaterPart: of an event that came in parts a later one has arguments with high numbers, and may begin within one.
func TestArgumentsOfALaterPart(t *testing.T) {
	var a record.Args
	for _, open := range []string{` a90000="x"`, ` a90000[7]=41 a90000[8]=42`} {
		a.Reset()
		a.Add([]byte(open))
		a.Add([]byte(` a90001="y" a90002_len=4 a90002[0]=41`))
		a.Add([]byte(` a90002[1]=42 a90004="z" a95000="far" a5="early" a5000="skipped"`))
		if n := a.Len(); n != 5 {
			t.Fatalf("%s: %d arguments", open, n)
		}
		for i, want := range map[uint32]string{5: "", 5000: "", 89999: "", 90001: "y", 90002: "AB", 90003: "", 90004: "z", 95000: "", 4294967295: ""} {
			if text, _ := a.Numbered(i); string(text) != want {
				t.Errorf("%s: argument %d is %q, want %q", open, i, text, want)
			}
		}
		if text, _ := a.Arg(1); string(text) != "y" || !a.Left() {
			t.Errorf("%s: %q, left %v", open, text, a.Left())
		}
	}
	if text, state := a.Numbered(90000); string(text) != "AB" || state != record.ArgCut {
		t.Errorf("the end of an argument is %q, %v", text, state)
	}
	if n, cut := a.Missing(), a.Cut(); n != 90001 || cut != 1 { // 90003 is not there either
		t.Errorf("%d missing, %d cut", n, cut)
	}
}

func TestArgsAllocateNothing(t *testing.T) {
	var a record.Args
	first, second := []byte(`argc=3 a0="env" a1=6120622063 a2_len=8 a2[0]=4141`), []byte(` a2[1]=4242`)
	add := func() { a.Reset(); a.Add(first); a.Add(second) }
	add()
	if n := testing.AllocsPerRun(100, add); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// kernelArgs writes the EXECVE records of arguments as audit_log_execve_info does: it begins
// a record after limit bytes and cuts what is too long.
func kernelArgs(limit int, list []string) (bodies []string) {
	body := fmt.Sprintf("argc=%d", len(list))
	flush := func() {
		bodies = append(bodies, body)
		body = ""
	}
	for i, arg := range list {
		v := string(record.AppendText(nil, []byte(arg)))
		if len(body)+len(v) <= limit {
			body += fmt.Sprintf(" a%d=%s", i, v)
			continue
		}
		isHex := v[0] != '"'
		if isHex {
			body += fmt.Sprintf(" a%d_len=%d", i, len(v))
		} else {
			body += fmt.Sprintf(" a%d_len=%d", i, len(arg))
		}
		for n := 0; n == 0 || arg != ""; n++ {
			part := arg[:min(len(arg), max(1, limit/2))]
			arg = arg[len(part):]
			if isHex {
				body += fmt.Sprintf(" a%d[%d]=%X", i, n, part)
			} else {
				body += fmt.Sprintf(" a%d[%d]=\"%s\"", i, n, part)
			}
			if len(body) > limit {
				flush()
			}
		}
	}
	if body != "" {
		flush()
	}
	return bodies
}

func FuzzArgs(f *testing.F) {
	f.Add("grep\x00a b\x00\x00", uint8(10), "")
	f.Add("a\x00b\x00c", uint8(255), ` a1="x" a2[0]=41`)
	f.Add("", uint8(3), `argc=4294967295 a4294967295[9]=41 a7_len=9`)
	var a record.Args
	f.Fuzz(func(t *testing.T, joined string, limit uint8, hostile string) {
		want := strings.Split(joined, "\x00")
		bodies := kernelArgs(int(limit), want)
		got := assemble(&a, bodies...)
		if diff := cmp.Diff(want, got.Args); diff != "" || got.Missing != 0 || got.Cut != 0 {
			t.Fatalf("%q: %s", bodies, diff)
		}
		if got.Regular {
			// Then the arguments give the record back.
			body := fmt.Sprintf("argc=%d", got.Argc)
			for i, arg := range got.Args {
				body += fmt.Sprintf(" a%d=%s", i, record.AppendText(nil, []byte(arg)))
			}
			if body != bodies[0] {
				t.Fatalf("%q is called regular", bodies)
			}
		} else if len(bodies) == 1 && !strings.Contains(bodies[0], "_len=") {
			t.Fatalf("%q is not called regular", bodies)
		}
		// Any bytes: no panic, bounded, the states add up.
		got = assemble(&a, append(bodies, hostile)...)
		missing, cut := 0, 0
		for i := range a.Len() {
			switch _, state := a.Arg(i); state {
			case record.ArgMissing:
				missing++
			case record.ArgCut:
				cut++
			}
		}
		if int64(missing) > got.Missing || cut != got.Cut || a.Len() > len(want)+len(hostile)+2048 {
			t.Fatalf("%d arguments, %d missing (%d), %d cut (%d)", a.Len(), missing, got.Missing, cut, got.Cut)
		}
	})
}
