package filter

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestErrorsSayWhereAndWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		src          string
		line, column int
		text         string // message and hint
	}{
		{``, 1, 1, `the expression is empty`},
		{"  \n", 1, 1, `the expression is empty`},
		{`audi >= 1000`, 1, 1, `unknown field audi: did you mean auid?`},
		{`auid >= 1000 and sycall == "open"`, 1, 18, `unknown field sycall: did you mean syscall?`},
		{"auid >= 1000 and\n  (exe == \"x\" or\n\tcom == \"y\")", 3, 2, `unknown field com: did you mean comm?`},
		{`frobnicate == 1`, 1, 1, `unknown field frobnicate: for a field that has no name here write field("frobnicate")`},
		{`Auid == 1`, 1, 1, `unknown field Auid: did you mean auid?`},
		{`msg.act == "x"`, 1, 5, `unknown field msg.act: did you mean msg.acct?`},
		{`msg == "x"`, 1, 1, `msg is not a field itself: write msg.acct and the like`},
		{`exe.name == "x"`, 1, 5, `exe has no parts`},
		{`foo.name == "x"`, 1, 1, `unknown field foo: for a field that has no name here write field("foo")`},
		{`auid == "1000"`, 1, 9, `auid is a number, "1000" is text: compare it with 1000, not "1000"`},
		{`"1000" == auid`, 1, 1, `auid is a number, "1000" is text: compare it with 1000, not "1000"`},
		{`auid == "unset"`, 1, 9, `auid is a number, "unset" is text: compare it with unset, without quotes`},
		{`auid == "root"`, 1, 9, `auid is a number, "root" is text: for the name write auser == "root"`},
		{`acct == 0`, 1, 9, `acct is text, 0 is a number: compare it with "0"`},
		{`syscall == 59`, 1, 12, `syscall is text, 59 is a number: write syscall_number == 59`},
		{`success == "yes"`, 1, 12, `success is true or false, "yes" is text: write success or not success`},
		{`keys == "x"`, 1, 9, `keys is a list of texts, "x" is text: write "x" in keys`},
		{`auid`, 1, 1, `auid is a number, not true or false: compare it, as in auid == 0`},
		{`exe and success`, 1, 1, `exe is text, not true or false: compare it, as in exe == ""`},
		{`not keys`, 1, 5, `keys is a list of texts, not true or false: ask what is in it, as in "x" in keys`},
		{`auid + 1`, 1, 6, `auid + 1 is a number, not true or false: compare it, as in auid + 1 == 0`},
		{`auid in ["1000"]`, 1, 9, `auid is a number, and the list holds text: write the numbers without quotes`},
		{`exe in [1]`, 1, 8, `exe is text, and the list holds a number: write the texts in quotes`},
		{`exe in ["a", 1]`, 1, 14, `1 is a number in a list that began with text`},
		{`exe in [success]`, 1, 9, `a list holds numbers or texts, and success is true or false`},
		{`exe in []`, 1, 8, `nothing is in an empty list`},
		{`exe in "/usr/bin/cat"`, 1, 8, `in takes a list, and "/usr/bin/cat" is text: write "/usr/bin/cat" contains exe, or == for all of it`},
		{`keys in ["a"]`, 1, 1, `keys is a list itself: write any(keys, # in ["a"])`},
		{`args contains "-x"`, 1, 1, `args is a list: write any(args, # contains "-x")`},
		{`auid contains "1"`, 1, 1, `contains takes texts, and auid is a number`},
		{`exe = "x"`, 1, 5, `= does not compare: write ==`},
		{`success & failed`, 1, 9, `& joins nothing: write && or and`},
		{`success failed`, 1, 9, `unexpected "failed"`},
		{`(success`, 1, 8, `the expression ends too early`},
		{`exe == "x`, 1, 10, `literal not terminated`},
		{`exe matches "("`, 1, 13, "error parsing regexp: missing closing ): `(`"},
		{`key matches "a["`, 1, 13, "error parsing regexp: missing closing ]: `[`"},
		{`any(args, # matches "*")`, 1, 21, "error parsing regexp: missing argument to repetition operator: `*`"},
		{`exe matches ("[" + "a")`, 1, 18, "error parsing regexp: missing closing ]: `[a`"},
		{`exe matches comm`, 1, 13, `the pattern of matches is written out in quotes`},
		{`exe matches "((a{100}){100}){100}"`, 1, 13, "error parsing regexp: invalid repeat count: `{100}`"},
		{`exe matches "a{1000}b{1000}c{1000}d{1000}e{1000}"`, 1, 13, `the regular expression is too large: its repetitions multiply`},
		{`exe matches "` + strings.Repeat("a", 5000) + `"`, 1, 13, `the regular expression is too long`},
		{`type == "EXECV"`, 1, 9, `there is no record type "EXECV": did you mean EXECVE?`},
		{`type == "execve"`, 1, 9, `there is no record type "execve": did you mean EXECVE?`},
		{`type in ["SYSCALL", "USERLOGIN"]`, 1, 21, `there is no record type "USERLOGIN": did you mean USER_LOGIN?`},
		{`"PAHT" in types`, 1, 1, `there is no record type "PAHT": did you mean PATH?`},
		{`any(types, # == "PAHT")`, 1, 17, `there is no record type "PAHT": did you mean PATH?`},
		{`types[0] == "PAHT"`, 1, 13, `there is no record type "PAHT": did you mean PATH?`},
		{`errno == "EACCESS"`, 1, 10, `there is no error name "EACCESS": did you mean EACCES?`},
		{`arch == "x86-64"`, 1, 9, `there is no arch "x86-64": did you mean x86_64?`},
		{`family == "INET"`, 1, 11, `there is no address family "INET": did you mean inet?`},
		{`has_kye("x")`, 1, 1, `unknown function has_kye: did you mean has_key?`},
		{`has_key`, 1, 1, `has_key is a helper: write has_key("exec", ...)`},
		{`has_key()`, 1, 1, `has_key takes something: write has_key("exec", ...)`},
		{`has_key(exe)`, 1, 9, `exe has to be text in quotes here: write has_key("exec", ...)`},
		{`exe("x")`, 1, 1, `exe is a field, not a function`},
		{`in_net(addr, "10.0.0.0/33")`, 1, 14, `"10.0.0.0/33" is no network: write it as "10.0.0.0/8" or "2001:db8::/32"`},
		{`in_net(addr, "10.0.0.1/8")`, 1, 14, `"10.0.0.1/8" has bits set after its length: did you mean 10.0.0.0/8?`},
		{`in_net(port, "10.0.0.0/8")`, 1, 8, `in_net takes an address, and port is a number: write in_net(addr, "10.0.0.0/8", ...)`},
		{`in_net(addr)`, 1, 1, `in_net takes something: write in_net(addr, "10.0.0.0/8", ...)`},
		{`path_under("etc")`, 1, 12, `"etc" does not begin with /`},
		{`path_under("/a", "/b") or path_under("/a\x00/b")`, 1, 38, `"/a\x00/b" has a byte 0, which no path has`},
		{`field("a b") == ""`, 1, 7, `"a b" cannot be the name of a field`},
		{`field("a", "b") == ""`, 1, 1, `field takes one name: write field("reason")`},
		{`time > at("yesterday")`, 1, 11, `"yesterday" is no time: write it as "2026-11-22T05:00:00Z", or "2026-11-22 05:00:00" for local time`},
		{`time > now()`, 1, 8, `unknown function now: there are at, field, file, has_key, icontains, iends, iequals, in_net, istarts, path_under, all, any, bitand, count, int, len, lower, none, one, trim, upper`},
		{`len(map(args, # + "x")) > 1`, 1, 5, `unknown function map: there are at, field, file, has_key, icontains, iends, iequals, in_net, istarts, path_under, all, any, bitand, count, int, len, lower, none, one, trim, upper`},
		{`lower(exe, comm) == "x"`, 1, 1, `lower takes 1 argument`},
		{`bitand(exe, 1) == 1`, 1, 8, `bitand takes a number, and exe is text`},
		{`any(exe, # == "x")`, 1, 5, `any takes a list, and exe is text`},
		{`any(args, any(keys, # == "x"))`, 1, 11, `lists do not nest: any within any(LIST, ...)`},
		{`any(args, key matches "x")`, 1, 15, `in any(LIST, ...) this would be a list within a list: compare with == or move it outside`},
		{`any(args, # == 1)`, 1, 16, `# is text, 1 is a number: compare it with "1"`},
		{`count(args) == 1`, 1, 1, `count takes a condition for the elements: write count(args, # == "x")`},
		{`args[pid] == "x"`, 1, 6, `the place in a list is written out, as in args[0]`},
		{`len(1..1000000000) > 1`, 1, 6, `a range is only allowed after in, between two numbers: as in uid in 1000..1999`},
		{`uid in 5..1`, 1, 9, `nothing is in a range that ends before it begins`},
		{`uid in 1..pid`, 1, 9, `the ends of a range are numbers that are written out: as in uid in 1000..1999`},
		{`exe in 1..2`, 1, 1, `exe is text, and a range holds numbers`},
		{`exe == nil`, 1, 8, `no field is nil: what is absent is "", 0 or unset`},
		{`msg?.acct == "x"`, 1, 6, `?. is of no use here: what is absent is "", 0 or unset`},
		{`{"a": 1} == 1`, 1, 1, `{a: 1} has no place in a filter`},
		{`exe[1:2] == "x"`, 1, 4, `exe[1:2] has no place in a filter`},
		{`let exe = 1; exe == 1`, 1, 5, `there is a exe already: take another name`},
		{`let len = 1; len == 1`, 1, 5, `there is a len already: take another name`},
		{`uid % 0 == 1`, 1, 7, `division by zero`},
		{`$env.exe == "x"`, 1, 1, `unknown field $env: for a field that has no name here write field("$env")`},
		{`success ? auid : exe`, 1, 18, `one way it is a number, the other text`},
		{`auid >= 1000 ?? true`, 1, 14, `the operator ?? has no place in a filter`},
	} {
		_, err := Compile(c.src)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		text := e.Message
		if e.Hint != "" {
			text += ": " + e.Hint
		}
		if e.Line != c.line || e.Column != c.column || text != c.text {
			t.Errorf("%s\n got %d:%d: %s\nwant %d:%d: %s", c.src, e.Line, e.Column, text, c.line, c.column, c.text)
		}
	}
}

