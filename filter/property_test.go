package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/testdata/captures"
)

// odd are events that no capture has.
var odd = [][]string{
	cat,
	{"type=EOE msg=audit(1795298317.900:1): "},
	{"what is this"},
	{"type=SYSCALL msg=audit(1795298317.900:2): arch=c000003e syscall=59 auid=4294967295 uid=0 comm=6B776F726B6572206D exe=(null) key=657865630170726976"},
	{"type=SYSCALL msg=audit(1795298317.900:3): arch=40000003 syscall=11 success=no exit=-13 a0=1 a1=ffffffffffffffff items=2 auid=1000 uid=1000 key=\"exec\"",
		"type=PATH msg=audit(1795298317.900:3): item=0 name=(null) inode=1 ouid=0", "type=PATH msg=audit(1795298317.900:3): item=1 name=2F746D702F610A62 inode=2 ouid=1000 nametype=CREATE",
		"type=EXECVE msg=audit(1795298317.900:3): argc=3 a0=\"ls\" a1=\"\" a2=2D6C0A"},
	{"type=USER_LOGIN msg=audit(1795298317.900:4): pid=1 uid=0 auid=1000 ses=2 msg='op=login acct=\"root\" exe=\"/usr/sbin/sshd\" hostname=? addr=10.1.2.3 terminal=sshd res=failed'\x1dUID=\"root\" AUID=\"bob\""},
	{"type=SYSCALL msg=audit(1795298317.900:5): arch=c000003e syscall=42 success=yes exit=0 a0=3 auid=1000 uid=1000 key=(null)", "type=SOCKADDR msg=audit(1795298317.900:5): saddr=020000160A0102030000000000000000"},
}

// world is what expressions are tried on.
func world(t testing.TB) *log {
	var all []byte
	for i, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-4.2.1-raw.string.gz", "audit-2.8.5-audispd.string.gz"} {
		lines := strings.SplitAfter(string(captures.Read(t, name)), "\n")
		all = append(all, strings.Join(lines[100*i:100*i+250], "")...)
	}
	for _, e := range odd {
		all = append(all, strings.Join(e, "\n")+"\n"...)
	}
	return read(t, all)
}

// generator writes random expressions that are right.
type generator struct{ *rapid.T }

func (g generator) pick(of ...string) string { return rapid.SampledFrom(of).Draw(g.T, "pick") }

func (g generator) flag(depth int) string {
	n := rapid.IntRange(0, 13).Draw(g.T, "flag")
	if depth == 0 {
		n = n % 9
	}
	switch n {
	case 0:
		return g.number(depth) + " " + g.pick("==", "!=", "<", "<=", ">", ">=") + " " + g.number(depth)
	case 1:
		return g.text(depth) + " " + g.pick("==", "!=", "<", ">=", "contains", "startsWith", "endsWith", "not contains") + " " + g.text(depth)
	case 2:
		return g.text(depth) + " " + g.pick("in", "not in") + " [" + g.words() + "]"
	case 3:
		return g.number(depth) + " " + g.pick("in", "not in") + " " + g.pick("[0, 1000, unset]", "1000..2000", "-5..5", "[1,2,3,4,5,6,7,8,9,10,1000]")
	case 4:
		return g.text(depth) + " " + g.pick("matches", "not matches") + " " + g.pick(`"^/usr"`, `"sh$"`, `"(?i)EXEC|net"`, `"^$"`, `""`)
	case 5:
		return g.text(depth) + " in " + g.list()
	case 6:
		return g.pick("any", "all", "none", "one") + "(" + g.list() + ", # " + g.pick("==", "contains", "startsWith", "!=", "<") + " " + g.word() + ")"
	case 7:
		return g.pick("success", "failed", "recovered", "incomplete", "true", "false", `path_under("/etc", "/usr/bin")`, `has_key("exec", "fim")`)
	case 8:
		return g.pick(`in_net(addr, "10.0.0.0/8")`, `in_net(hostname, "::/0", "0.0.0.0/0")`, `type == "EXECVE"`, `type in ["SYSCALL", "USER_LOGIN"]`, `"PATH" in types`, `type != "PATH"`,
			`syscall in ["execve", "openat"]`, `ouid == 0`, `inode > 100000`, `ouid in 1..5000`, `port == 22`)
	case 9, 10:
		return "(" + g.flag(depth-1) + " " + g.pick("and", "&&") + " " + g.flag(depth-1) + ")"
	case 11, 12:
		return "(" + g.flag(depth-1) + " " + g.pick("or", "||") + " " + g.flag(depth-1) + ")"
	default:
		return g.pick("not ", "!") + "(" + g.flag(depth-1) + ")"
	}
}

func (g generator) number(depth int) string {
	n := rapid.IntRange(0, 8).Draw(g.T, "number")
	switch {
	case n < 4:
		return g.pick("auid", "uid", "euid", "gid", "pid", "ppid", "ses", "exit", "items", "serial", "time", "a0", "a1", "syscall_number", "argc", "port", "ouid", "inode", "msg.id")
	case n < 7 || depth == 0:
		return g.pick("0", "1", "-2", "1000", "unset", "65534", "0x100", "100")
	case n == 7:
		return "len(" + g.list() + ")"
	}
	return g.number(0) + " " + g.pick("+", "-", "*") + " " + g.number(0)
}

