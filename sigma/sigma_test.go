package sigma

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/filter"
)

// TestExpressions: what is made of rules, for those who read it.
func TestExpressions(t *testing.T) {
	for _, c := range []struct{ source, detection, want string }{
		{process, "s: {Image|endswith: [/nc, /ncat], CommandLine|contains|all: [a, b]}\ncondition: s", `type == "EXECVE" and iends(exe, "/nc", "/ncat") and icontains(cmdline, "a") and icontains(cmdline, "b")`},
		{process, "s: {ParentImage|endswith: /nginx, ParentCommandLine|contains: -c}\ncondition: s", `type == "EXECVE" and iends(parent.exe, "/nginx") and icontains(parent.cmdline, "-c")`},
		{network, "s: {ParentImage: /bin/sh}\ncondition: s", connects + ` and iequals(parent.exe, "/bin/sh")`},
		{files, "s: {TargetFilename: /etc/x}\nf: {Image: /bin/y}\ncondition: s and not f", `type == "PATH" and success and any(created_paths, iequals(#, "/etc/x") and not (iequals(exe, "/bin/y")))`},
		{network, "s: {DestinationPort: 22, Initiated: 'true'}\ncondition: s", connects + ` and port == 22`},
		{auditd, "a: {type: PATH, name: /a}\nb: {type: EXECVE, a0: b}\ncondition: a or b", `(type == "PATH" and iequals(full_path, "/a")) or (type == "EXECVE" and iequals(args[0], "b"))`},
		{auditd, "a: {type: SYSCALL, a1|endswith: ff, exit: -13}\ncondition: a", `type == "SYSCALL" and iends(field("a1"), "ff") and exit == -13`},
		{auditd, "a: {type: SYSCALL, a0: [26, '0x26']}\ncondition: a", `type == "SYSCALL" and (a0 == 0x26 or iends(field("a0"), "00000026"))`},
		{auditd, "a: {type: SYSCALL, a0: [26, 80000000, 100000000]}\ncondition: a", `type == "SYSCALL" and (field("a0") in ["26", "80000000", "100000000"] or iends(field("a0"), "00000026", "80000000"))`},
		{auditd, "a: {type: SYSCALL, a1: fffffffffff}\ncondition: a", `type == "SYSCALL" and field("a1") == "fffffffffff"`},
		{auditd, "a: {type: SYSCALL, auid: 4294967295}\ncondition: a", `type == "SYSCALL" and auid == unset and field("auid") != ""`},
		{auditd, "a: {type: SYSCALL, auid|gt: -1}\ncondition: a", `type == "SYSCALL" and auid > -1 and field("auid") != ""`},
		{auditd, "a: {type: USER_LOGIN, acct|all: [null, root]}\ncondition: a", `type == "USER_LOGIN" and acct == "" and iequals(acct, "root")`},
		{auditd, "a: {comm: ''}\ncondition: a", `comm == ""`},
		{auditd, "a: {type: EXECVE, a01: x}\ncondition: a", `type == "EXECVE" and iequals(field("a01"), "x")`},
		{auditd, "a: {SYSCALL: null}\ncondition: a", `syscall == ""`},
		{auditd, "a: {type: PATH}\nb: {type: PATH, name: /x}\ncondition: a or b", `type == "PATH"`},
		{files, "s_a: {Image: /a}\ns_b: {TargetFilename: b}\ncondition: 1 of s_*", `type == "PATH" and success and any(created_paths, iequals(exe, "/a") or iequals(#, "b"))`},
		{files, "s_a: {TargetFilename: a}\ns_b: {TargetFilename: b}\ncondition: 1 of s_*", `type == "PATH" and success and (iequals(created, "a") or iequals(created, "b"))`},
		{process, "s: {'|re': [a+]}\ncondition: s", `type == "EXECVE" and text matches "a+"`},
		{auditd, "a: {exe: ['*', 'a*b', null]}\ncondition: a", `exe != "" or exe matches "(?is)^a.*b$" or exe == ""`},
		{auditd, "a: {exe: 'C:\\\\x\\y\\*'}\ncondition: a", `iequals(exe, "C:\\x\\y*")`},
	} {
		rules, err := Convert([]byte(document(c.source, c.detection)))
		if err != nil || len(rules) != 1 || rules[0].Err != nil || rules[0].Expr != c.want {
			t.Errorf("%s\n got %v, %v\nwant %s", c.detection, rules, err, c.want)
		}
	}
}

