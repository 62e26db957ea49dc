package filter

import (
	"fmt"
	"math"
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
	{"type=SYSCALL msg=audit(1795298317.900:6): arch=c000003e syscall=257 success=yes exit=3 a0=3 a1=1 a2=0 items=1 auid=1000 uid=0 key=\"fim\"", "type=PATH msg=audit(1795298317.900:6): item=0 name=\"x\" inode=2 ouid=1 nametype=NORMAL"},
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

// generator writes random expressions, nearly all of them right.
type generator struct {
	*rapid.T
	vars   map[string][]string // the names that let has defined, by what they are
	inside string              // what # is, "" outside of any(LIST, ...)
	names  int
}

func (g *generator) pick(of ...string) string { return rapid.SampledFrom(of).Draw(g.T, "pick") }

func (g *generator) below(n int) int { return rapid.IntRange(0, n-1).Draw(g.T, "below") }

// or returns # or a variable of a kind now and then, where there is one, else what other makes.
func (g *generator) or(kind string, other func() string) string {
	known := g.vars[kind]
	if g.inside == kind {
		known = append(slices.Clone(known), "#", "#")
	}
	if len(known) > 0 && g.below(2) == 0 {
		return g.pick(known...)
	}
	return other()
}

// chosen returns an expression of any kind that holds others of that kind.
func (g *generator) chosen(kind string, depth int, make func(depth int) string) string {
	if g.inside == "" && g.below(2) == 0 {
		g.names++
		name, of := fmt.Sprintf("v%d", g.names), g.pick("flag", "number", "float", "text", "texts", "numbers")
		value := map[string]func(int) string{"flag": g.flag, "number": g.number, "float": g.float, "text": g.text, "texts": g.texts, "numbers": g.numbers}[of](depth - 1)
		before := g.vars[of]
		g.vars[of] = append(slices.Clone(before), name)
		defer func() { g.vars[of] = before }()
		return "(let " + name + " = " + value + "; " + make(depth-1) + ")"
	}
	if g.below(3) == 0 {
		return "(if " + g.flag(depth-1) + " { " + make(depth-1) + " } else { " + make(depth-1) + " })"
	}
	return "(" + g.flag(depth-1) + " ? " + make(depth-1) + " : " + make(depth-1) + ")"
}

func (g *generator) flag(depth int) string {
	return g.or("flag", func() string {
		n := g.below(22)
		if depth <= 0 {
			n = n % 11
		}
		switch n {
		case 0, 1:
			return g.number(depth) + " " + g.comparison() + " " + g.number(depth)
		case 2:
			return g.text(depth) + " " + g.pick("==", "!=", "<", ">=", "contains", "startsWith", "endsWith", "not contains") + " " + g.text(depth)
		case 3:
			return g.text(depth) + " " + g.pick("in", "not in") + " [" + g.words() + "]"
		case 4:
			return g.number(depth) + " " + g.pick("in", "not in") + " " + g.pick("[0, 1000, unset]", "1000..2000", "-5..5", "[1,2,3,4,5,6,7,8,9,10,1000]")
		case 5:
			return g.text(depth) + " " + g.pick("matches", "not matches") + " " + g.pick(`"^/usr"`, `"sh$"`, `"(?i)EXEC|net"`, `"^$"`, `""`)
		case 6:
			return g.text(depth) + " " + g.pick("in", "not in") + " " + g.texts(depth)
		case 7:
			return g.quantifier(depth, "any", "all", "none", "one")
		case 8:
			return g.pick("success", "failed", "recovered", "incomplete", "true", "false", `path_under("/etc", "/usr/bin")`, `path_under("/etc", "/usr/bin")`, `path_under("/home")`, `path_under("/home")`, `path_under("/")`, `has_key("exec", "fim")`)
		case 9:
			return g.pick(`in_net(addr, "10.0.0.0/8")`, `in_net(hostname, "::/0", "0.0.0.0/0")`, `type == "EXECVE"`, `type in ["SYSCALL", "USER_LOGIN"]`, `"PATH" in types`, `type != "PATH"`,
				`syscall in ["execve", "openat"]`, `ouid == 0`, `inode > 100000`, `ouid in 1..5000`, `port == 22`, `any(types, # in ["EXECVE", "PATH"])`)
		case 10:
			return g.number(depth) + " " + g.pick("in", "not in") + " " + g.numbers(depth)
		case 11, 12:
			return "(" + g.flag(depth-1) + " " + g.pick("and", "&&") + " " + g.flag(depth-1) + ")"
		case 13, 14:
			return "(" + g.flag(depth-1) + " " + g.pick("or", "||") + " " + g.flag(depth-1) + ")"
		case 15:
			return g.pick("not ", "!") + "(" + g.flag(depth-1) + ")"
		case 16:
			return "(" + g.flag(depth-1) + ") " + g.pick("==", "!=") + " (" + g.flag(depth-1) + ")"
		case 17, 18:
			return g.chosen("flag", depth, g.flag)
		case 19:
			return g.float(depth-1) + " " + g.comparison() + " " + g.pick(g.float(depth-1), g.number(depth-1))
		case 20:
			return g.number(depth-1) + " < " + g.number(depth-1) + " <= " + g.float(depth-1)
		}
		return "in_net(" + g.text(depth-1) + `, "10.0.0.0/8", "::1")`
	})
}

func (g *generator) comparison() string { return g.pick("==", "!=", "<", "<=", ">", ">=") }

// quantifier returns any(LIST, ...) and the like.
func (g *generator) quantifier(depth int, names ...string) string {
	if g.inside != "" {
		return "true" // lists do not nest
	}
	kind, list := "text", g.texts(depth-1)
	if g.below(3) == 0 {
		kind, list = "number", g.numbers(depth-1)
	}
	g.inside = kind
	defer func() { g.inside = "" }()
	return g.pick(names...) + "(" + list + ", " + g.flag(depth-1) + ")"
}

func (g *generator) number(depth int) string {
	return g.or("number", func() string {
		n := g.below(16)
		switch {
		case n < 5:
			return g.pick("auid", "uid", "euid", "gid", "pid", "ppid", "ses", "exit", "items", "serial", "time", "a0", "a1", "syscall_number", "argc", "port", "ouid", "inode", "msg.id")
		case n < 8 || depth <= 0:
			return g.pick("0", "1", "-2", "1000", "unset", "65534", "0x100", "100", strconv.Itoa(math.MaxInt))
		case n == 8:
			return "len(" + g.texts(depth) + ")"
		case n == 9:
			return "len(" + g.pick(g.text(depth-1), g.numbers(depth-1)) + ")"
		case n == 10:
			return "int(" + g.pick(g.text(depth-1), `field("pid")`, `field("exit")`, `"-7"`, `permissive`) + ")"
		case n == 11:
			return "bitand(" + g.number(depth-1) + ", " + g.number(depth-1) + ")"
		case n == 12:
			return g.pick("-", "+") + "(" + g.number(depth-1) + ")"
		case n == 13:
			if list := g.quantifier(depth, "count"); list != "true" {
				return list
			}
			return "1"
		case n == 14:
			return g.chosen("number", depth, g.number)
		}
		return "(" + g.number(depth-1) + " " + g.pick("+", "-", "*", "%") + " " + g.number(depth-1) + ")"
	})
}

func (g *generator) float(depth int) string {
	return g.or("float", func() string {
		n := g.below(7)
		switch {
		case n == 0 || depth <= 0:
			return g.pick("0.5", "1e3", "0.0", "1000.0", "1.7e308", "4294967295.0")
		case n == 1:
			return "(" + g.number(depth-1) + " " + g.pick("/", "**", "^") + " " + g.number(depth-1) + ")"
		case n == 2:
			return g.pick("-", "+") + "(" + g.float(depth-1) + ")"
		case n == 3:
			return g.chosen("float", depth, g.float)
		case n == 4:
			return "(" + g.number(depth-1) + " " + g.pick("+", "-", "*", "/", "**") + " " + g.float(depth-1) + ")"
		}
		return "(" + g.float(depth-1) + " " + g.pick("+", "-", "*", "/", "**") + " " + g.pick(g.number(depth-1), g.float(depth-1)) + ")"
	})
}

func (g *generator) text(depth int) string {
	return g.or("text", func() string {
		n := g.below(12)
		switch {
		case n < 6:
			return g.pick("key", "comm", "exe", "tty", "cwd", "proctitle", "syscall", "arch", "errno", "node", "id", "path", "nametype", "user", "auser", "group", "acct", "op", "res", "addr", "hostname", "terminal",
				"family", "msg.acct", "msg.exe", "args[0]", "args[-1]", "keys[0]", "paths[1]", `field("comm")`, `field("dev")`, `field("acct")`)
		case n < 8 || depth <= 0:
			return g.word()
		case n == 8:
			return "(" + g.text(depth-1) + " + " + g.text(depth-1) + ")"
		case n == 9:
			return g.chosen("text", depth, g.text)
		case n == 10:
			return "(" + g.text(depth-1) + " | " + g.pick("lower", "upper", "trim") + "())"
		}
		return g.pick("lower", "upper", "trim") + "(" + g.text(depth-1) + ")"
	})
}

func (g *generator) texts(depth int) string {
	return g.or("texts", func() string {
		if n := g.below(8); depth > 0 && n == 0 {
			return g.chosen("texts", depth, g.texts)
		} else if depth > 0 && n == 1 {
			return "[" + g.text(depth-1) + ", " + g.text(depth-1) + "]"
		} else if n == 2 {
			return "[" + g.words() + "]"
		}
		return g.pick("keys", "paths", "args", "types", "record_types", "nametypes", "seperms")
	})
}

func (g *generator) numbers(depth int) string {
	return g.or("numbers", func() string {
		if n := g.below(6); depth > 0 && n == 0 {
			return g.chosen("numbers", depth, g.numbers)
		} else if depth > 0 && n < 3 {
			return "[" + g.number(depth-1) + ", " + g.number(depth-1) + "]"
		}
		return g.pick("inodes", "ouids", "ogids", "[0, 1000, unset]")
	})
}

// words that some fields have. Those that are names have to be known: none is here.
func (g *generator) word() string {
	return strconv.Quote(g.pick("", "exec", "fim", "net", "/usr/bin/", "/usr/bin/env", "bash", "root", "cloudsdk", "(none)", "NORMAL", "10.1.2.3", "success", "a", "/etc", " B "))
}

func (g *generator) words() string {
	out := make([]string, 1+g.below(12))
	for i := range out {
		out[i] = g.word()
	}
	return strings.Join(out, ", ")
}

func newGenerator(t *rapid.T) *generator { return &generator{T: t, vars: make(map[string][]string)} }

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

// TestEventsBeforeDoNotMatter: one Matcher gives for an event what a new one gives, whatever
// it has seen before.
func TestEventsBeforeDoNotMatter(t *testing.T) {
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

// String returns the step as one line of a report.
func (s Step) String() string {
	mark, value := "  ", "no "
	if s.Decided {
		mark = "* "
	}
	if s.Value {
		value = "yes"
	}
	if s.Err != nil {
		value = "?  "
	}
	line := mark + value + " " + strings.Repeat("  ", s.Depth) + s.Expr
	if s.Fields != "" {
		line += "    " + s.Fields
	}
	if s.Err != nil {
		line += "    " + s.Err.Error()
	}
	return line
}
