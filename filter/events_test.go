package filter

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFieldsOfWholeEvents: cmdline, text and created.
func TestFieldsOfWholeEvents(t *testing.T) {
	const openat, rename = "arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd a2=241 a3=1b6", "arch=c000003e syscall=82 success=yes exit=0 a0=7ffd a1=7ffe a2=0 a3=0"
	for _, c := range []struct {
		name   string
		record []string
		want   map[string]bool
	}{
		{"command line", []string{`SYSCALL arch=c000003e syscall=59 exe="/bin/sh"`, `EXECVE argc=4 a0="sh" a1="-c" a2=6563686F20612062 a3=""`}, map[string]bool{
			`cmdline == "sh -c echo a b "`: true, `cmdline contains "-c echo"`: true, `len(cmdline) == 15`: true, `cmdline startsWith "sh " and args[1] == "-c"`: true, `args[2] == "echo a b" and cmdline endsWith "b "`: true,
		}},
		{"one argument", []string{`EXECVE argc=1 a0="id"`}, map[string]bool{`cmdline == "id"`: true, `args[0] == cmdline`: true}},
		{"missing argument", []string{`EXECVE argc=3 a0="id" a2="x"`}, map[string]bool{`cmdline == "id  x"`: true}},
		{"no arguments", []string{`SYSCALL arch=c000003e syscall=59 exe="/bin/sh"`}, map[string]bool{`cmdline == ""`: true}},
		{"text", []string{`SYSCALL arch=c000003e syscall=59 exe="/bin/sh"`, `EXECVE argc=1 a0="id"`, "USER_X msg='op=a'\x1dUID=\"root\""}, map[string]bool{
			`text contains "argc=1 a0"`: true, `text contains "UID=\"root\""`: true, `text startsWith "type=EXECVE"`: true, `text endsWith "sh\""`: true, `text contains "\n"`: false,
			`text not contains "argc=2"`: true, `len(records) == 3`: true, `icontains(text, "OP=A")`: true, `text matches "a0=.id"`: true,
		}},
		{"created", []string{`SYSCALL ` + openat, `CWD cwd="/etc/cron.d"`, `PATH item=0 name="/etc/cron.d" nametype=PARENT`, `PATH item=1 name="x" nametype=CREATE`}, map[string]bool{
			`created == "/etc/cron.d/x"`: true, `created == "/etc/cron.d"`: false, `"/etc/cron.d/x" in created_paths`: true, `path == "x"`: true, `istarts(created, "/ETC/")`: true,
		}},
		{"with dots", []string{`SYSCALL ` + openat, `CWD cwd="/etc/cron.d"`, `PATH item=1 name="../a/./x" nametype=CREATE`}, map[string]bool{`created == "/etc/a/x"`: true}},
		{"in /", []string{`SYSCALL ` + openat, `CWD cwd="/"`, `PATH item=1 name="x" nametype=CREATE`}, map[string]bool{`created == "/x"`: true}},
		{"of a directory", []string{`SYSCALL ` + strings.Replace(openat, "ffffff9c", "5", 1), `CWD cwd="/etc"`, `PATH item=1 name="x" nametype=CREATE`}, map[string]bool{`created == "x"`: true}},
		{"no CWD", []string{`SYSCALL ` + openat, `PATH item=1 name="x" nametype=CREATE`}, map[string]bool{`created == "x"`: true}},
		{"with slashes", []string{`SYSCALL ` + openat, `CWD cwd="/etc"`, `PATH item=1 name="cron.d//x" nametype=CREATE`}, map[string]bool{`created == "/etc/cron.d/x"`: true}},
		{"by a detour", []string{`SYSCALL ` + openat, `CWD cwd="/x"`, `PATH item=1 name="/tmp/../etc//cron.d/./x" nametype=CREATE`}, map[string]bool{
			`created == "/etc/cron.d/x"`: true, `created startsWith "/tmp"`: false, `full_path == "/etc/cron.d/x"`: true, `path == "/etc/cron.d/x"`: false,
		}},
		{"full path", []string{`SYSCALL ` + openat, `CWD cwd="/etc"`, `PATH item=0 name="/etc" nametype=PARENT`, `PATH item=1 name="ld.so.preload" nametype=NORMAL`}, map[string]bool{
			`full_path == "/etc/ld.so.preload"`: true, `path == "/etc/ld.so.preload"`: false, `full_paths[0] == "/etc" and len(full_paths) == 2`: true, `any(full_paths, # endsWith "load")`: true, `created == ""`: true,
		}},
		{"full path of a directory", []string{`SYSCALL ` + strings.Replace(openat, "ffffff9c", "5", 1), `CWD cwd="/etc"`, `PATH item=0 name="x/../y" nametype=NORMAL`}, map[string]bool{`full_path == "x/../y"`: true}},
		{"no name", []string{`SYSCALL ` + openat, `CWD cwd="/etc"`, `PATH item=0 name=(null) nametype=NORMAL`, `PATH item=1 name="" nametype=CREATE`}, map[string]bool{
			`full_path == ""`: true, `len(full_paths) == 1`: true, `len(paths) == 1`: true, `len(created_paths) == 0`: true,
		}},
		{"opened", []string{`SYSCALL ` + openat, `CWD cwd="/etc"`, `PATH item=0 name="x" nametype=NORMAL`}, map[string]bool{`created == ""`: true, `len(created_paths) == 0`: true}},
		{"renamed", []string{`SYSCALL ` + rename, `CWD cwd="/tmp"`, `PATH item=2 name="a" nametype=DELETE`, `PATH item=3 name="/etc/b" nametype=CREATE`}, map[string]bool{`created == "/etc/b"`: true, `created contains "a"`: false}},
	} {
		l := lines(t, event(c.record...)...)
		for src, want := range c.want {
			m := mustCompile(t, src).New()
			for range 2 {
				if got, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); got != want || err != nil {
					t.Errorf("%s: %s: %v, %v: %v", c.name, src, got, err, m.Explain(&l.batch, 0, len(l.batch.Recs)))
				}
			}
		}
	}
}