// TestRefusals: what does not convert says why and where.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{document(process, "s: {Hashes: x}\ncondition: s"), `line 6: field "Hashes": records have no checksums`},
		{document(process, "s: {Nothing: x}\ncondition: s"), `field "Nothing": the records of such an event have nothing that it could mean`},
		{document(network, "s: {DestinationHostname: x}\ncondition: s"), `the kernel knows addresses, not names`},
		{document(process, "s: {Image|wat: x}\ncondition: s"), `line 6: modifier "wat" is not known here`},
		{document(process, "s: {Image|fieldref: x}\ncondition: s"), `modifier "fieldref" is not known here`},
		{document(process, "s: {Image|: x}\ncondition: s"), `modifier "" is not known here`},
		{document(process, "s: {Image|contains|: x}\ncondition: s"), `modifier "" is not known here`},
		{document(process, "s: {Image|re: '(?<=a)b'}\ncondition: s"), `the expression for it is not accepted`},
		{document(process, "s: {Image: x}\ncondition: s | count() > 5"), `line 7: has an aggregation in its condition, which needs more than one event`},
		{document(process, "s: {Image: x}\ntimeframe: 5m\ncondition: s"), `has a timeframe, which needs more than one event`},
		{document(process, "s: {Image: x}\ncondition: t"), `condition: there is no selection "t"`},
		{document(process, "s: {Image: x}\ncondition: 1 of t*"), `condition: there is no selection "t*"`},
		{document(process, "_s: {Image: x}\ncondition: 1 of _*"), `condition: there is no selection "_*"`},
		{document(process, "s: {Image: x}\ncondition: 2 of s*"), `condition: "2" of is not known`},
		{document(process, "s: {Image: x}\ncondition: (s"), `condition: a bracket is not closed`},
		{document(process, "s: {Image: x}\ncondition: s s"), `condition: "s" is not expected`},
		{document(process, "s: {Image: x}\ncondition: s and"), `condition ends too early`},
		{document(process, "s: {Image: x}\ncondition: ''"), `condition ends too early`},
		{document(process, "s: {Image: x}"), `has no condition`},
		{document(process, "condition: s"), `has no selection`},
		{document(process, "s: {}\ncondition: s"), `has an empty selection`},
		{document(process, "s: []\ncondition: s"), `has an empty selection`},
		{document(process, "s: {Image: []}\ncondition: s"), `has an empty list`},
		{document(process, "s: {Image: {a: b}}\ncondition: s"), `has a value that is neither text nor a number`},
		{document(network, "s: {DestinationPort: ssh}\ncondition: s"), `port is a number, and "ssh" is none`},
		{document(network, "s: {DestinationPort|contains: 2}\ncondition: s"), `port is a number, which takes no such modifier`},
		{document(network, "s: {DestinationIp|cidr: x}\ncondition: s"), `"x" is no network`},
		{document(auditd, "s: {type: NO SUCH}\ncondition: s"), `"NO SUCH" is no type of records`},
		{document(auditd, "s: {type: SYSCALL, a0: zz}\ncondition: s"), `"zz" is no argument of a system call`},
		{document(auditd, "s: {type: SYSCALL, a4: 1}\ncondition: s"), `SYSCALL records have a0 to a3`},
		{document(auditd, "s: {type: [SYSCALL, EXECVE], a1: 1}\ncondition: s"), `means one thing in EXECVE records and another in SYSCALL records`},
		{document(auditd, "s: {'a b': 1}\ncondition: s"), `no record has a field of such a name`},
		{document(auditd, "s: &x {exe: 1}\nt: *x\ncondition: s"), `has an alias or an anchor: write the values out`},
		{document(auditd, "s: {exe: 1, exe: 2}\ncondition: s"), `has the key "exe" twice`},
		{document(process, "s: {Image|base64|contains: 'a*b'}\ncondition: s"), `modifier base64 for a value with wildcards`},
		{document(process, "s: {Image|base64|base64: x}\ncondition: s"), `modifier base64 stands there twice`},
		{document(process, "s: {Image|contains|base64: x}\ncondition: s"), `modifier base64 has to stand before contains`},
		{document(process, "s: {Image|utf16|contains: x}\ncondition: s"), `"x" is no text any more after the modifiers`},
		{document(process, "s: {CommandLine|windash|contains: ' -a -b -c -d'}\ncondition: s"), `modifier windash for a value with more than 3 options`},
		{document(process, "s: {Image|contains|startswith: x}\ncondition: s"), `modifiers contains, startswith do not go together`},
		{document(process, "s: {Image|re|contains: x}\ncondition: s"), `modifiers re, contains do not go together`},
		{document(process, "s: {Image|re|cased: x}\ncondition: s"), `modifiers re, cased do not go together`},
		{document(process, "s: {Image|i: x}\ncondition: s"), `modifiers i do not go together`},
		{document(process, "s: {Image|exists|all: true}\ncondition: s"), `modifiers exists, all do not go together`},
		{document(network, "s: {DestinationIp|base64|cidr: 10.0.0.0/8}\ncondition: s"), `modifiers base64, cidr do not go together`},
		{document(network, "s: {DestinationPort|lt|gt: 5}\ncondition: s"), `modifiers lt, gt do not go together`},
		{document(network, "s: {DestinationIp|cidr|all: [10.0.0.0/8, 10.0.0.0/16]}\ncondition: s"), `modifier all for a field that has one value`},
		{document(network, "s: {DestinationPort: 010}\ncondition: s"), `port is a number, and "010" is none`},
		{document(network, "s: {Initiated|contains: 'true'}\ncondition: s"), `modifier contains for a field that takes none`},
		{document(auditd, "s: {success|all: ['yes', 'no']}\ncondition: s"), `modifier all for a field that has one value`},
		{document(auditd, "s: {type: SYSCALL, SYSCALL|all: [read, write]}\ncondition: s"), `modifier all for a field that has one value`},
		{document(auditd, "s: {type: SYSCALL, syscall|startswith: 5}\ncondition: s"), `has the number of a system call with a modifier`},
		{document(auditd, "s: {type: SYSCALL, syscall: [59, 'open*']}\ncondition: s"), `has the number of a system call with a modifier, or beside a wildcard`},
		{document(auditd, "s: {type|neq: PATH}\ncondition: s"), `modifier neq for a field of which an event may have several values`},
		{document(auditd, "s: {type: PATH, name|neq: /x, exe: /y}\ncondition: s"), `modifier neq for a field of which an event may have several values`},
		{document(process, "s: {Image|neq|neq: x}\ncondition: s"), `modifier neq stands there twice`},
		{document(auditd, "s: {type: null}\ncondition: s"), `"null" is no type of records`},
		{document(auditd, "s: {exe|contains: null}\ncondition: s"), `null takes no modifier`},
		{document(auditd, "s: {exe|re: null}\ncondition: s"), `null takes no modifier`},
		{document(auditd, "s: {type: SYSCALL, SYSCALL: read}\nt: {type: EXECVE}\nu: {a1: 1}\ncondition: s and u or t"), `means one thing in EXECVE records and another in SYSCALL records`},
		{document(files, "s: {TargetFilename: null}\ncondition: s"), `asks for a file without a name`},
		{document(auditd, "s: {type: PATH, name: ''}\ncondition: s"), `asks for a file without a name`},
		{document(process, "s: {Image: !!binary eA==}\ncondition: s"), `has a tag, "!!binary"`},
		{"title: x\ndetection: {s: {a: b}, condition: s}\n", `has no logsource`},
		{"title: x\nlogsource: {product: linux, service: auditd}\n", `has no detection`},
		{"title: x\ncorrelation: {type: event_count}\n", `is a correlation, which needs more than one event`},
		{"action: global\ntitle: x\n", `is a collection (action)`},
		{"- a\n- b\n", `is no Sigma rule`},
		{document(process, "s: {<<: {Image: x}}\ncondition: s"), `line 6: has the key <<, which merges mappings`},
		{"title: x\nlogsource: {product: windows, category: process_creation}\n", `is for another log source, windows process_creation`},
		{"title: x\nlogsource: {product: linux, service: sshd}\n", `is for another log source, linux sshd`},
		{"title: " + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "\n", `more than 20 lists and mappings within each other`},
	} {
		rules, err := Convert([]byte(c.yaml))
		if err != nil || len(rules) != 1 || rules[0].Err == nil || !strings.Contains(rules[0].Err.Error(), c.want) {
			t.Errorf("%s\n%v, %v, want %s", c.yaml, rules, err, c.want)
		}
	}
	for _, text := range []string{"a: [", "a: b: c", "\x00", strings.Repeat("x", MaxFile+1), strings.Repeat("--- a\n", maxDocuments+2)} {
		if _, err := Convert([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	if rules, err := Convert([]byte("---\n---\n")); len(rules) > 0 || err != nil {
		t.Errorf("empty documents: %v, %v", rules, err)
	}
}

// TestCollectionIsRefused: a document that has a part of its rule from the one before is not converted without it.
func TestCollectionIsRefused(t *testing.T) {
	rule := document(process, "s: {Image: x}\ncondition: s")
	text := rule + "---\naction: global\ndetection: {f: {Image: y}, condition: s and not f}\n---\n" + rule + "---\nlogsource: {service: auditd}\n---\naction: reset\n---\n" + rule
	rules, err := Convert([]byte(text))
	var converted []bool
	for _, r := range rules {
		converted = append(converted, r.Err == nil)
		if errors.Is(r.Err, ErrElsewhere) || (r.Err != nil && !strings.Contains(r.Err.Error(), "a collection (action)")) {
			t.Errorf("%v", r.Err)
		}
	}
	if want := []bool{true, false, false, false, false, true}; err != nil || !slices.Equal(converted, want) {
		t.Errorf("converted %v, %v", converted, err)
	}
}

// TestPartsOfCorrelationsAreRefused: a rule that a correlation counts is none by itself, unless the correlation says so.
func TestPartsOfCorrelationsAreRefused(t *testing.T) {
	rule := document(process, "s: {Image: x}\ncondition: s")
	text := "title: c\ncorrelation:\n  type: event_count\n  rules: [login, 0-1]\n---\nname: login\n" + rule + "---\nid: 0-1\n" + rule + "---\nname: other\nid: 0-2\n" + rule +
		"---\ntitle: d\ngenerate: true\ncorrelation: {type: temporal, rules: both}\n---\nname: both\n" + rule + "---\ntitle: e\ncorrelation: {rules: [{a: b}, both]}\n"
	rules, err := Convert([]byte(text))
	var why []string
	for _, r := range rules {
		if r.Err == nil {
			why = append(why, "")
			continue
		}
		_, text, _ := strings.Cut(r.Err.Error(), "is ")
		why = append(why, text)
	}
	const correlation, part = "a correlation, which needs more than one event", "only a part of the correlation in line 3, which needs more than one event"
	want := []string{correlation, part, part, "", correlation, "", correlation}
	if err != nil || !slices.Equal(why, want) {
		t.Errorf("%q, %v", why, err)
	}
}

// TestSelectionNamedOftenIsBounded: a small file cannot ask for a large expression.
func TestSelectionNamedOftenIsBounded(t *testing.T) {
	long := strings.Repeat("x", 10000)
	rules, err := Convert([]byte(document(process, "s: {Image: "+long+"}\ncondition: s"+strings.Repeat(" or s", 400))))
	if err != nil || !errors.Is(rules[0].Err, errTooLong) {
		t.Errorf("%v", err)
	}
	if rules, _ := Convert([]byte(document(process, "s: {Image: x}\ncondition: s"+strings.Repeat(" or s", 2000)))); rules[0].Err == nil || !strings.Contains(rules[0].Err.Error(), "more than 1000 words") {
		t.Errorf("%v", rules[0].Err)
	}
}

// TestManyConditionsAreBounded: each "of" may mean all selections, so what counts is the words of all conditions.
func TestManyConditionsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 900 {
		fmt.Fprintf(&b, "s%d: {Image: x}\n", i)
	}
	b.WriteString("condition:\n")
	for range 2000 {
		b.WriteString("  - 1 of s* or all of s*\n")
	}
	rules, err := Convert([]byte(document(process, b.String())))
	if err != nil || rules[0].Err == nil || !strings.Contains(rules[0].Err.Error(), "more than 1000 words") {
		t.Errorf("%v, %.200v", err, rules)
	}
	if rules, _ := Convert([]byte(document(process, "s: {Image: x}\ncondition: 1 of "+strings.Repeat("*", maxNames+1)))); rules[0].Err == nil || !strings.Contains(rules[0].Err.Error(), "is too long") {
		t.Errorf("%v", rules)
	}
}

// TestLongValuesAreRefusedSoon: what a value of a few bytes may become is bounded, and so is the time for a long one.
func TestLongValuesAreRefusedSoon(t *testing.T) {
	values := strings.Repeat("  - '"+strings.Repeat("x", 400)+" -a -b -c'\n", 2000)
	for name, detection := range map[string]string{
		"wildcards":   "s: {Image: 'a" + strings.Repeat("?", 900_000) + "b'}\ncondition: s",
		"options":     "s:\n CommandLine|windash|contains:\n" + values + "condition: s",
		"all options": "s:\n CommandLine|windash|contains|all:\n" + values + "condition: s",
		"encodings":   "s: {'Image|windash|wide|utf16le|utf16be|utf16|base64|base64offset': '" + strings.Repeat("x", 900_000) + " -a -b -c'}\ncondition: s",
		"one of them": "s: {'Image|base64offset|base64': '" + strings.Repeat("x", 900_000) + "'}\ncondition: s",
		"modifiers":   "s:\n ? Image" + strings.Repeat("|base64offset", 1000) + "\n : x\ncondition: s", // a key without ? is shorter
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		if rules, err := Convert([]byte(document(process, detection))); err != nil || rules[0].Err == nil || len(rules[0].Err.Error()) > 1000 {
			t.Errorf("%s: %v, %.200v", name, err, rules)
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 256<<20 {
			t.Errorf("%s took %d MiB", name, (after.TotalAlloc-before.TotalAlloc)>>20)
		}
		if took := time.Since(began); took > 20*time.Second { // it is a second; a square is many minutes
			t.Errorf("%s took %v", name, took)
		}
	}
}

// TestLongRuleIsConverted: a rule that is looked at more than once does not count for more than it is.
func TestLongRuleIsConverted(t *testing.T) {
	values := strings.Repeat("  - '/"+strings.Repeat("x", 300)+"'\n", 2000)
	rules, err := Convert([]byte(document(auditd, "s:\n type: PATH\n nametype: CREATE\n name:\n"+values+"condition: s")))
	if err != nil || rules[0].Err != nil || len(rules[0].Expr) < 600_000 {
		t.Errorf("%v, %.200v", err, rules)
	}
}

// TestHostileFilesAreReadSoon: whatever a file is full of, it is rules or an error before long.
func TestHostileFilesAreReadSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a hundred files of a megabyte")
	}
	t.Parallel()
	for _, part := range []string{
		"#\n", "a: b #c\n", "# x\n- a\n", "- ", "? ", "[", "{a: ", "{", "!!a ", "&a ", "*a ", "'", "\"\\x", "\n", " \n", "--- \n", "--- a\n", "a:\n", "|\n", ">\n x\n", "%A\n", ",", ": ", "a: [", "- - a\n", "- [a,\n", "\t", "a\n\n#b\n", "- a\n #b\n", "? a\n: b\n",
	} {
		for name, text := range map[string]string{
			"alone":         strings.Repeat(part, MaxFile/len(part)),
			"in a rule":     document(process, "s:\n    Image:\n      "+strings.Repeat(part, (MaxFile-200)/len(part))+"\ncondition: s"),
			"in a sequence": "[" + strings.Repeat(part+",", (MaxFile-2)/(len(part)+1)) + "]",
		} {
			if len(text) > MaxFile {
				continue
			}
			began := time.Now()
			if _, err := Convert([]byte(text)); err != nil && len(err.Error()) > 1000 {
				t.Errorf("%q %s: an error of %d bytes", part, name, len(err.Error()))
			}
			if took := time.Since(began); took > 30*time.Second { // it is a second; a square is many minutes
				t.Errorf("%q %s: took %v", part, name, took)
			} else if took > time.Second {
				t.Logf("%q %s: %v", part, name, took)
			}
		}
	}
}

