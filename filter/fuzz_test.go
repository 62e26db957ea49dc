package filter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// FuzzCompile: any text is compiled or refused with a place in it, soon, and what is
// compiled can be asked of any event, as a rule too.
func FuzzCompile(f *testing.F) {
	for _, a := range asked {
		f.Add(a.filter)
	}
	for _, src := range []string{
		`any(args, # contains "x") and path_under("/etc") or in_net(addr, "10.0.0.0/8")`, `let x = auid; x > 5 && x + 1 < 9`, `uid in 1..100000000`, `int(field("sig")) == 9`, "key ==\n  \"x\" and\tfoo",
		`(auid == 5) ? success : failed`, `1 < auid < 5`, `count(paths, # matches "a{2,9}") > 2 ** 3`, `args[-1] == "é" and not (msg.acct != "x")`, `$env`, `{a: 1}`, `exe | lower() == "x"`, `if success {true} else {false}`, `icontains(exe, "a", "B") and not iends(path, "/c")`, `any(args, iequals(#, "x"))`, `exe in file("/etc/hostname")`, `exe in file("/\x00")`, `text contains "x" and cmdline == "" or created startsWith "/"`,
		`any(paths, # contains "x" and not (# in ["/etc", "b"])) or key in ["exec", "fim"]`, `lower(exe) matches "(?i)c[au]t|-[WR] ?x" and not has_key("exec")`, `path_under("/etc") == (upper(comm) == "CAT")`,
	} {
		f.Add(src)
	}
	l := world(f)
	f.Fuzz(func(t *testing.T, src string) {
		began := time.Now()
		filter, err := Compile(src)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			lines := strings.Split(src, "\n")
			if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1 || e.Source != lines[e.Line-1] || e.Message == "" {
				t.Errorf("%q: %+v", src, e)
			}
			if strings.ContainsAny(e.Error(), "\x00\x1b\r\t") {
				t.Errorf("%q: %q", src, e.Error())
			}
		} else {
			m := filter.New()
			set, errs, _ := NewRules(map[string]string{"x": src})
			if len(errs) > 0 {
				t.Fatalf("%q is no rule: %v", src, errs)
			}
			rules := set.New()
			for i := 0; i < len(l.events); i += 1 + len(l.events)/30 {
				e := l.events[i]
				keep, err := m.Keep(&l.batch, e[0], e[1])
				steps := m.Explain(&l.batch, e[0], e[1])
				if err == nil && steps[0].Value != keep {
					t.Errorf("%q: keep %v, explained as %v", src, keep, steps)
				}
				if holds := len(rules.Match(&l.batch, e[0], e[1])) > 0; holds != (keep && err == nil) {
					t.Errorf("%q: keep %v, %v, as a rule %v of %s", src, keep, err, holds, l.text(e))
				}
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %v", src, took)
		}
	})
}

// FuzzKeep: any records are filtered, by expressions that mention every field.
func FuzzKeep(f *testing.F) {
	for _, e := range odd {
		f.Add([]byte(strings.Join(e, "\n") + "\n"))
	}
	for _, e := range [][]string{
		event(`USER_X msg='`), event(`SYSCALL key=`), event(`SYSCALL key="`), event(`SYSCALL key=" key="a"`), event(`SOCKADDR saddr=`), event(`SOCKADDR saddr=0A00`), event(`PATH name=2E`), event(`CWD cwd=`), event(`EXECVE argc=99999999 a0=`),
		event(`USER_X op= msg='op=a b c`), event(`SYSCALL tty=a b c`), event("USER_X msg='a'\x1d'b'\x1dAUID=\"x\""), {"type=SYSCALL msg=audit(1795298317.864:77):"}, {"type=PATH msg=audit(1795298317.864:77) name=x"},
	} {
		f.Add([]byte(strings.Join(e, "\n") + "\n"))
	}
	var matchers []*Matcher
	for name, of := range fields {
		if strings.HasSuffix(name, "*") {
			continue
		}
		src := map[kind]string{number: "NAME == 5", text: `NAME contains "x"`, flag: "NAME", texts: `"x" in NAME`, numbers: "5 in NAME"}[of.kind]
		if of.known != nil {
			src = strings.ReplaceAll(src, `"x"`, `""`)
		}
		matchers = append(matchers, mustCompile(f, strings.ReplaceAll(src, "NAME", name)).New())
	}
	for _, src := range []string{`path_under("/etc")`, `field("a0") == "x"`, `field("op") == "a b"`, `in_net(addr, "10.0.0.0/8")`, `args[-1] == "x"`} {
		matchers = append(matchers, mustCompile(f, src).New())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := read(t, data)
		for _, m := range matchers {
			m.Users = known{}
			for _, e := range l.events {
				if _, err := m.Keep(&l.batch, e[0], e[1]); err != nil && err != errLongList && err != ErrUnread {
					t.Errorf("%s: %v", m.f, err)
				}
				for _, s := range m.Explain(&l.batch, e[0], e[1]) {
					_ = s.String()
				}
			}
		}
		for k := range l.batch.Recs {
			l.batch.Recs[k].Type = record.TypeSyscall // a search that trusts its text
		}
		for _, m := range matchers {
			for _, e := range l.events {
				m.Keep(&l.batch, e[0], e[1])
			}
		}
	})
}
