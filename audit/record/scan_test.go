package record_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
)

// fields returns the gaps, keys and values of a body, and the gap at its end.
func fields(body string) (all []string) {
	s := record.Scan([]byte(body))
	for s.Next() {
		all = append(all, string(s.Gap), string(s.Key), string(s.Value))
	}
	return append(all, string(s.Gap))
}

func TestScannerGivesEveryByte(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       []string
	}{
		{"empty", "", []string{""}},
		{"regular", "a=1 b=2", []string{"", "a", "1", " ", "b", "2", ""}},
		{"empty values", "a= b=", []string{"", "a", "", " ", "b", "", ""}},
		{"two blanks", "a=1  b=2 ", []string{"", "a", "1", "  ", "b", "2", " "}},
		{"value with =", "grantors=a=b,c", []string{"", "grantors", "a=b,c", ""}},
		{"long value", "proctitle=" + string(bytes.Repeat([]byte("41"), 40)) + " a=1", []string{"", "proctitle", string(bytes.Repeat([]byte("41"), 40)), " ", "a", "1", ""}},
		{"text between", "avc:  denied  { read } for  pid=1 x", []string{"avc:  denied  { read } for  ", "pid", "1", " x"}},
		{"no key", "=1 a=1 =", []string{"=1 ", "a", "1", " ="}},
		{"quoted", `comm="a b" exe=""`, []string{"", "comm", `"a b"`, " ", "exe", `""`, ""}},
		{"quote in the middle", `a="x"y b="z"`, []string{"", "a", `"x"y`, " ", "b", `"z"`, ""}},
		{"quote that does not end", `a="x b=1`, []string{"", "a", `"x`, " ", "b", "1", ""}},
		{"lone quotes", `a=" b='`, []string{"", "a", `"`, " ", "b", "'", ""}},
		{"program's text", `uid=0 msg='op=x acct="o'brien" res=ok'`, []string{"", "uid", "0", " ", "msg", `'op=x acct="o'brien" res=ok'`, ""}},
		{"program's text with quotes in it", `msg='text='a' 'b' res=ok'`, []string{"", "msg", `'text='a' 'b' res=ok'`, ""}},
		{"fields after a program's text", `msg='a' res=ok`, []string{"", "msg", `'a'`, " ", "res", "ok", ""}},
		{"device mapper", `error_msg='no such thing' res=0 x='y'`, []string{"", "error_msg", "'no such thing'", " ", "res", "0", " ", "x", "'y'", ""}},
		{"single quotes that do not end", `a='x b='y c='z`, []string{"", "a", "'x", " ", "b", "'y", " ", "c", "'z", ""}},
		{"quotes in a key", `a"b=1 c'd=2 e=3`, []string{`a"b=1 c'd=2 `, "e", "3", ""}},
		{"bytes that are no text", "a\xff=1 b=\xff\x00\x1d c=2", []string{"a\xff=1 ", "b", "\xff\x00\x1d", " ", "c", "2", ""}},
		{"short bytes that are no text", "a\xff=1", []string{"a\xff=1"}},
		{"name of a table", `table=x family=2 msg='a" op=b:5 family=10 entries=3 op=nft_register_table`, []string{"", "table", `x family=2 msg='a" op=b:5`, " ", "family", "10", " ", "entries", "3", " ", "op", "nft_register_table", ""}},
		{"name of a table in quotes", `table="a b" family=2 family=1`, []string{"", "table", `"a b" family=2`, " ", "family", "1", ""}},
		{"no name of a table", `table= family=2`, []string{"", "table", "", " ", "family", "2", ""}},
		{"table that is cut", `table="a b" c=1`, []string{"", "table", `"a b"`, " ", "c", "1", ""}},
		{"table elsewhere", `pid=1 table=a b family=2`, []string{"", "pid", "1", " ", "table", "a", " b ", "family", "2", ""}},
		{"keys of all kinds", "old-auid=1 a1[0]=2 a1_len=3 subj.x=4", []string{"", "old-auid", "1", " ", "a1[0]", "2", " ", "a1_len", "3", " ", "subj.x", "4", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, fields(tt.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Names come in the order of the fields, but need not.
func TestNamesAreFoundInAnyOrder(t *testing.T) {
	r := record.Parsed{Names: []byte(`ARCH=x86_64 SYSCALL=connect AUID="unset" UID="a}b" GID=6120 UID="second" OLD-AUID="x" SADDR={ saddr_fam=local path=/a } UID="evil" b } OUID="y"`)}
	type answer struct {
		Key, Name string
		OK        bool
	}
	ask := func(name func(dst, key []byte) ([]byte, bool), keys ...string) (got []answer) {
		for _, key := range keys {
			n, ok := name(nil, []byte(key))
			got = append(got, answer{key, string(n), ok})
		}
		return got
	}
	cursor := r.NameCursor()
	got := ask(cursor.Name, "arch", "syscall", "auid", "nothing", "uid", "gid", "uid", "old-auid", "saddr", "uid", "ouid", "ouid")
	want := []answer{
		{"arch", "x86_64", true}, {"syscall", "connect", true}, {"auid", "unset", true}, {"nothing", "", false},
		{"uid", "a}b", true}, {"gid", "a ", true}, {"uid", "second", true}, {"old-auid", "x", true},
		{"saddr", `{ saddr_fam=local path=/a } UID="evil" b }`, true}, {"uid", "", false}, {"ouid", "y", true}, {"ouid", "", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = ask(r.Name, "ouid", "uid", "uid", "UID", "id", "ui")
	want = []answer{{"ouid", "y", true}, {"uid", "a}b", true}, {"uid", "a}b", true}, {"UID", "a}b", true}, {"id", "", false}, {"ui", "", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A brace in a name is not the end of an address.
func TestABraceInANameEndsNoAddress(t *testing.T) {
	r := record.Parsed{Names: []byte(`SADDR={ saddr_fam=local path=/a } UID="a}b"`)}
	cursor := r.NameCursor()
	if n, ok := cursor.Name(nil, []byte("saddr")); !ok || string(n) != "{ saddr_fam=local path=/a }" {
		t.Errorf("saddr is %q, %v", n, ok)
	}
	if n, ok := cursor.Name(nil, []byte("uid")); !ok || string(n) != "a}b" {
		t.Errorf("uid is %q, %v", n, ok)
	}
}

// A cursor passes over what was left out and stands still at what is not there.
func TestNamesThatWereLeftOutArePassedOver(t *testing.T) {
	r := record.Parsed{Names: []byte(`x AUID="root"  UID="cut`)}
	cursor := r.NameCursor()
	if _, ok := cursor.Name(nil, []byte("gid")); ok {
		t.Error("a name that is not there")
	}
	if n, ok := cursor.Name(nil, []byte("auid")); !ok || string(n) != "root" {
		t.Errorf("auid is %q, %v", n, ok)
	}
	if n, ok := cursor.Name(nil, []byte("uid")); !ok || string(n) != `"cut` {
		t.Errorf("uid is %q, %v", n, ok)
	}
	if _, ok := (&record.Parsed{}).Name(nil, []byte("uid")); ok {
		t.Error("a name of a record without names")
	}
}

// A cursor gives up where fields and names do not belong together at all.
func TestNamesOfOtherFieldsAreGivenUp(t *testing.T) {
	r := record.Parsed{Names: []byte(`UID="root" AUID="last"`)}
	cursor := r.NameCursor()
	for i := range 15 {
		if _, ok := cursor.Name(nil, []byte("gid")); ok {
			t.Fatal("a name that is not there")
		}
		if i == 10 {
			if n, ok := cursor.Name(nil, []byte("uid")); !ok || string(n) != "root" {
				t.Errorf("uid is %q, %v", n, ok)
			}
		}
	}
	cursor.Name(nil, []byte("gid"))
	if n, ok := cursor.Name(nil, []byte("auid")); ok {
		t.Errorf("auid is %q after 16 fields without a name", n)
	}
	// It passes over sixteen names at most.
	r.Names = append(bytes.Repeat([]byte(`GID="x" `), 15), `UID="root"`...)
	if n, ok := r.Name(nil, []byte("uid")); !ok || string(n) != "root" {
		t.Errorf("uid is %q, %v", n, ok)
	}
	r.Names = append([]byte(`GID="x" `), r.Names...)
	if n, ok := r.Name(nil, []byte("uid")); ok {
		t.Errorf("uid is %q after 16 others", n)
	}
}
