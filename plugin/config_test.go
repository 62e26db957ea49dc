package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStartWithWrongSinks: what is outside of a wrong sink holds, the only sink even, and
// the plugin runs, without any sink, until a reload gives it one.
func TestStartWithWrongSinks(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "name_format = \"user\"\nname = \"web01\"\n[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\nmax_size = \"64MB\"\n", nil)
	dir := filepath.Dir(p.opt.Config)
	w.Write(records(10))
	wait(t, "it has read", func() bool { return p.Report().Input.Records == 10 })
	wait(t, "status works at run_dir", func() bool { r, err := Query(filepath.Join(dir, "run")); return err == nil && r.ConfigError != "" })
	if log, err := os.ReadFile(filepath.Join(dir, "log")); !strings.Contains(string(log), "max_size") {
		t.Errorf("the log is %q, %v", log, err)
	}
	text, err := os.ReadFile(p.opt.Config)
	if err == nil {
		err = os.WriteFile(p.opt.Config, []byte(strings.Replace(string(text), "64MB", "64MiB", 1)), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	reloaded := make(chan struct{})
	p.tasks <- func() { p.reload(); close(reloaded) }
	<-reloaded
	w.Write(records(10))
	wait(t, "the sink delivers", func() bool {
		r := p.Report()
		return len(r.Consumers) == 1 && r.Consumers[0].Delivered == 10 && r.ConfigError == ""
	})
	end()
}

// TestEmptiedConfigChangesNothing: whatever stands in the place of a configuration that
// worked, and is none, the old one stays.
func TestEmptiedConfigChangesNothing(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	file := p.opt.Config
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, put := range map[string]func() error{
		"empty":     func() error { return os.WriteFile(file, nil, 0o640) },
		"comments":  func() error { return os.WriteFile(file, []byte("# \n\n"), 0o640) },
		"cut":       func() error { return os.WriteFile(file, good[:len(good)-5], 0o640) },
		"NUL bytes": func() error { return os.WriteFile(file, make([]byte, len(good)), 0o640) },
		"gone":      func() error { return nil },
		"FIFO":      func() error { return syscall.Mkfifo(file, 0o640) },
		"directory": func() error { return os.Mkdir(file, 0o750) },
		"dangling":  func() error { return os.Symlink("nowhere", file) },
		"device":    func() error { return os.Symlink("/dev/zero", file) },
		"large":     func() error { return os.WriteFile(file, []byte(strings.Repeat("#", 1<<20)+string(good)), 0o640) },
	} {
		must(os.RemoveAll(file))
		must(put())
		reloaded := make(chan struct{})
		p.tasks <- func() { p.reload(); close(reloaded) }
		<-reloaded
		if r := p.Report(); len(r.Consumers) != 1 || r.Consumers[0].Name != "f" || r.ConfigError == "" || r.Reloads != 0 {
			t.Errorf("%s: %d reloads, config error %q, %+v", name, r.Reloads, r.ConfigError, r.Consumers)
		}
	}
	w.Write(records(5))
	wait(t, "the sink delivers", func() bool { return p.Report().Consumers[0].Delivered == 5 })
	end()
}

// TestNamedConfigIsMissing: a file that was named and is not there is an error in the status;
// one in a directory, as auditd 2.x names it, or at the default path, is not.
func TestNamedConfigIsMissing(t *testing.T) {
	dir := t.TempDir()
	for path, wrong := range map[string]bool{dir + "/none.toml": true, dir: false, dir + "/none/none.toml": true} {
		cfg, _, err := loadConfig(path, os.Getppid())
		if cfg == nil || len(cfg.Sinks) != 1 || (err != nil) != wrong {
			t.Errorf("%s: %+v, %v", path, cfg, err)
		}
	}
}