// TestErrorShowsTheLine: the caret stands below the place, whatever is before it.
func TestErrorShowsTheLine(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`exe == "é" and audi == 1`, "1:16: unknown field audi: did you mean auid?\n  exe == \"é\" and audi == 1\n                 ^"},
		{"success\nand\taudi == 1\nor failed", "2:5: unknown field audi: did you mean auid?\n  and audi == 1\n      ^"},
		{`exe in ["` + strings.Repeat("x", 300) + `"] and audi == 1`, "1:317: unknown field audi: did you mean auid?\n  ..." + strings.Repeat("x", 53) + "\"] and audi == 1\n  " + strings.Repeat(" ", 63) + "^"},
	} {
		_, err := Compile(c.src)
		if err == nil {
			t.Fatalf("%s compiles", c.src)
		}
		if d := cmp.Diff(c.want, err.Error()); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.src, d)
		}
	}
}

// TestHostileExpressionsAreRefusedSoon: whatever is asked to be compiled is refused or compiled soon.
func TestHostileExpressionsAreRefusedSoon(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	for _, c := range []struct {
		name, src string
		ok        bool
	}{
		{"brackets", many("(", 1<<20) + "true" + many(")", 1<<20), false},
		{"brackets that fit", many("(", 30000) + "true" + many(")", 30000), false},
		{"more brackets", many("(", 110) + "true" + many(")", 110), false},
		{"some brackets", many("(", 90) + "true" + many(")", 90), true},
		{"not", many("not ", 16000) + "true", false},
		{"less not", many("not ", 6000) + "true", false},
		{"!", many("!", 60000) + "true", false},
		{"more !", many("!", 6000) + "true", false},
		{"some !", many("!", 900) + "true", true},
		{"levels", many("!", 1100) + "true", false},
		{"-", "auid == " + many("-", 60000) + "1", false},
		{"?", many("true ? ", 5000) + "true" + many(" : true", 5000), false},
		{"**", "1 == 1" + many("**1", 10000), false},
		{"let", many("let a=1;", 7000) + "true", false},
		{"if", many("if true {true} else ", 900) + "{true}", true},
		{"quotes", many(`"'`, 30000), false},
		{"long", `exe == "` + many("x", 1<<20) + `"`, false},
		{"and", "success" + many(" and success", 2400), true},
		{"more and", "success" + many(" and success", 40000), true},
		{"too many and", "success" + many(" and success", 60000), false},
		{"list", `exe in ["a"` + many(`,"abc"`, 9000) + `]`, true},
		{"longer list", `exe in ["a"` + many(`,"b"`, 90000) + `]`, true},
		{"too long a list", `exe in ["a"` + many(`,"b"`, 110000) + `]`, false},
		{"range", "uid in 0.." + strconv.Itoa(math.MaxInt), true},
		{"ranges", "any(paths, len(#) in 1..100000000)", true},
		{"overflow", "uid == 9223372036854775808", false},
		{"power", "auid ** 1000000 > 1.0", true},
		{"?: of ?:", many("(", 60) + "true" + many(" ?: success)", 60), false},
		{"some ?: of ?:", many("(", 8) + "true" + many(" ?: success)", 8), true},
		{"texts that grow", `let a = exe + exe; len(a + a + a + a) > 5`, true},
		{"nothing but NULs", many("\x00", 1000), false},
		{"not UTF-8", "exe == \"\xff\"", true},
		{"a quote in a comment, then brackets", `/* " */` + many("(", 110) + "true" + many(")", 110), false},
		{"a quote in a comment, then levels", "// it's\n" + many("!", 6000) + "true", false},
		{"brackets in comments", "/*" + many("(", 200) + "*/ true // " + many("[!", 6000), true},
		{"no comment in a text", `exe == "//" and ` + many("(", 110) + "true" + many(")", 110), false},
		{"a comment without an end", "true /*/ " + many("(", 1<<19), false},
	} {
		began := time.Now()
		_, err := Compile(c.src)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
}

// TestUnknownSystemCallIsAWarning: a name that the tables do not have may be of a newer kernel.
func TestUnknownSystemCallIsAWarning(t *testing.T) {
	for _, c := range []struct {
		src  string
		want []string
	}{
		{`syscall == "execve"`, nil},
		{`syscall == "execv"`, []string{`1:12: there is no system call "execv" in the tables: did you mean execve?`}},
		{`syscall not in ["openat", "opnat"]`, []string{`1:27: there is no system call "opnat" in the tables: did you mean openat?`}},
		{"uid == 0 and\n(syscall == \"new_in_2030\" or syscall == \"execve\")", []string{`2:13: there is no system call "new_in_2030" in the tables`}},
		{`"execv" == syscall or syscall in ["execv", "openat"]`, []string{
			`1:1: there is no system call "execv" in the tables: did you mean execve?`, `1:35: there is no system call "execv" in the tables: did you mean execve?`}},
		{`syscall in ["uretprobe", "file_setattr", "riscv_hwprobe", ""]`, nil},
	} {
		f, err := Compile(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		var got []string
		for _, w := range f.Warnings() {
			line, _, _ := strings.Cut(w.Error(), "\n")
			got = append(got, line)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.src, diff)
		}
	}
}

// TestLongExpressions: an expression may have a mebibyte. It is compiled soon, and a report of it is written soon, in whatever way it is long.
func TestLongExpressions(t *testing.T) {
	t.Parallel()
	many := func(part string) string { return strings.Repeat(part, (maxSource-100)/len(part)) }
	l := lines(t, cat...)
	for name, src := range map[string]string{
		"one text":       `exe == "` + strings.Repeat("x", maxSource-20) + `"`,
		"or":             `exe == "a"` + many(` or exe contains "some longer text"`),
		"unknown calls":  `exe == "a"` + many(` or syscall == "some_newer_call"`),
		"unknown types":  `exe == "a"` + many(` or type == "SOME_NEWER_TYPE"`),
		"list":           `exe in ["a"` + many(`, "/usr/bin/something"`) + `]`,
		"words":          `icontains(exe, "a"` + many(`, "/usr/bin/something"`) + `)`,
		"as one":         `(exe == "a"` + many(` or exe contains "some longer text"`) + `) == true`,
		"fields":         `exe == "a"` + many(` or field("name-of-one") == field("and-another")`),
		"divisions":      `exe == "a" or (pid` + many(` + pid % ppid`)[:30000] + ` > 5)`,
		"regex":          `exe == "a"` + many(` or exe matches "usr/[a-z]+/cat"`),
		"large regex":    `exe == "a"` + many(` or exe matches "(a{70}){70}"`),
		"chain":          `success` + many(` == success`),
		"comparisons":    `1` + many(` < pid`),
		"two levels":     `exe == "a"` + many(` or exe != "bcd" and success`),
		"nothing known":  many(`foo.bar(1) or `) + "true",
		"strings of not": `exe == "a" or icontains(exe, "x"` + many(`, "not let if not let if !=-+"`) + `)`,
		"one word":       `icontains(exe, "` + strings.Repeat("xy", maxSource/2-20) + `")`,
		"in any":         `any(paths, # == "a"` + many(` or icontains(#, "some longer text")`) + `)`,
		"equal":          `exe == "a"` + many(` or exe == "some longer text"`),
	} {
		began := time.Now()
		if set, errs, _ := NewRules(map[string]string{"long": src}); len(errs) == 0 {
			set.New().Match(&l.batch, 0, len(l.batch.Recs))
		}
		f, err := Compile(src)
		if err == nil {
			m := f.New()
			keep, _ := m.Keep(&l.batch, 0, len(l.batch.Recs))
			if steps := m.Explain(&l.batch, 0, len(l.batch.Recs)); steps[0].Value != keep || len(steps[0].Expr) > 300 {
				t.Errorf("%s: keep %v, explained %v", name, keep, steps[0])
			}
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		took := time.Since(began)
		t.Logf("%s: %d bytes, %v: %v", name, len(src), took.Round(time.Millisecond), err)
		if took > time.Minute { // it is a second; a square would be an hour
			t.Errorf("%s took %v", name, took)
		}
	}
}

// TestBracketsAreCountedAfterComments: what stands in a comment hides nothing of what comes after it from the bounds, and
// brackets in one are none.
func TestBracketsAreCountedAfterComments(t *testing.T) {
	for src, want := range map[string]string{
		`/* " */` + strings.Repeat("(", 110) + "true":       "1:108: there are too many brackets within each other",
		"// it's\n" + strings.Repeat("(", 110) + "true":     "2:101: there are too many brackets within each other",
		"/* ` */" + strings.Repeat("!", maxSigns+1) + "x":   "it has more than 5000 operators",
		`exe == "/*" and ` + strings.Repeat("(", 110) + "x": "there are too many brackets within each other",
	} {
		if _, err := Compile(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %.200v", src, err)
		}
	}
}

// TestNamesOfFieldsAreNotWrittenTo: several expressions may be compiled at a time, and each hint adds words to the list.
func TestNamesOfFieldsAreNotWrittenTo(t *testing.T) {
	a, b := append(fieldNames, "a"), append(fieldNames, "b")
	if n := len(fieldNames); a[n] != "a" || b[n] != "b" {
		t.Errorf("%q, %q", a[n], b[n])
	}
}
