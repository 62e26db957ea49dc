package filter

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/test/lab"
)

// TestRulesAreAsFilters: what rules that are asked together say of an event is what each says as a filter of its own.
func TestRulesAreAsFilters(t *testing.T) {
	l := world(t)
	holds, not := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		sources, alone := make(map[string]string), make(map[string]*Matcher)
		g := newGenerator(rt)
		for i := range g.below(12) + 1 {
			src := g.rule()
			f, err := Compile(src)
			if err != nil {
				continue // the generator of filters makes some that are wrong
			}
			name := fmt.Sprintf("rule %02d", i)
			sources[name], alone[name] = src, f.New()
		}
		set, errs, _ := NewRules(sources)
		if len(errs) > 0 {
			rt.Fatalf("%v", errs)
		}
		if set == nil {
			return
		}

		rules := set.New()
		for _, e := range l.events {
			got := rules.Match(&l.batch, e[0], e[1])
			for name, m := range alone {
				want, err := m.Keep(&l.batch, e[0], e[1])
				if err == ErrUnread || err == errLongList {
					continue // alone, what the list is not needed for may come before it
				}
				want = want && err == nil
				if slices.Contains(got, name) != want {
					rt.Fatalf("%s\n%s\n%v together, alone %v, %v", sources[name], l.text(e), !want, want, err)
				}
				if want {
					holds++
				} else {
					not++
				}
			}
			if !slices.IsSorted(got) {
				rt.Fatalf("not sorted: %q", got)
			}
		}
	})
	if !testing.Short() && (holds < 1000 || not < 1000) {
		t.Errorf("%d hold, %d do not: that compares little", holds, not)
	}
}

// rule writes what rules are mostly made of, or any filter.
func (g *generator) rule() string {
	if g.below(4) == 0 {
		return g.flag(3)
	}
	field := func() string {
		return g.pick("exe", "comm", "cmdline", "path", "full_path", "key", "text", "proctitle", "created", "args[0]", "args[1]", "cwd", "type", `field("acct")`, "lower(cmdline)", "upper(comm)")
	}
	about := func(f string) string {
		switch g.below(6) {
		case 0:
			return f + " " + g.pick("contains", "startsWith", "endsWith", "==", "!=", "not contains") + " " + g.word()
		case 1:
			return f + " matches " + g.pick(`"(?i)BIN/ENV|bash"`, `"/usr/bin/.*"`, `"(?i)\\.SH$"`, `"^root"`, `"(exec|net)+"`, `"cloudsdk"`, `"[sl]s|-[lC]"`, `"[^/]{12,}$"`, `"(?i)K"`, `"^$"`)
		case 2:
			return f + " " + g.pick("in", "not in") + " [" + g.words() + "]"
		case 3:
			return g.word() + " == " + f
		}
		return g.pick("icontains", "istarts", "iends", "iequals") + "(" + f + ", " + g.words() + ")"
	}
	one := func() string {
		switch g.below(6) {
		case 0:
			return g.pick("any", "any", "all", "none", "one") + "(" + g.pick("paths", "full_paths", "args", "keys", "created_paths", "records") + ", " + about(g.pick("#", "#", "lower(#)")) + " " + g.pick("and", "or", "and not") + " " + about("#") + ")"
		case 1:
			return g.pick(`"fim" in keys`, `"/etc" in paths`, `has_key("exec")`, `has_key("fim", "net")`, `syscall == "execve"`, `syscall in ["openat", "connect"]`, `type in ["EXECVE", "PATH"]`, `main_type == "SYSCALL"`,
				`family == "inet"`, `path_under("/etc")`, `uid == 0`, `any(args, icontains(#, "e") and path_under("/home") == (int(uid == 0 ? "1" : "0") > 0))`)
		}
		return about(field())
	}
	src := one()
	for range g.below(4) {
		src += " " + g.pick("and", "or", "and not") + " (" + one() + ")"
	}
	return src
}