// TestManyArguments: arguments are asked for, one by its number or all of them, however many there are, since a program may be given any
// number. Rules that do not hold for an event with an error would miss what has so many.
func TestManyArguments(t *testing.T) {
	n := maxList + 1000
	execve := []string{fmt.Sprintf(`EXECVE argc=%d a0="curl"`, n)}
	for i := 1; i < n; i++ {
		if i%500 == 0 {
			execve = append(execve, "EXECVE")
		}
		execve[len(execve)-1] += fmt.Sprintf(` a%d="%d"`, i, i)
	}
	l := lines(t, event(execve...)...)
	for src, want := range map[string]bool{
		`args[0] == "curl"`: true, `args[1] == "curl"`: false, `iends(args[0], "URL")`: true, `args[-1] == "` + strconv.Itoa(n-1) + `"`: true, `args[20000] == ""`: true,
		`"` + strconv.Itoa(n-1) + `" in args`: true, `"` + strconv.Itoa(n) + `" in args`: false, `any(args, # startsWith "` + strconv.Itoa(n-1) + `")`: true, `len(args) == argc`: true,
	} {
		m := mustCompile(t, src).New()
		if got, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); got != want || err != nil {
			t.Errorf("%s: %v, %v", src, got, err)
		}
		rules, _, _ := NewRules(map[string]string{"x": src})
		if got := rules.New().Match(&l.batch, 0, len(l.batch.Recs)); (len(got) > 0) != want {
			t.Errorf("as a rule: %s: %v", src, got)
		}

		few := lines(t, event(`EXECVE argc=1 a0="curl"`)...)
		if _, err := m.Keep(&few.batch, 0, 1); err != nil {
			t.Errorf("%s: %v", src, err)
		}
		for i := range m.vals {
			if n := cap(m.vals[i].texts); n > maxList {
				t.Errorf("%s: room for %d texts is kept", src, n)
			}
		}
	}
}

// TestNewFilesOfManyAreFoundSoon: where the directory of relative names is not known it is looked for once.
func TestNewFilesOfManyAreFoundSoon(t *testing.T) {
	records := []string{`SYSCALL arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd a2=241 a3=1b6`}
	for range 16000 {
		records = append(records, `PATH name="x" nametype=CREATE`)
	}
	l := lines(t, event(records...)...)
	m := mustCompile(t, `created == "y"`).New()
	began := time.Now()
	for range 20 {
		if got, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); got || err != nil {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if took := time.Since(began); took > 5*time.Second { // it is a tenth of one; a square is twenty
		t.Errorf("took %v", took)
	}
}

// TestNamesTakeBoundedMemory: thousands of relative names in a directory with a long name do not become thousands of long ones.
func TestNamesTakeBoundedMemory(t *testing.T) {
	records := []string{`SYSCALL arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd a2=241 a3=1b6`, `CWD cwd="/` + strings.Repeat("x", 4000) + `"`}
	for range 16000 {
		records = append(records, `PATH name="x" nametype=CREATE`)
	}
	l := lines(t, event(records...)...)
	for _, src := range []string{`created == "y"`, `full_path == "y"`} {
		m := mustCompile(t, src).New()
		if got, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); got || err != nil {
			t.Errorf("%s: %v, %v", src, got, err)
		}
		if n := len(m.scratch); n < maxTaken || n > maxTaken+8192 {
			t.Errorf("%s: %d bytes", src, n)
		}
	}
}

func TestKindOf(t *testing.T) {
	for name, want := range map[string]string{"exe": "text", "uid": "id", "gid": "id", "ses": "id", "old_auid": "id", "ouid": "id", "pid": "number", "exit": "number", "a0": "number", "id": "text", "success": "flag", "args": "list", "inodes": "list", "keys*": "", "nothing": "", "": ""} {
		if got := KindOf(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
