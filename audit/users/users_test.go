package users

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write puts a file in place as programs do, by rename.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// files returns files in a directory of the test's own.
func files(t *testing.T, passwd, group string) sources {
	t.Helper()
	dir := t.TempDir()
	o := sources{passwd: filepath.Join(dir, "passwd"), group: filepath.Join(dir, "group")}
	write(t, o.passwd, passwd)
	write(t, o.group, group)
	return o
}

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nlab user:x:1000:1000::/home/lab:/bin/sh\n"
	group  = "root:x:0:\nadm:x:4:root,lab\n"
)

func TestNamesComeFromTheFiles(t *testing.T) {
	u := open(files(t, passwd, group))
	defer u.Close()
	got := []string{u.User(0), u.User(1000), u.User(1001), u.User(unset), u.Group(0), u.Group(4), u.Group(1000)}
	if diff := cmp.Diff([]string{"root", "lab user", "", "", "root", "adm", ""}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLinesOfPasswdAreParsed(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       map[uint32]string
	}{
		{"empty", "", map[uint32]string{}},
		{"no newline at the end", "a:x:1:1", map[uint32]string{1: "a"}},
		{"first of an id", "a:x:1:\nb:x:1:\n", map[uint32]string{1: "a"}},
		{"other sources", "+::::::\n+@admins:x:5:\n-bob:x:6:\n#c:x:7:\nd:x:8:\n", map[uint32]string{8: "d"}},
		{"no lines", "\n::\na\na:b\na:x:1\n:x:2:\n", map[uint32]string{}},
		{"no numbers", "a:x::\nb:x:-1:\nc:x:x:\nd:x:4294967296:\ne:x: 5:\nf:x:99999999999999999999:\n", map[uint32]string{}},
		{"bounds", "a:x:4294967295:\nb:x:007:\n", map[uint32]string{4294967295: "a", 7: "b"}},
		{"long name", strings.Repeat("n", 257) + ":x:1:\n" + strings.Repeat("m", 256) + ":x:2:\n", map[uint32]string{2: strings.Repeat("m", 256)}},
		{"any bytes", "\xff\x00\"\x1d:x:1:\n", map[uint32]string{1: "\xff\x00\"\x1d"}},
		{"long line", "big:x:9:" + strings.Repeat("member,", 100000) + "\nb:x:10:\n", map[uint32]string{9: "big", 10: "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parse([]byte(tt.text))); diff != "" {
				t.Error(diff)
			}
		})
	}
	var b bytes.Buffer
	for i := range maxNames + 1000 {
		fmt.Fprintf(&b, "u%d:x:%d:\n", i, i)
	}
	if n := len(parse(b.Bytes())); n != maxNames {
		t.Errorf("%d names", n)
	}
}