// TestDashes: each option of a text stands with each dash, and what is no option stays.
func TestDashes(t *testing.T) {
	for text, want := range map[string]int{"x": 1, "-a": 5, "x -a": 5, "-a -b": 25, "/a --b x-y": 25, "x-y": 1, "é-a": 1, "- a": 1, "": 1, "-é": 5} {
		forms := dashes(text)
		slices.Sort(forms)
		if n := len(slices.Compact(forms)); n != want || !slices.Contains(forms, text) {
			t.Errorf("%q: %q", text, forms)
		}
	}
	if !slices.Contains(dashes("-a /b"), "/a -b") || !slices.Contains(dashes("-a /b"), "–a ―b") {
		t.Errorf("%q", dashes("-a /b"))
	}
}

func TestStarsInNamesOfSelections(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "a", true}, {"a*", "ab/c", true}, {"*", "", true}, {"*b", "ab", true}, {"*b", "ba", false}, {"a*b", "ab", true}, {"a*a", "a", false},
		{"a*b*c", "axbyc", true}, {"a*b*c", "acb", false}, {"*x*", "axb", true}, {"*x*", "ab", false}, {"a?", "ab", false}, {"a[b]", "ab", false}, {"a[b]*", "a[b]c", true}, {"**", "x", true}, {"", "", true}, {"", "a", false},
	} {
		if got := matchesStars(c.pattern, c.name); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.name, got)
		}
	}
}

