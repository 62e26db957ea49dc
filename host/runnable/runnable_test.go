package runnable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// entry is a file of a tree. A name that ends in a slash is a directory; "a -> b" is a symbolic link.
type entry struct {
	name string
	mode os.FileMode
	uid  int
}

// tree makes files below a directory that only its owner can write to.
func tree(t *testing.T, entries []entry) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, to, link := strings.Cut(e.name, " -> ")
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case link:
			err = os.Symlink(to, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, nil, 0o600)
		}
		if err == nil && e.uid != 0 {
			err = os.Lchown(path, e.uid, -1)
		}
		if err == nil && !link {
			err = os.Chmod(path, e.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCheck(t *testing.T) {
	const sticky = 0o777 | os.ModeSticky
	for _, tt := range []struct {
		name    string
		entries []entry
		path    string
		says    []string // nothing: it may be run
	}{
		{"good", []entry{{"bin/p", 0o755, 0}}, "/bin/p", nil},
		{"narrow", []entry{{"bin/p", 0o500, 0}}, "/bin/p", nil},
		{"for others only", []entry{{"bin/p", 0o701, 0}}, "/bin/p", nil},
		{"link", []entry{{"bin/p", 0o755, 0}, {"sbin/q -> ../bin/p", 0, 0}}, "/sbin/q", nil},
		{"absolute link", []entry{{"bin/p", 0o755, 0}, {"sbin/q -> /bin/p", 0, 0}}, "/sbin/q", nil},
		{"linked directory", []entry{{"usr/bin/p", 0o755, 0}, {"bin -> usr/bin", 0, 0}}, "/bin/p", nil},
		{"sticky directory", []entry{{"tmp/", sticky, 0}, {"tmp/p", 0o755, 0}}, "/tmp/p", nil},
		{"dots", []entry{{"bin/p", 0o755, 0}}, "/bin/./../bin/p", nil},
		{"missing", nil, "/bin/p", []string{"/bin", "does not exist", "install it"}},
		{"missing after a link", []entry{{"bin/q -> p", 0, 0}}, "/bin/q", []string{"/bin/q must not be run: /bin/p does not exist"}},
		{"circle of links", []entry{{"bin/q -> p", 0, 0}, {"bin/p -> q", 0, 0}}, "/bin/q", []string{"too many levels"}},
		{"relative", []entry{{"bin/p", 0o755, 0}}, "bin/p", []string{"bin/p is not an absolute path"}},
		{"empty", nil, "", []string{"not an absolute path"}},
		{"NUL", nil, "/bin/p\x00", []string{"not an absolute path"}},
		{"directory", []entry{{"bin/p/", 0o755, 0}}, "/bin/p", []string{"/bin/p is not a regular file"}},
		{"root", nil, "/", []string{"not a regular file"}},
		{"a file for a directory", []entry{{"bin/p", 0o755, 0}}, "/bin/p/q", []string{"/bin/p is not a directory"}},
		{"not executable", []entry{{"bin/p", 0o644, 0}}, "/bin/p", []string{"0644", "chmod 0750 /bin/p"}},
		{"group", []entry{{"bin/p", 0o775, 0}}, "/bin/p", []string{"0775", "chmod go-w /bin/p"}},
		{"others", []entry{{"bin/p", 0o757, 0}}, "/bin/p", []string{"0757", "chmod go-w /bin/p"}},
		{"setuid and writable", []entry{{"bin/p", 0o775 | os.ModeSetuid, 0}}, "/bin/p", []string{"chmod go-w /bin/p"}},
		{"another user's", []entry{{"bin/p", 0o755, 4711}}, "/bin/p", []string{"uid 4711", "chown root /bin/p"}},
		{"directory of a group's", []entry{{"bin/p", 0o755, 0}, {"bin/", 0o775, 0}}, "/bin/p", []string{"/bin has mode 0775", "chmod go-w /bin"}},
		{"directory of all", []entry{{"bin/p", 0o755, 0}, {"bin/", 0o777, 0}}, "/bin/p", []string{"/bin has mode 0777", "chmod go-w /bin"}},
		{"directory of another user's", []entry{{"bin/p", 0o755, 0}, {"bin/", 0o755, 4711}}, "/bin/p", []string{"/bin belongs to uid 4711", "chown root /bin"}},
		{"one further up", []entry{{"opt/x/bin/p", 0o755, 0}, {"opt/x/", 0o775, 0}}, "/opt/x/bin/p", []string{"/opt/x has mode 0775"}},
		{"where the link lies", []entry{{"bin/p", 0o755, 0}, {"l/q -> ../bin/p", 0, 0}, {"l/", 0o775, 0}}, "/l/q", []string{"/l has mode 0775"}},
		{"where the link leads", []entry{{"l/q -> ../b/p", 0, 0}, {"b/p", 0o755, 0}, {"b/", 0o775, 0}}, "/l/q", []string{"/b has mode 0775"}},
		{"target of all", []entry{{"l/q -> ../b/p", 0, 0}, {"b/p", 0o777, 0}}, "/l/q", []string{"/l/q must not be run: /b/p has mode 0777", "chmod go-w /b/p"}},
		{"another user's link in a sticky directory", []entry{{"bin/p", 0o755, 0}, {"tmp/", sticky, 0}, {"tmp/q -> ../bin/p", 0, 4711}}, "/tmp/q",
			[]string{"/tmp/q is a symbolic link of uid 4711"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range tt.entries {
				if e.uid != 0 && os.Getuid() != 0 {
					t.Skip("needs root to give a file away")
				}
			}
			err := In{Root: tree(t, tt.entries)}.Check(tt.path)
			if len(tt.says) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it may be run")
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q lacks %q", err, s)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q is not one line", err)
			}
		})
	}
}

// TestCheckOfTheMachine: the programs of the system may be run.
func TestCheckOfTheMachine(t *testing.T) {
	if err := Check("/bin/sh"); err != nil {
		t.Error(err)
	}
	if err := Check("/no/such/program"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one that says that it does not exist", err)
	}
}

func TestSameProgram(t *testing.T) {
	dir := tree(t, []entry{{"bin/relay", 0o755, 0}, {"bin/other", 0o755, 0}, {"sym -> bin/relay", 0, 0}, {"dir -> bin", 0, 0}})
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Link(at("bin/relay"), at("hard")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/relay", "sym", "dir/relay", "hard", "bin/../bin/relay"} {
		if !SameProgram(dir+"/"+name, at("bin/relay")) {
			t.Errorf("%s is not taken for the program", name)
		}
		if !SameProgram(dir+"/"+name, at("bin/relay")+" (deleted)") {
			t.Errorf("%s is not taken for the program that was replaced", name)
		}
	}
	for _, name := range []string{"bin/other", "bin/none", ""} {
		if SameProgram(name, at("bin/relay")) || SameProgram(at(name), "") {
			t.Errorf("%s is taken for the program", name)
		}
	}
}