func (g generator) text(depth int) string {
	n := rapid.IntRange(0, 8).Draw(g.T, "text")
	switch {
	case n < 6:
		return g.pick("key", "comm", "exe", "tty", "cwd", "proctitle", "syscall", "arch", "errno", "node", "id", "path", "nametype", "user", "auser", "group", "acct", "op", "res", "addr", "hostname", "terminal",
			"family", "msg.acct", "msg.exe", "args[0]", "args[-1]", "keys[0]", "paths[1]", `field("comm")`, `field("dev")`, `field("acct")`)
	case n < 8 || depth == 0:
		return g.word()
	}
	return "lower(" + g.text(0) + ")"
}

func (g generator) list() string {
	return g.pick("keys", "paths", "args", "types", "record_types", "nametypes")
}

// words that some fields have. Those that are names have to be known: none is here.
func (g generator) word() string {
	return strconv.Quote(g.pick("", "exec", "fim", "net", "/usr/bin/", "/usr/bin/env", "bash", "root", "cloudsdk", "(none)", "NORMAL", "10.1.2.3", "success", "a", "/etc"))
}

func (g generator) words() string {
	out := make([]string, rapid.IntRange(1, 12).Draw(g.T, "words"))
	for i := range out {
		out[i] = g.word()
	}
	return strings.Join(out, ", ")
}

// TestClosuresAgreeWithTheMachine: what is compiled to closures, in whichever order, is
// what expr's virtual machine makes of the whole.
func TestClosuresAgreeWithTheMachine(t *testing.T) {
	l := world(t)
	kept, refused, used := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		src := generator{rt}.flag(3)
		f, c, err := compile(src)
		if err != nil {
			// A word may be none of the names that a field can have.
			if !strings.Contains(err.Error(), "there is no ") {
				rt.Fatalf("%s\n%v", src, err)
			}
			return
		}
		used++
		m := f.New()
		machine := c.program(c.whole)
		for _, e := range l.events {
			keep, err := m.Keep(&l.batch, e[0], e[1])
			m.begin(&l.batch, e[0], e[1])
			want := machine(m)
			if m.err != nil {
				rt.Fatalf("%s\n%v", src, m.err)
			}
			if err == ErrUnread {
				want, err = true, nil
			} else if unsure(m) {
				// Whichever of the two it is, and both for different parts of the expression.
				want = keep
				for _, n := range []int{isNot, isUnder} {
					if decide(m, n); machine(m) && !keep {
						rt.Fatalf("%s\n%s\nis left out, though it may be true\n%s", src, l.text(e), explained(m, l, e))
					}
				}
			}
			if keep != want || err != nil {
				rt.Fatalf("%s\n%s\nkeep %v, %v; the machine says %v\n%s", src, l.text(e), keep, err, want, explained(m, l, e))
			}
			if steps := m.Explain(&l.batch, e[0], e[1]); steps[0].Value != want {
				rt.Fatalf("%s: explained as %v", src, steps)
			}
			if keep {
				kept++
			} else {
				refused++
			}
		}
	})
	if kept < 1000 || refused < 1000 || used < 50 {
		t.Errorf("%d expressions kept %d and refused %d: that compares little", used, kept, refused)
	}
}

// unsure reports whether a field of the event has no certain value.
func unsure(m *Matcher) bool {
	for slot, f := range m.f.slots {
		if f.kind == flag && m.value(slot).n == notSure {
			return true
		}
	}
	return false
}

// decide gives such fields a value.
func decide(m *Matcher, n int) {
	for slot := range m.f.slots {
		if v := m.value(slot); strings.HasPrefix(m.f.slots[slot].name, "path_under(") {
			v.n = n
		}
	}
}

func explained(m *Matcher, l *log, e [2]int) string {
	var out []string
	for _, s := range m.Explain(&l.batch, e[0], e[1]) {
		out = append(out, s.String())
	}
	return strings.Join(out, "\n")
}

// text returns the records of an event.
func (l *log) text(e [2]int) string {
	var out []string
	for k := e[0]; k < e[1]; k++ {
		out = append(out, fmt.Sprintf("%q", l.batch.Bytes(k)))
	}
	return strings.Join(out, "\n")
}

// TestOrderIsOfNoMatter: one Matcher gives for an event what a new one gives, whatever
// it has seen before.
func TestOrderIsOfNoMatter(t *testing.T) {
	l := world(t)
	for _, a := range asked {
		src := strings.NewReplacer("PPID", "1", "PID", "1", "SERIAL", "1", "SES", "1", "FROM", "2026-11-21", "TO", "2026-11-22").Replace(a.filter)
		f := mustCompile(t, src)
		var fresh []bool
		for _, e := range l.events {
			keep, _ := f.New().Keep(&l.batch, e[0], e[1])
			fresh = append(fresh, keep)
		}
		m := f.New()
		var again []bool
		for i := range l.events {
			e := l.events[len(l.events)-1-i]
			keep, _ := m.Keep(&l.batch, e[0], e[1])
			again = append(again, keep)
		}
		slices.Reverse(again)
		if !slices.Equal(fresh, again) {
			t.Errorf("%s: a Matcher remembers other events", src)
		}
	}
}
