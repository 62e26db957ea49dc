package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// write makes a file of the given mode, whatever the umask is.
func write(t *testing.T, path, text string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "c.toml"), "q_depth = 5\nmemory_limit='32MiB'\n[sinks.a]\ntype='syslog'\nq_bytes='1GiB'\n", 0o640)
	c, warns, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.File != path || c.QDepth != 5 || len(warns) != 1 || !strings.HasPrefix(warns[0], path+":2: memory_limit: ") {
		t.Errorf("File %q, QDepth %d, warnings %q", c.File, c.QDepth, warns)
	}
	if len(c.Sum) != 64 {
		t.Errorf("SHA-256 %q", c.Sum)
	}
	if again, _, _ := Load(write(t, path, "q_depth = 6\n", 0o640)); again.Sum == c.Sum {
		t.Error("another file has the same SHA-256")
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	named := filepath.Join(dir, "audisp-relay.toml")
	dangling := filepath.Join(dir, "dangling")
	if err := errors.Join(os.Mkdir(named, 0o755), os.Symlink("/nonexistent/x.toml", dangling)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, want string
		root             bool // only root refuses it
	}{
		{"fifo", fifo, fifo + ": is not a regular file", false},
		{"directory", dir, dir + ": is not a regular file", false},
		{"directory in the place of the file", FileOf(named), named + ": is not a regular file", false},
		{"device", "/dev/zero", "/dev/zero: is not a regular file", false},
		{"link that leads nowhere", dangling, dangling + ": is a symbolic link to /nonexistent/x.toml, which is not there", false},
		{"larger than it says, as while it is written", "/proc/self/status", "/proc/self/status: is being written at this moment", false},
		{"empty", write(t, filepath.Join(dir, "e"), "", 0o600), dir + "/e: has no key", false},
		{"large", write(t, filepath.Join(dir, "l"), strings.Repeat("#", maxConfigSize+1), 0o600), "1MiB", false},
		{"group", write(t, filepath.Join(dir, "g"), "", 0o660), "has mode 0660, others than root must not write it: run chmod go-w " + dir + "/g", true},
		{"others", write(t, filepath.Join(dir, "o"), "", 0o602), "chmod o-w " + dir + "/o", true},
		{"owner", chown(t, write(t, filepath.Join(dir, "u"), "", 0o600)), "is owned by uid 1234, must be root's: run chown root " + dir + "/u", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root refuses files that others can write")
			}
			c, _, err := Load(tt.path)
			if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, %v, want %q", c, err, tt.want)
			}
		})
	}
	if _, _, err := Load(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: got %v", err)
	}
}