// TestRulesWithErrors: a rule that is wrong is left out and said, and the others are asked.
func TestRulesWithErrors(t *testing.T) {
	set, errs, warnings := NewRules(map[string]string{
		"good": `iends(exe, "/cat")`, "wrong": `ex == "x"`, "asks a rule": `"good" in rules`, "new call": `syscall == "opennew"`, "broken": `(`, "of many parts": "let a = auid; a == 1000", "after": "auid == 1000",
	})
	var got []string
	for _, e := range errs {
		line, _, _ := strings.Cut(e.Error.Error(), "\n")
		got = append(got, e.Name+" "+line)
	}
	want := []string{
		`asks a rule 1:11: there are no rules here: they stand in the table [rules] of the configuration, and none can ask for another`,
		`broken 1:1: the expression ends too early`, `wrong 1:1: unknown field ex: did you mean exe?`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("errors %q", got)
	}
	if len(warnings) != 1 || warnings[0].Name != "new call" {
		t.Errorf("warnings %v", warnings)
	}
	if names := set.Names(); !slices.Equal(names, []string{"after", "good", "new call", "of many parts"}) {
		t.Errorf("rules %q", names)
	}

	l := lines(t, cat...)
	if got := set.New().Match(&l.batch, 0, len(l.batch.Recs)); !slices.Equal(got, []string{"after", "good", "of many parts"}) {
		t.Errorf("%q", got)
	}
	if set, errs, _ := NewRules(nil); set != nil || errs != nil {
		t.Error("rules of nothing")
	}
}

// TestWrongRulesTakeNothingFromOthers: what all rules together may have is not used up by one that is left out.
func TestWrongRulesTakeNothingFromOthers(t *testing.T) {
	dir := t.TempDir()
	file := func(n int) string {
		path := filepath.Join(dir, strconv.Itoa(n))
		writeList(t, path, "/usr/bin/cat\n")
		return `exe in file("` + path + `")`
	}
	files := file(0)
	for n := range maxLists {
		files += " or " + file(n+1)
	}
	set, errs, _ := NewRules(map[string]string{
		"a files": files, "b file": file(100),
		"c patterns": `exe == "x"` + strings.Repeat(` or exe matches "x{1000}y{1000}"`, 60), "d pattern": `exe matches "c(a){1,900}t"`,
	})
	if len(errs) != 2 || errs[0].Name != "a files" || errs[1].Name != "c patterns" {
		t.Errorf("errors %v", errs)
	}
	if names := set.Names(); !slices.Equal(names, []string{"b file", "d pattern"}) {
		t.Errorf("rules %q", names)
	}
	if n := len(set.Lists()); n != 1 {
		t.Errorf("%d lists", n)
	}
	l := lines(t, cat...)
	if got := set.New().Match(&l.batch, 0, len(l.batch.Recs)); !slices.Equal(got, []string{"b file", "d pattern"}) {
		t.Errorf("%q", got)
	}
}

// TestFilterAsksRules: a filter can ask for rules by their names, and a name that there is not is an error.
func TestFilterAsksRules(t *testing.T) {
	set, _, _ := NewRules(map[string]string{"cat of root": `exe endsWith "/cat" and uid == 0`, "login": `type == "USER_LOGIN"`, "fails": `int(tty) == 1`})
	l := lines(t, cat...)
	for src, want := range map[string]bool{
		`"cat of root" in rules`:                     true,
		`"login" in rules`:                           false,
		`"fails" in rules`:                           false,
		`"fails" not in rules`:                       true,
		`any(rules, # startsWith "cat")`:             true,
		`any(rules, # in ["login", "cat of root"])`:  true,
		`len(rules) == 1`:                            true,
		`len(rules) == 1 and key == "priv"`:          true,
		`not ("login" in rules) and exe contains ""`: true,
	} {
		f, err := CompileWith(src, set)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		m := f.New()
		for range 2 {
			if got, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); got != want || err != nil {
				t.Errorf("%s: %v, %v", src, got, err)
			}
			m = m.Renew()
		}
		if may, err := m.MayKeep(&l.batch, 0, 1); !may || err != nil {
			t.Errorf("%s: a part may be kept: %v, %v", src, may, err)
		}
	}
	_, err := CompileWith(`"cat of roof" in rules`, set)
	if err == nil || !strings.Contains(err.Error(), `there is no rule "cat of roof": did you mean cat of root?`) {
		t.Error(err)
	}
}

