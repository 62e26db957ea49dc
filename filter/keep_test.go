package filter

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEventThatCannotBeEvaluatedIsKept: and the error says why.
func TestEventThatCannotBeEvaluatedIsKept(t *testing.T) {
	var paths []string
	for i := range 20000 {
		paths = append(paths, fmt.Sprintf(`PATH item=%d name="/%d" inode=%d`, i, i, i))
	}
	doubled, last := "", "a"
	for _, name := range strings.Split("bcdefghijklmnopqrstuvwxyz", "") {
		doubled += "let " + name + " = " + last + " + " + last + "; "
		last = name
	}
	for _, c := range []struct {
		src    string
		record []string
		err    string
	}{
		{`int(tty) == 5`, []string{`SYSCALL arch=c000003e syscall=1 tty=pts0`}, `filter: 1:1: invalid operation: int(pts0)`},
		{`not (int(tty) == 5)`, []string{`SYSCALL arch=c000003e syscall=1 tty=pts0`}, `filter: 1:6: invalid operation: int(pts0)`},
		{`success or int(tty) == 5`, []string{`SYSCALL arch=c000003e syscall=1 tty=pts0`}, `filter: 1:12: invalid operation: int(pts0)`},
		{`success or int(tty) == 5`, []string{`SYSCALL arch=c000003e syscall=1 success=yes tty=pts0`}, ``},
		{`1 % exit == 0`, []string{`SYSCALL arch=c000003e syscall=1 exit=0`}, `filter: 1:3: runtime error: integer divide by zero`},
		{`not (uid % exit == 0) or true == false`, []string{`SYSCALL arch=c000003e syscall=1 exit=0`}, `filter: 1:10: runtime error: integer divide by zero`},
		{`uid / exit > 1e308`, []string{`SYSCALL arch=c000003e syscall=1 exit=0 uid=5`}, ``},
		{`let unused = int(tty); success`, []string{`SYSCALL arch=c000003e syscall=1 success=yes tty=pts0`}, `filter: 1:14: invalid operation: int(pts0)`},
		{`success ? true : int(tty) == 5`, []string{`SYSCALL arch=c000003e syscall=1 success=yes tty=pts0`}, ``},
		{`uid in [5, int(tty)]`, []string{`SYSCALL arch=c000003e syscall=1 uid=5 tty=pts0`}, `filter: 1:12: invalid operation: int(pts0)`},
		{"let a = exe + exe; " + doubled + ` len(z) > 5`, []string{`SYSCALL arch=c000003e syscall=1 exe="/bin/a"`}, errTaken.Error()},
		{`path contains (any([` + strings.Repeat("exe, ", 4000) + `comm], # == "x") ? "x" : "y")`, paths[:1000], errTaken.Error()},
		{`"y" in paths`, paths, errLongList.Error()},
		{`inode == 5`, paths, errLongList.Error()},
	} {
		l := lines(t, event(slices.Clone(c.record)...)...)
		m := mustCompile(t, c.src).New()
		for range 2 {
			keep, err := m.Keep(&l.batch, 0, len(l.batch.Recs))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if !keep || !strings.HasPrefix(got, c.err) || (c.err == "" && got != "") {
				t.Errorf("%s: keep %v, %q, want %q", c.src, keep, got, c.err)
			}
			// It is over with the event.
			other := lines(t, cat...)
			if _, err := m.Keep(&other.batch, 0, len(other.batch.Recs)); err != nil && !strings.Contains(c.src, "tty") && c.err != errTaken.Error() {
				t.Errorf("%s: the error stays: %v", c.src, err)
			}
			failed := 0
			steps := m.Explain(&l.batch, 0, len(l.batch.Recs))
			for _, s := range steps {
				if s.Err != nil && s.Decided {
					failed++
				}
			}
			// The whole, and with it the part that fails.
			if want := map[bool]int{true: min(2, len(steps))}[c.err != ""]; failed < want || (want == 0 && failed > 0) || !steps[0].Value {
				t.Errorf("%s: explained as %v", c.src, steps)
			}
		}
	}
}

// TestCheapPartsAreEvaluatedFirst: what is dear, and may fail, is not looked at when something cheap
// decides, wherever it stands.
func TestCheapPartsAreEvaluatedFirst(t *testing.T) {
	for _, src := range []string{
		`int(tty) == 5 and key == "exec"`, `int(tty) == 5 and uid == 0 and type == "AVC"`, `not (int(tty) == 5 or key == "priv")`, `(int(tty) == 5 or exe == "x") and not (key in ["priv"] and auid == 1000)`,
	} {
		l := lines(t, cat...)
		if keep, err := mustCompile(t, src).New().Keep(&l.batch, 0, len(l.batch.Recs)); keep || err != nil {
			t.Errorf("%s: keep %v, %v", src, keep, err)
		}
	}
}

