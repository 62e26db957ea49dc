package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReloadLeavesWhatIsFixed: what takes effect at the next start keeps its value for everything until then, and it is said.
func TestReloadLeavesWhatIsFixed(t *testing.T) {
	t.Parallel()
	const sink = "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\nspool.max_size = \"1MiB\"\n"
	p, w, end := run(t, sink, nil)
	w.Write(records(1)) // once that is read, it runs
	dir := filepath.Dir(p.opt.Config)
	text, err := os.ReadFile(p.opt.Config)
	if err != nil {
		t.Fatal(err)
	}
	next := strings.NewReplacer(dir+"/run", dir+"/next", dir+"/state", dir+"/next-state", "1MiB", "5MiB").Replace(string(text))
	if err := os.WriteFile(p.opt.Config, []byte(next), 0o640); err != nil {
		t.Fatal(err)
	}
	p.signals.hup <- syscall.SIGHUP
	wait(t, "it has reloaded", func() bool { return p.Report().Reloads == 1 })

	p.signals.usr1 <- syscall.SIGUSR1
	report := filepath.Join(dir, "run", stateName)
	wait(t, "the report is where the sockets are", func() bool { _, err := os.Stat(report); return err == nil })
	if limit := p.Report().Consumer("f").SpoolMax; limit != 1<<20 {
		t.Errorf("the spool is said to have a limit of %d bytes", limit)
	}
	end()
	for _, name := range []string{"next", "next-state"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for _, key := range []string{"run_dir", "state_dir", "spool of a sink"} {
		if !strings.Contains(string(log), `"key":"`+key+`"`) {
			t.Errorf("nothing is said of %s", key)
		}
	}
}
