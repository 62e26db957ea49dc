package ecs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a record ends in is read as a new encoder reads it, whatever stood in front of it before, and does now.
func TestRepeatedEndsAreReadAlike(t *testing.T) {
	heads := rapid.SampledFrom([]string{"", "a0=1 ", "uid=7 ", "auid=7 ", "uid=4294967295 ", `key="head" `, "exe=x ", "other=1 ", "success=yes exit=-2 ", "ppid=1 pid=2 words here ",
		"op=a b ", "arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c items=1 ", "msg='auid=9 res=1' ", "subj=a:b:c ", "subj_user=x ", strings.Repeat("k=1 ", 300), manyFields(250)})
	ends := rapid.SampledFrom([]string{"auid=1000 uid=0 gid=0 ses=3 comm=\"x\" exe=\"/x\" key=(null)", `auid=1000 uid=0 key="a"`, "auid=1000 key=6101620163", "auid=1 key=\"a\" key=\"b\"", "auid=1 key=\"\"",
		"auid=-1 ses=-1 uid=-1", "auid=abc uid=0 uid=1", "auid=1 uid=0 uid=0", "auid=1 msg='uid=0 res=failed'", "auid=1 msg='uid=0", "auid=1 success=no exit=-2", "auid=1 proctitle=61", "auid=1 other=2 more=3",
		"auid=1 Upper=2", "auid=1 subj=a:b:c:d:e:f tail", "auid=1 op=a b c", "auid=1 exe=\"?\" comm=6100", "auid=1 comm=\"cut", "auid=1 words here uid=2", "auid=1 \xff=2 uid=\xff", "auid=1 uid=?  gid=5 ",
		"item=0 name=\"/x\" mode=0100644 ouid=0 ogid=x nametype=NORMAL obj=a:b:c", "item=1 name=2F61 ouid=1000 rdev=\"?\""})
	names := rapid.SampledFrom([]string{"", sep + `AUID="alice" UID="root"`, sep + `AUID="alice" UID="root" word`, sep + `auid="alice" UID="root"`, sep + `OUID="root" OGID="unknown(0)"`, sep + `AUID=616C UID="unset" X="y"`})
	types := rapid.SampledFrom([]string{"SYSCALL", "SYSCALL", "PATH", "USER_CMD", "CWD"})

	e := New(Options{})
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for range rapid.IntRange(1, 3).Draw(t, "records") {
			text += rec(types.Draw(t, "type"), heads.Draw(t, "head")+ends.Draw(t, "end")+names.Draw(t, "names"))
		}
		b, err := records(text)
		if err != nil {
			t.Fatal(err)
		}
		want := New(Options{}).AppendEvent(nil, b, 0, len(b.Recs))
		if got := e.AppendEvent(nil, b, 0, len(b.Recs)); !bytes.Equal(got, want) {
			t.Errorf("%s\na new encoder has\n%s", got, want)
		}
	})
}

// manyFields returns so many fields of different names.
func manyFields(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d=1 ", i)
	}
	return text.String()
}