// TestMatcherKeepsLittleMemory: a Matcher keeps no more than an event needs, and not much of what
// a large one took.
func TestMatcherKeepsLittleMemory(t *testing.T) {
	small := lines(t, event("SYSCALL arch=c000003e syscall=1 comm=6120620A exe="+strings.Repeat("61", 100))...)
	large := lines(t, event("USER_CMD msg='cmd="+strings.Repeat("61", 30000)+"'")...)
	m := mustCompile(t, `comm == "a" or exe == "b" or cmd == "c" or msg.cmd == "d" or field("cmd") == "e"`).New()
	for range 1000 {
		m.Keep(&small.batch, 0, 1)
	}
	if n := cap(m.scratch); n > 4096 {
		t.Errorf("%d bytes for small events", n)
	}
	for range 1000 {
		m.Keep(&large.batch, 0, 1)
	}
	if n := cap(m.scratch); n > 2*maxScratch {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestEmptyEventIsKept(t *testing.T) {
	m := mustCompile(t, "false").New()
	l := lines(t, cat...)
	if keep, err := m.Keep(&l.batch, 2, 2); !keep || err != nil {
		t.Errorf("an event of no records: %v, %v", keep, err)
	}
	if steps := m.Explain(&l.batch, 2, 2); steps != nil {
		t.Errorf("an event of no records: %v", steps)
	}
}

func TestExplainSaysWhatDecided(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`key in ["exec", "priv"] && auid >= 1000 && auid != unset`, `
* yes key in ["exec", "priv"] && auid >= 1000 && auid != unset
* yes   key in ["exec", "priv"]    keys=["priv"]
* yes   auid >= 1000    auid=1000
* yes   auid != unset    auid=1000`},
		{`success and key == "exec" and uid == 5`, `
* no  success and key == "exec" and uid == 5
  yes   success    success=true
* no    key == "exec"    keys=["priv"]
  no    uid == 5    uid=0`},
		{`uid == 5 or not (exe startsWith "/usr" and (auid == unset or path_under("/etc")))`, `
* no  uid == 5 or not (exe startsWith "/usr" and (auid == unset or path_under("/etc")))
* no    uid == 5    uid=0
* no    not (exe startsWith "/usr" and (auid == unset or path_under("/etc")))
* yes     exe startsWith "/usr" and (auid == unset or path_under("/etc"))
* yes       exe startsWith "/usr"    exe="/usr/bin/cat"
* yes       auid == unset or path_under("/etc")
  no          auid == unset    auid=1000
* yes         path_under("/etc")    path_under(/etc)=true`},
		{`auid == 1000 or int(tty) == 5`, `
* yes auid == 1000 or int(tty) == 5
* yes   auid == 1000    auid=1000
  ?     int(tty) == 5    tty="pts0"    filter: 1:17: invalid operation: int(pts0)`},
		{`type == "PATH"`, `
* yes type == "PATH"    types=["SYSCALL", "CWD", "PATH", "PROCTITLE", "EOE"]`},
		{`100 < auid < 2000`, `
* yes 100 < auid && auid < 2000
* yes   100 < auid    auid=1000
* yes   auid < 2000    auid=1000`},
	} {
		l := lines(t, cat...)
		m := mustCompile(t, c.src).New()
		e := l.events[0]
		got := "\n" + explained(m, l, e)
		got = strings.TrimRight(got, ": ")
		if d := cmp.Diff(c.want, strings.TrimRight(got, ": ")); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.src, d)
		}
		keep, _ := m.Keep(&l.batch, e[0], e[1])
		if steps := m.Explain(&l.batch, e[0], e[1]); steps[0].Value != keep {
			t.Errorf("%s: keep %v, explained as %v", c.src, keep, steps[0].Value)
		}
	}
}

// TestExplainHasTheRoomOfKeep: each part may take as much memory as the whole, and a report of many parts takes no more than of one.
func TestExplainHasTheRoomOfKeep(t *testing.T) {
	l := lines(t, event("SYSCALL arch=c000003e syscall=1 comm=\"x\"", "PROCTITLE proctitle="+strings.Repeat("61", 30000))...)
	long := strings.TrimSuffix(strings.Repeat("proctitle + ", 14), " + ") // of which all are taken again with each: 3 MB
	src := `(` + long + `) == "y"` + strings.Repeat(` or comm == "y" and (`+long+`) == "y"`, 20)
	m := mustCompile(t, src).New()
	if keep, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); keep || err != nil {
		t.Fatalf("%v, %v", keep, err)
	}
	for _, s := range m.Explain(&l.batch, 0, len(l.batch.Recs)) {
		if s.Err != nil || s.Value {
			t.Errorf("%.60s: %v, %v", s.Expr, s.Value, s.Err)
		}
	}
	if n := cap(m.scratch); n > 256<<10 {
		t.Errorf("%d bytes of decoded text", n)
	}
}

// TestMatchersShareAFilter: Matchers of one Filter do not disturb each other; for the race
// detector.
func TestMatchersShareAFilter(t *testing.T) {
	f := mustCompile(t, `key in ["priv"] and auid == 1000 and path_under("/etc") and in_net("10.0.0.1", "10.0.0.0/8") and lower(comm) == "cat" and exe matches "cat$"`)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			l := lines(t, cat...)
			m := f.New()
			for range 500 {
				if keep, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); !keep || err != nil {
					t.Errorf("keep %v, %v", keep, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// TestKeepAllocatesNothing holds for whatever makes no text.
func TestKeepAllocatesNothing(t *testing.T) {
	for _, src := range []string{
		`key in ["exec", "priv"] && auid >= 1000 && auid != unset`, `key in ["fim"]`, `type == "EXECVE"`, `syscall == "openat" and errno == ""`, `auser == "cloudsdk"`, `path == "shadow" or nametype == "CREATE"`,
		`path_under("/var")`, `exe matches "^/usr/bin/.at$"`, `any(args, # == "x")`, `proctitle contains "shadow"`, `in_net(addr, "10.0.0.0/8")`, `ouid == 5`, `acct == "root"`, `cwd == "/etc"`, `id == "1795298317.864:1"`,
		`let n = auid - 1000; n / 2 < 0.5 and bitand(a0, 0xff) % 7 == 2`, `count(paths, len(#) > 3) == 1 and one(keys, # in ["a", comm])`, `success ? int(field("items")) == 1 : false`,
	} {
		l := lines(t, cat...)
		m := mustCompile(t, src).New()
		if n := testing.AllocsPerRun(100, func() { m.Keep(&l.batch, 0, len(l.batch.Recs)) }); n != 0 {
			t.Errorf("%s: %v allocations an event", src, n)
		}
	}
}
