package ecs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// checkAlike fails if an encoder does not write an event as a new one does.
func checkAlike(t *testing.T, e *Encoder, text string) {
	t.Helper()
	b := parse(t, text)
	want := New(Options{}).AppendEvent(nil, b, 0, len(b.Recs))
	if got := e.AppendEvent(nil, b, 0, len(b.Recs)); !bytes.Equal(got, want) {
		t.Errorf("%.500s\n%s\na new encoder has\n%s", text, got, want)
	}
}

// What a record ends in is read as a new encoder reads it, whatever stood in front of it before, and does now.
func TestRepeatedEndsAreReadAlike(t *testing.T) {
	t.Parallel()
	heads := []string{"", "a0=1 ", "uid=7 ", "auid=7 ", "uid=4294967295 ", `key="head" `, "exe=x ", "other=1 ", "success=yes exit=-2 ", "ppid=1 pid=2 words here ", "op=a b ",
		"arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c items=1 ", "msg='auid=9 res=1' ", "subj=a:b:c ", strings.Repeat("k=1 ", 300), manyFields(253), manyFields(300)}
	ends := []string{`auid=1000 uid=0 gid=0 ses=3 comm="x" exe="/x" key=(null)`, `auid=1000 uid=0 key="a"`, `auid=1000 key=6101620163`, `auid=1 key="a" key="b"`, `auid=1 key=""`, `auid=-1 ses=-1 uid=-1`,
		`auid=abc uid=0 uid=1`, `auid=1 uid=0 uid=0`, `auid=1 msg='uid=0 res=failed'`, `auid=1 msg='uid=0`, `auid=1 success=no exit=-2`, `auid=1 proctitle=61`, `auid=1 other=2 more=3`, `auid=1 Upper=2 x.y=z`,
		`auid=1 subj=a:b:c:d:e:f tail`, `auid=1 op=a b c`, `auid=1 exe="?" comm=6100`, `auid=1 comm="cut`, `auid=1 words here uid=2`, "auid=1 \xff=2 uid=\xff ", `auid=1 uid=?  gid=5`,
		`item=0 name="/x" mode=0100644 ouid=0 ogid=x nametype=NORMAL obj=a:b:c`, `item=1 name=2F61 ouid=1000 rdev="?"`}
	names := []string{"", sep + `AUID="alice" UID="root"`, sep + `AUID="alice" UID="root" word`, sep + `auid="alice" UID="root"`, sep + `OUID="root" OGID="unknown(0)"`, sep + `AUID=616C UID="unset" X="y"`}
	e, n := New(Options{}), 0
	for _, end := range ends {
		typ := "SYSCALL"
		if strings.HasPrefix(end, "item") {
			typ = "PATH"
		}
		for _, before := range heads {
			for _, head := range heads {
				n++
				checkAlike(t, e, rec(typ, before+end+names[n%len(names)])+rec("CWD", `cwd="/"`))
				checkAlike(t, e, sys(257, 1)+rec(typ, head+end+names[n/2%len(names)]))
				if t.Failed() {
					return
				}
			}
		}
	}
}

// manyFields returns so many fields of different names.
func manyFields(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d=1 ", i)
	}
	return text.String()
}

// That an event has had all the tags that are kept says nothing of the next one.
func TestTagsOfOtherRecordsAreNotRemembered(t *testing.T) {
	var tags strings.Builder
	for i := range maxFields {
		fmt.Fprintf(&tags, "%04X01", i+0x3030)
	}
	e, call := New(Options{}), rec("SYSCALL", fmt.Sprintf(call, 44, 0)+exe+` key="last"`)
	checkAlike(t, e, rec("CONFIG_CHANGE", "key="+strings.TrimSuffix(tags.String(), "01"))+call)
	checkAlike(t, e, call)
}

// What a record of the event was read as stays as it is, even if another one takes its place.
func TestMemosOfTheEventStay(t *testing.T) {
	body := func(i int) string {
		return fmt.Sprintf(`item=0 name="/name/%d" mode=0100644 ouid=0 ogid=0 nametype=NORMAL`, i)
	}
	e := New(Options{})
	memoAt := func(i int) *memo { return memoOf(&e.memos, 1302, []byte(body(i))) }
	like := 1
	for memoAt(like) != memoAt(0) {
		like++
	}
	checkAlike(t, e, sys(257, 1)+rec("PATH", body(0)))
	checkAlike(t, e, sys(257, 2)+rec("PATH", body(0))+rec("PATH", body(like)))
}

// How a file was shown is not taken for how it is where auditd has added other names, or none, where it is the same twice, or where bytes of another record have
// all strings written in another form.
func TestFilesAreShownAlike(t *testing.T) {
	const file = `item=0 name="/etc/p%sw" inode=5 dev=fe:00 mode=0100644 ouid=0 ogid=7 rdev=00:00 obj=system_u:object_r:etc_t:s0 nametype=NORMAL cap_fp=0 cap_fe=0 cap_frootid=0`
	e := New(Options{})
	for _, name := range []string{"", "%", "\\"} {
		body := strings.Replace(file, "%s", name, 1)
		for _, names := range []string{
			"", "", "", sep + `OUID="root" OGID="wheel"`, sep + `OUID="root" OGID="wheel"`, sep + `OUID="root" OGID="wheel"`, sep + `OUID="roo" OGID="twheel"`, sep + `OUID="root"`, sep + `OGID="wheel"`,
			sep + `OUID="unset" OGID="unknown(7)"`, sep + `OUID="root" OGID="wheel" OBJ_UID="x"`, sep + `OUID="root" OGID="wheel" CAP_FROOTID="y"`, sep + `OUID="root" OGID="wheel" CAP_FROOTID="z"`, sep + `OUID=FF OGID="wheel"`,
			sep + `OUID="root" OGID="wheel"`,
		} {
			path := rec("PATH", body+names)
			checkAlike(t, e, sys(257, 1)+path)
			checkAlike(t, e, sys(257, 2)+path+path)
			checkAlike(t, e, sys(257, 2)+path+rec("PATH", "")+rec("PATH", `item=1 name=2FFF25 ouid=0 nametype=NORMAL`))
			checkAlike(t, e, rec("CWD", "cwd=2FFF")+sys(257, 1)+path)
			checkAlike(t, e, path) // without a system call
		}
	}
}