// pathRecords returns so many PATH records, without their ids.
func pathRecords(n int) (records []string) {
	for i := range n {
		records = append(records, fmt.Sprintf(`PATH item=%d name="/%d" nametype=NORMAL`, i, i))
	}
	return records
}

// TestEachRuleFailsByItself: a field that cannot be read fails each rule that needs it, the first of them and the others, and no rule that
// does not.
func TestEachRuleFailsByItself(t *testing.T) {
	l := lines(t, event(pathRecords(maxList+10)...)...)
	set, errs, _ := NewRules(map[string]string{
		"a list": `"/7" in paths`, "b list": `"/7" in paths`, "c not": `"/7" not in paths`, "d not": `not (path contains "/x")`,
		"e search": `path contains "/7"`, "f search": `icontains(path, "/7")`, "g length": `len(paths) > 5`, "h other": `serial > 0`, "i element": `paths[0] == "/0"`,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	rules := set.New()
	for range 2 {
		if got := rules.Match(&l.batch, 0, len(l.batch.Recs)); !slices.Equal(got, []string{"h other"}) {
			t.Errorf("%q", got)
		}
	}
	set, _, _ = NewRules(map[string]string{"a": `icontains(path, "nowhere")`, "b": `icontains(cwd, "srv")`})
	with := lines(t, event(append([]string{`CWD cwd="/srv"`}, pathRecords(maxList+10)...)...)...)
	if got := set.New().Match(&with.batch, 0, len(with.batch.Recs)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("of another field: %q", got)
	}

	usual := lines(t, cat...)
	if got := rules.Match(&usual.batch, 0, len(usual.batch.Recs)); !slices.Equal(got, []string{"c not", "d not", "h other"}) {
		t.Errorf("the errors stay: %q", got)
	}
}

// TestRulesTakeNoMemory: once their Matcher has grown, events take none.
func TestRulesTakeNoMemory(t *testing.T) {
	set := manyRules(t, 200)
	rules := set.New()
	l := lines(t, execEvent...)
	match := func() { rules.Match(&l.batch, 0, len(l.batch.Recs)) }
	match()
	if n := testing.AllocsPerRun(100, match); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// execEvent is a usual execve, ENRICHED.
var execEvent = []string{
	"type=SYSCALL msg=audit(1795298317.864:1730627): arch=c000003e syscall=59 success=yes exit=0 a0=55d1a3f0b8c0 a1=55d1a3f0b960 a2=55d1a3f0a2d0 a3=8 items=2 ppid=15747 pid=15766 " +
		"auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm=\"systemctl\" exe=\"/usr/bin/systemctl\" subj=unconfined key=\"exec\"" +
		"\x1dARCH=x86_64 SYSCALL=execve AUID=\"cloudsdk\" UID=\"root\" GID=\"root\" EUID=\"root\" SUID=\"root\" FSUID=\"root\" EGID=\"root\" SGID=\"root\" FSGID=\"root\"",
	`type=EXECVE msg=audit(1795298317.864:1730627): argc=6 a0="/usr/bin/systemctl" a1="--no-pager" a2="--output=json" a3="status" a4="audisp-relay-collector.service" a5="--lines=200"`,
	`type=CWD msg=audit(1795298317.864:1730627): cwd="/root"`,
	"type=PATH msg=audit(1795298317.864:1730627): item=0 name=\"/usr/bin/systemctl\" inode=247149 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\x1dOUID=\"root\" OGID=\"root\"",
	"type=PATH msg=audit(1795298317.864:1730627): item=1 name=\"/lib64/ld-linux-x86-64.so.2\" inode=24714 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\x1dOUID=\"root\" OGID=\"root\"",
	"type=PROCTITLE msg=audit(1795298317.864:1730627): proctitle=2F7573722F62696E2F73797374656D63746C002D2D6E6F2D7061676572",
	"type=EOE msg=audit(1795298317.864:1730627): ",
}

// manyRules returns rules in the shape of those that are published for processes, files and records.
func manyRules(t testing.TB, n int) *RuleSet {
	sources := make(map[string]string)
	for i := range n {
		tool := fmt.Sprintf("tool%d", i)
		src := ""
		switch i % 10 {
		case 0, 1, 2, 3:
			src = fmt.Sprintf(`type == "EXECVE" and iends(exe, "/%[1]s", "/x%[1]s") and icontains(cmdline, "--get-%[1]s", " -x%[1]s ", "/tmp/%[1]s")`, tool)
		case 4, 5:
			src = fmt.Sprintf(`type == "EXECVE" and (icontains(cmdline, "curl %[1]s", "wget %[1]s") and icontains(cmdline, "| sh", "|sh", "http://%[1]s"))`, tool)
		case 6:
			src = fmt.Sprintf(`type == "EXECVE" and iends(exe, "/bash", "/sh") and cmdline matches "(?i)base64.{1,20}%s"`, tool)
		case 7:
			src = fmt.Sprintf(`type == "EXECVE" and iequals(args[0], "%[1]s") and icontains(args[1], "-%[1]s")`, tool)
		case 8:
			src = fmt.Sprintf(`type == "PATH" and (iequals(path, "/etc/%[1]s") or istarts(path, "/etc/%[1]s.d/"))`, tool)
		case 9:
			src = fmt.Sprintf(`type == "SYSCALL" and syscall == "memfd_create" and iends(exe, "/%s")`, tool)
		}
		sources[fmt.Sprintf("rule %03d", i)] = src
	}
	set, errs, _ := NewRules(sources)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return set
}

// plainRules returns rules as those write them who do not look for words without regard to case.
func plainRules(t testing.TB, n int) *RuleSet {
	sources := make(map[string]string)
	for i := range n {
		tool := fmt.Sprintf("tool%d", i)
		sources["rule "+tool] = fmt.Sprintf([]string{
			`exe == "/usr/bin/%[1]s" and auid >= 1000 and auid != unset`,
			`key == "%[1]s" or has_key("is-%[1]s")`,
			`syscall in ["ptrace", "process_vm_writev"] and exe != "/usr/bin/%[1]s"`,
			`lower(cmdline) contains "--%[1]s" and uid == 0`,
			`path_under("/srv/%[1]s") and not success`,
			`any(args, # startsWith "--%[1]s=" and # endsWith "x")`,
			`args[0] in ["%[1]s", "/bin/%[1]s"] and cmdline matches "-[xX] ?%[1]s"`,
			`field("%[1]s") == "x"`,
		}[i%8], tool)
	}
	set, errs, _ := NewRules(sources)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return set
}

// BenchmarkRules is what rules cost an event of seven records, or five.
func BenchmarkRules(b *testing.B) {
	for name, set := range map[string]*RuleSet{"10": manyRules(b, 10), "200": manyRules(b, 200), "plain200": plainRules(b, 200)} {
		for what, event := range map[string][]string{"exec": execEvent, "open": cat} {
			b.Run(name+"/"+what, func(b *testing.B) {
				l := lines(b, event...)
				rules := set.New()
				b.ReportAllocs()
				from := lab.OwnCPU(b)
				for b.Loop() {
					rules.Match(&l.batch, 0, len(l.batch.Recs))
				}
				b.ReportMetric(float64(lab.OwnCPU(b)-from)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