// chown gives the file away where the rights for it are there.
func chown(t *testing.T, path string) string {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, -1); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestLoadWithPluginDir(t *testing.T) {
	dir := t.TempDir()
	plugins := filepath.Join(dir, "plugins.d")
	if err := os.Mkdir(plugins, 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(plugins, "syslog.conf"), "active = yes\npath = builtin_syslog\ntype = builtin\n", 0o640)
	write(t, filepath.Join(plugins, "bad.conf"), "active = maybe\n", 0o640)
	path := write(t, filepath.Join(dir, "c.toml"), "\nplugin_dir = '"+plugins+"'\n[sinks.z]\ntype='syslog'\n[sinks.a]\ntype='syslog'", 0o640)
	c, warns, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Sinks {
		names = append(names, s.Name)
	}
	if strings.Join(names, " ") != "a syslog z" {
		t.Errorf("sinks %q", names)
	}
	want := `Skipping "bad.conf" plugin due to errors: ` + plugins + `/bad.conf:1: active: "maybe" is not allowed, must be "yes" or "no"`
	if len(warns) != 1 || warns[0] != want {
		t.Errorf("warnings %q\nwant %q", warns, want)
	}

	write(t, path, "plugin_dir = '"+plugins+"'\n[sinks.syslog]\ntype='syslog'\n[sinks.b]\ntype='unix'\npath='/run/b'\n", 0o640)
	write(t, filepath.Join(plugins, "sock.conf"), "active = yes\npath = builtin_af_unix\nargs = /run/b 0600\n", 0o640)
	var errs Errors
	write(t, filepath.Join(plugins, "good.conf"), "active = yes\npath = builtin_syslog\n", 0o640)
	if c, _, err = Load(path); !errors.As(err, &errs) || len(errs) != 2 {
		t.Fatalf("got %v, want two Errors", err)
	}
	if len(c.Sinks) != 3 || c.Sinks[1].Name != "good" {
		t.Errorf("beside the errors: %+v", c.Sinks)
	}
	if got := errs[0].Error(); got != plugins+`/sock.conf: "/run/b" is written by sinks.b already, must be a path of its own` {
		t.Error(got)
	}
	if got := errs[1].Error(); got != plugins+`/syslog.conf: there is a sink "syslog" already (`+path+`:2), rename one of them` {
		t.Error(got)
	}

	write(t, path, "\nplugin_dir = '/nonexistent/plugins.d'", 0o640)
	if _, _, err = Load(path); !errors.As(err, &errs) || errs[0].Line != 2 || errs[0].Key != "plugin_dir" {
		t.Errorf("absent plugin_dir: got %v", err)
	}
}

// TestRelayIsNoProgram: a program sink that would start the relay itself is an error,
// by whatever name it has, and the rest of the file counts.
func TestRelayIsNoProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "sym")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(self), filepath.Join(dir, "dir")); err != nil {
		t.Fatal(err)
	}
	paths := []string{self, filepath.Join(dir, "sym"), filepath.Join(dir, "dir", filepath.Base(self)), filepath.Dir(self) + "/./" + filepath.Base(self)}
	if hard := self + ".hard"; os.Link(self, hard) == nil {
		t.Cleanup(func() { os.Remove(hard) })
		paths = append(paths, hard)
	}
	for _, path := range paths {
		text := "[sinks.a]\ntype = 'syslog'\n[sinks.p]\ntype = 'program'\npath = '" + path + "'\n"
		c, _, err := Load(write(t, filepath.Join(dir, "c.toml"), text, 0o640))
		if err == nil || !strings.Contains(err.Error(), "c.toml:5: sinks.p.path: ") || !strings.Contains(err.Error(), "is audisp-relay itself") {
			t.Errorf("%s: error %v", path, err)
		}
		if c == nil || len(c.Sinks) != 1 || c.Sinks[0].Name != "a" {
			t.Errorf("%s: %+v, want the other sink alone", path, c)
		}
	}
}

// TestCheckPrograms names what would keep a program from being started.
func TestCheckPrograms(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good"), "", 0o755)
	write(t, filepath.Join(dir, "bad"), "", 0o775)
	text := "[sinks.a]\ntype='program'\npath='" + dir + "/good'\n" +
		"[sinks.b]\ntype='program'\npath='" + dir + "/bad'\n" +
		"[sinks.c]\ntype='program'\npath='" + dir + "/none'\n" +
		"[sinks.d]\ntype='program'\npath='" + dir + "/good'\nuser='nobody-of-that-name'\n"
	c, err := Parse("t.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	warns, err := Survey(c)
	var errs Errors
	errors.As(err, &errs)
	wants := []string{"t.toml:4: sinks.b.path: ", "t.toml:10: sinks.d.user: there is no user"}
	if len(errs) != len(wants) || len(warns) != 1 || !strings.HasPrefix(warns[0], "t.toml:7: sinks.c.path: ") {
		t.Fatalf("%d errors, want %d:\n%v; warnings %q", len(errs), len(wants), errs, warns)
	}
	for i, want := range wants {
		if !strings.HasPrefix(errs[i].Error(), want) {
			t.Errorf("error %q, want it to begin with %q", errs[i], want)
		}
	}
}