// TestNamesOfRulesAreUnique: also where many have one title, and one has what another would get.
func TestNamesOfRulesAreUnique(t *testing.T) {
	var s Section
	for _, title := range []string{"a", "a", "a (2)", "a", "A", "", "\x00", "it's"} {
		s.Add(Rule{Title: title, Expr: `exe == "x'y"`}, "f.yml")
	}
	var names []string
	for line := range strings.Lines(s.String()) {
		if name, _, ok := strings.Cut(line, " = "); ok {
			names = append(names, name)
		}
	}
	want := []string{"'a'", "'a (2)'", "'a (2) (2)'", "'a (3)'", "'A'", "'untitled'", "'untitled (2)'", `"it's"`}
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}

	began := time.Now()
	for range 50_000 {
		s.Add(Rule{Title: "same", Expr: "true"}, "f.yml")
	}
	if took := time.Since(began); took > 10*time.Second { // it is a tenth of one; a square is a quarter of an hour
		t.Errorf("took %v", took)
	}
}

// FuzzConvert: any file is rules or an error, soon; each rule has an expression that compiles, or says in one line why not.
func FuzzConvert(f *testing.F) {
	for _, c := range ours {
		f.Add([]byte(document(c.source, c.detection)))
	}
	for _, s := range []string{"a: &a [*a]\n", "a: &a {b: 1}\nc: {<<: *a}\n", "? [a]\n: b\n", "!!binary x", "--- a\n--- b\n", "%YAML 1.1\n---\na: !!float 1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := Convert(data)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
		var s Section
		for _, r := range rules {
			if (r.Err == nil) == (r.Expr == "") || (r.Err != nil && strings.Contains(r.Err.Error(), "\n")) {
				t.Errorf("%+v", r)
			}
			if r.Err != nil {
				continue
			}
			if _, err := filter.Compile(r.Expr); err != nil {
				t.Errorf("%s\n%v", r.Expr, err)
			}
			s.Add(r, "x.yml")
		}
	})
}
