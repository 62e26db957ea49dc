package filter

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// writeList writes the file of a list, with another time than before.
func writeList(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, info.ModTime().Add(time.Duration(len(text)+1)*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// TestListFollowsItsFile: it is read again when it has changed, and a bad file keeps the values and is said once.
func TestListFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	writeList(t, path, "\ufeff# bad hosts\n10.1.2.3\r\n\n  10.1.2.4  \nroot\n1000\n")
	f := mustCompile(t, `addr in file("`+path+`") or acct in file("`+path+`") or uid in file("`+path+`")`)
	if len(f.Lists()) != 1 {
		t.Fatalf("%d lists of one file", len(f.Lists()))
	}
	list, m := f.Lists()[0], f.New()
	keeps := func(fields string) bool {
		l := lines(t, event("USER_LOGIN pid=1 "+fields)...)
		keep, err := m.Keep(&l.batch, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		return keep
	}
	expect := func(when string, want map[string]bool) {
		t.Helper()
		for fields, keep := range want {
			if keeps(fields) != keep {
				t.Errorf("%s: %s: %v", when, fields, !keep)
			}
		}
	}

	expect("at first", map[string]bool{
		`uid=5 msg='addr=10.1.2.3 res=failed'`: true, `uid=5 msg='addr=10.1.2.4 res=failed'`: true, `uid=5 msg='addr=10.1.2.5 res=failed'`: false,
		`uid=5 msg='acct="root" res=failed'`: true, `uid=5 msg='acct="Root" res=failed'`: false, `uid=1000`: true, `uid=1001`: false, `uid=5 msg='acct="# bad hosts"'`: false,
	})
	if changed, err := list.Refresh(); changed || err != nil {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
	writeList(t, path, "1001\n")
	if changed, err := list.Refresh(); !changed || err != nil {
		t.Errorf("changed: %v, %v", changed, err)
	}
	expect("changed", map[string]bool{`uid=1001`: true, `uid=1000`: false})

	writeList(t, path, "7\n"+strings.Repeat("x", maxListLine+1)+"\n")
	if changed, err := list.Refresh(); changed || err == nil || !strings.HasPrefix(err.Error(), path+":2: has more than 4096 bytes") {
		t.Errorf("a bad file: %v, %v", changed, err)
	}
	if changed, err := list.Refresh(); changed || err != nil {
		t.Errorf("the same bad file: %v, %v", changed, err)
	}
	expect("bad", map[string]bool{`uid=1001`: true, `uid=7`: false})
	os.Remove(path)
	if _, err := list.Refresh(); err == nil {
		t.Error("a file that is gone is not said")
	}
	if _, err := list.Refresh(); err != nil {
		t.Errorf("it is said again: %v", err)
	}
	expect("gone", map[string]bool{`uid=1001`: true})
	writeList(t, path, "8\n")
	if changed, err := list.Refresh(); !changed || err != nil {
		t.Errorf("back: %v, %v", changed, err)
	}
	expect("back", map[string]bool{`uid=1001`: false, `uid=8`: true})
}

// TestListIsReadOnceItMayBe: a file that could not be read for its mode is read when that is mended, which changes neither its time nor its
// size.
func TestListIsReadOnceItMayBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	writeList(t, path, "old\n")
	list, err := newList(path)
	if err != nil {
		t.Fatal(err)
	}

	writeList(t, path, "newer\n")
	wrong := os.FileMode(0)
	if os.Geteuid() == 0 {
		wrong = 0o666 // root may read all, but not trust it
	}
	if err := os.Chmod(path, wrong); err != nil {
		t.Fatal(err)
	}
	if changed, err := list.Refresh(); changed || err == nil || !list.has("old") {
		t.Errorf("of mode %o: %v, %v", wrong, changed, err)
	}
	if changed, err := list.Refresh(); changed || err != nil {
		t.Errorf("it is said again: %v, %v", changed, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := list.Refresh(); !changed || err != nil || !list.has("newer") {
		t.Errorf("mended: %v, %v", changed, err)
	}
	if changed, err := list.Refresh(); changed || err != nil {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
}

// TestListErrors: a file that is none is an error at the place where it is named.
func TestListErrors(t *testing.T) {
	dir := t.TempDir()
	many := filepath.Join(dir, "many")
	var b strings.Builder
	for i := range maxListLines + 1 {
		b.WriteString(strconv.Itoa(i) + "\n")
	}
	writeList(t, many, b.String())
	wide := filepath.Join(dir, "wide")
	writeList(t, wide, "\xff\xfe#\x00\n\x00a\x00\n\x00")
	for src, want := range map[string]string{
		`exe in file("/nowhere/list")`:               `1:13: stat /nowhere/list: no such file or directory`,
		`exe in file("` + dir + `")`:                 `is not a regular file`,
		`exe in file("list.txt")`:                    `1:13: "list.txt" is no absolute path: write addr in file("/etc/audit/bad.txt")`,
		`exe in file("` + many + `")`:                `many:250001: the list has more than 250000 values: shorten it`,
		`exe in file("` + wide + `")`:                `wide:1: has a byte 0, so it is no list`,
		`exe in file("/a\x00\x1b[1m")`:               `1:13: "/a\x00\x1b[1m" has a control character: rename the file`,
		`exe in file()`:                              `file takes something`,
		`exe in file("/a", "/b")`:                    `file takes one path`,
		`exe in file(comm)`:                          `comm has to be text in quotes here`,
		`file("/a")`:                                 `file stands after in: write addr in file("/etc/audit/bad.txt")`,
		`args in file("/a")`:                         `args is a list of texts, and a file holds texts and numbers`,
		`exe == file("/a")`:                          `file stands after in`,
		`any(args, # in file("/nowhere/list")) == 1`: `no such file or directory`,
		`exe icontains "x"`:                          `1:5: icontains does not stand between two texts: write icontains(cmdline, "x", ...)`,
		`iequals(uid, "x")`:                          `iequals takes text, and uid is a number`,
		`icontains(args, "x")`:                       `icontains takes text, and args is a list of texts: write any(args, icontains(#, "x"))`,
		`any(args, icontains(path, "x"))`:            `in any(LIST, ...) this would be a list within a list`,
		`"x" in rules`:                               `there are no rules here`,
		`let rules = 1; rules == 1`:                  `there is a rules already`,
	} {
		_, err := Compile(src)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}

	src := `exe in file("` + many + `")`
	for i := range maxLists + 1 {
		path := filepath.Join(dir, "list"+strconv.Itoa(i))
		writeList(t, path, "x\n")
		src += ` or exe in file("` + path + `")`
	}
	writeList(t, many, "x\n")
	if _, err := Compile(src); err == nil || !strings.Contains(err.Error(), "there are too many files: at most 32") {
		t.Errorf("%d lists: %v", maxLists+2, err)
	}
}

// FuzzList: any file is a list or an error, and no value of it is more than a line.
func FuzzList(f *testing.F) {
	for _, s := range []string{"\xef\xbb\xbfa\nb\n", "\xff\xfea\x00\n\x00", "a\nb\n", "#\n\n \t\r\n", "\x00\xff\n", "a", strings.Repeat("x", 5000)} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "list")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := newList(path)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for v := range l.values.Load().texts {
			if v == "" || len(v) > maxListLine || strings.ContainsAny(v, "\n\x00") || strings.TrimSpace(v) != v || v[0] == '#' {
				t.Errorf("value %q", v)
			}
		}
	})
}

// TestAddressesOfAListInAnyForm: an address of IPv6 has many forms, and lists of bad hosts have all of them.
func TestAddressesOfAListInAnyForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	writeList(t, path, "2001:DB8::0001\n2001:db8:0:0:0:0:0:2\n::ffff:10.1.2.3\n::FFFF:0a01:0204\n10.1.2.5\n/RUN/a::B\nfe80::1%eth0\n")
	f := mustCompile(t, `addr in file("`+path+`")`)
	exact := mustCompile(t, `msg.addr in file("`+path+`")`)
	for of, want := range map[string]bool{
		`SOCKADDR saddr=0A0001BBFFFFFFFF20010DB800000000000000000000000100000000`: true, // 2001:db8::1
		`SOCKADDR saddr=0A0001BBFFFFFFFF20010DB800000000000000000000000200000000`: true,
		`SOCKADDR saddr=0A0001BBFFFFFFFF20010DB800000000000000000000000300000000`: false,
		`SOCKADDR saddr=020000160A0102030000000000000000`:                         true, // 10.1.2.3
		`SOCKADDR saddr=020000160A0102040000000000000000`:                         true,
		`SOCKADDR saddr=020000160A0102060000000000000000`:                         false,
		`SOCKADDR saddr=0A0001BB0000000000000000000000000000FFFF0A01020500000000`: true, // ::ffff:10.1.2.5
		`SOCKADDR saddr=01002F52554E2F613A3A4200`:                                 true, // /RUN/a::B
		`SOCKADDR saddr=01002F52554E2F613A3A6200`:                                 false,
		`USER_LOGIN msg='addr=2001:DB8:0::1 res=failed'`:                          true,
		`USER_LOGIN msg='addr=::ffff:a01:203 res=failed'`:                         true,
		`USER_LOGIN msg='addr=10.1.2.5 res=failed'`:                               true,
		`USER_LOGIN msg='addr=fe80::1%eth0 res=failed'`:                           true,
		`USER_LOGIN msg='addr=fe80::1 res=failed'`:                                false,
		`USER_LOGIN msg='addr=? res=failed'`:                                      false,
	} {
		l := lines(t, event(of)...)
		if got, err := f.New().Keep(&l.batch, 0, 1); got != want || err != nil {
			t.Errorf("%s: %v, %v", of, got, err)
		}
	}
	l := lines(t, event(`USER_LOGIN msg='addr=2001:DB8:0::1 res=failed'`)...)
	if got, err := exact.New().Keep(&l.batch, 0, 1); got || err != nil {
		t.Errorf("of another field texts are compared: %v, %v", got, err)
	}
}