// The files are read again when they are others, by the goroutine.
func TestChangedFilesAreReadAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, path string)
		want   string
	}{
		{"replaced", func(t *testing.T, path string) { write(t, path, "new:x:0:0::/:/\n") }, "new"},
		{"written to", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("toor:x:0:0::/:/\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "toor"},
		{"same size and time, another file", func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(passwd, "root:", "toor:", 1)
			write(t, path+"2", text)
			if err := os.Chtimes(path+"2", info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+"2", path); err != nil {
				t.Fatal(err)
			}
		}, "toor"},
		{"removed", func(t *testing.T, path string) { os.Remove(path) }, "root"},
		{"a directory in its place", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o755) }, "root"},
		{"a pipe in its place", func(t *testing.T, path string) {
			os.Remove(path)
			if err := syscall.Mkfifo(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "root"},
		{"not readable lines", func(t *testing.T, path string) { write(t, path, "\n") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := files(t, passwd, group)
			old := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // before the bubble's clock, so it is settled
			if err := os.Chtimes(o.passwd, old, old); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				u := open(o)
				defer u.Close()
				before := u.users.file.Load()
				time.Sleep(3 * lookEvery)
				synctest.Wait()
				if u.users.file.Load() != before {
					t.Error("a file that is as it was has been read again")
				}
				tt.change(t, o.passwd)
				if got := u.User(0); got != "root" {
					t.Errorf("at once %q", got)
				}
				time.Sleep(lookEvery)
				synctest.Wait()
				if got := u.User(0); got != tt.want {
					t.Errorf("after a look %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// A file whose last change is young may change again within the same tick of its clock.
func TestYoungFileIsReadAgain(t *testing.T) {
	o := files(t, passwd, group)
	info, err := os.Stat(o.passwd)
	if err != nil {
		t.Fatal(err)
	}
	u := open(o)
	defer u.Close()
	if err := os.WriteFile(o.passwd, []byte(strings.Replace(passwd, "root:", "toor:", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(o.passwd, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	f := u.users.watched
	if names := f.read(); names[0] != "toor" {
		t.Errorf("0 is %q", names[0])
	}
}

// fake is used in place of getent: it knows the ids that are in known and counts the questions.
type fake struct {
	mu    sync.Mutex
	known map[string]string // "passwd 1001"
	asked []string          // with the time since the beginning
	begin time.Time
}

func (f *fake) ask(_ context.Context, database string, id uint32) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := fmt.Sprint(database, " ", id)
	f.asked = append(f.asked, fmt.Sprint(q, " at ", time.Since(f.begin)))
	return f.known[q]
}

func TestUnknownIDsAreAskedFor(t *testing.T) {
	o := files(t, passwd, group)
	synctest.Test(t, func(t *testing.T) {
		f := &fake{known: map[string]string{"passwd 5000": "ldap", "group 5000": "staff"}, begin: time.Now()}
		o.ask = f.ask
		u := open(o)
		defer u.Close()
		for i := range 10 { // a look-up never waits, and asks once
			names := u.User(5000) + u.Group(5000) + u.User(5001) + u.User(unset)
			if (i == 0 && names != "") || u.User(0) != "root" {
				t.Errorf("%q before it was asked for", names)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := []string{u.User(5000), u.Group(5000), u.User(5001)}; !cmp.Equal(got, []string{"ldap", "staff", ""}) {
			t.Errorf("got %q", got)
		}
		time.Sleep(unknownFor - time.Second - time.Millisecond)
		u.User(5001)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		u.User(5001) // now it has been forgotten that there is none
		time.Sleep(time.Second)
		synctest.Wait()
		if got := u.User(5000); got != "ldap" {
			t.Errorf("5000 is %q after %v", got, time.Since(f.begin))
		}
		want := []string{"passwd 5000 at 0s", "group 5000 at 250ms", "passwd 5001 at 500ms", "passwd 5001 at 5m9.999s"}
		if diff := cmp.Diff(want, f.asked); diff != "" {
			t.Error(diff)
		}
		time.Sleep(knownFor)
		synctest.Wait()
		if got := u.User(5000); got != "" {
			t.Errorf("%q is never asked for again", got)
		}
	})
}

// However many ids are looked up, no more are asked for than the rate allows, and what
// is kept is bounded.
func TestAskingIsBounded(t *testing.T) {
	o := files(t, passwd, group)
	synctest.Test(t, func(t *testing.T) {
		f := &fake{known: map[string]string{}, begin: time.Now()}
		for i := range uint32(100000) {
			f.known[fmt.Sprint("passwd ", i)] = "u"
		}
		o.ask = f.ask
		u := open(o)
		defer u.Close()
		for i := range uint32(100000) {
			u.User(i + 2000)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(f.asked); n > 41 || n < 40 {
			t.Errorf("%d questions in 10 s", n)
		}
		full := make(map[uint32]answer)
		for i := range uint32(maxAnswers) {
			full[1e6+i] = answer{until: time.Now().Add(time.Minute)}
		}
		u.users.answers.Store(&full)
		asked := len(f.asked)
		time.Sleep(30 * time.Second)
		u.User(500000)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(f.asked); n != asked {
			t.Errorf("%d questions when no more answers are kept", n-asked)
		}
		time.Sleep(time.Minute)
		u.User(500000)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(f.asked); n != asked+1 {
			t.Errorf("%d questions when answers have been forgotten, want 1", n-asked)
		}
	})
}

// openDir returns a directory of the test that every user can pass, with this mode.
func openDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	for dir, mode := range map[string]os.FileMode{dir: mode, filepath.Dir(dir): 0o711} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// script writes a program that is run in place of getent, as user nobody.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(openDir(t, 0o711), "getent")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRepliesOfGetentAreRead(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"known", `echo "$1.$2:x:$2:100::/:/"`, "passwd.7"},
		{"not known", "exit 2", ""},
		{"another id", `echo "a:x:8:100::/:/"`, ""},
		{"fails with a name", `echo "a:x:7:100::/:/"; exit 1`, ""},
		{"rubbish", "echo rubbish", ""},
		{"nothing", "", ""},
		{"members without end", `printf 'big:x:7:'; head -c 1000000 /dev/zero`, "big"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := getent(script(t, tt.text))
			if got := ask(t.Context(), "passwd", 7); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestGetentHasNoRights: root's is run as a user who has none, without a group or a variable.
func TestGetentHasNoRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	ask := getent(script(t, `echo "$(id -u) $(id -G) $(wc -c </proc/$$/environ):x:$2:"`))
	if got := strings.Join(strings.Fields(ask(t.Context(), "passwd", 7)), " "); got != "65534 65534 0" {
		t.Errorf("user, groups, and bytes of environment: %q", got)
	}
}

func TestReplyIsBounded(t *testing.T) {
	var r reply
	for range 100 {
		if n, err := r.Write(make([]byte, 10000)); n != 10000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(r) != maxReply {
		t.Errorf("%d bytes are kept", len(r))
	}
}

func TestWithoutGetentNothingIsAsked(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, plain, filepath.Join(dir, "nothing")} {
		if getent(path) != nil {
			t.Errorf("%s is taken for a program", path)
		}
	}
}

// Close does not wait for a program that does not answer, nor for what it has started.
func TestCloseWhileAsking(t *testing.T) {
	o := files(t, passwd, group)
	began := filepath.Join(openDir(t, 0o777), "began")
	o.ask = getent(script(t, "sleep 60 & echo > "+began+"; wait\n"))
	u := open(o)
	u.User(5000)
	for {
		if _, err := os.Stat(began); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	u.Close()
	if got := u.User(5000); got != "" || u.User(0) != "root" {
		t.Errorf("after Close: %q", got)
	}
}

func TestLookUpAllocatesNothing(t *testing.T) {
	u := open(files(t, passwd, group))
	defer u.Close()
	if n := testing.AllocsPerRun(100, func() { u.User(0); u.User(5); u.Group(4) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Many look up while the files change and answers come.
func TestManyGoroutinesLookUpNames(t *testing.T) {
	o := files(t, passwd, group)
	synctest.Test(t, func(t *testing.T) {
		o.ask = func(_ context.Context, database string, id uint32) string { return fmt.Sprint(database, id) }
		u := open(o)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range uint32(200) {
					if name := u.User(2000 + i%50); name != "" && name != fmt.Sprint("passwd", 2000+i%50) {
						t.Errorf("%d is %q", 2000+i%50, name)
					}
					u.Group(i)
					time.Sleep(askEvery)
				}
			})
		}
		for i := range 10 {
			time.Sleep(lookEvery)
			write(t, o.passwd, fmt.Sprintf("%sx:x:%d:1::/:/\n", passwd, 9000+i))
		}
		all.Wait()
		u.Close()
	})
}

func BenchmarkUser(b *testing.B) {
	var text bytes.Buffer
	for i := range 200 {
		fmt.Fprintf(&text, "user%d:x:%d:100::/:/bin/sh\n", i, i)
	}
	path := filepath.Join(b.TempDir(), "passwd")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	u := open(sources{passwd: path, group: path})
	defer u.Close()
	b.ReportAllocs()
	for b.Loop() {
		u.User(100)
	}
}
