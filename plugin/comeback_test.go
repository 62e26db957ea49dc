package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSinkThatComesBackAtOnceHasItsSpool: a sink is taken away and put back by two reloads in a row, the second while it is
// still ending. What it had not delivered is delivered, and nothing is lost.
func TestSinkThatComesBackAtOnceHasItsSpool(t *testing.T) {
	t.Parallel()
	const keep = "[sinks.keep]\ntype = \"file\"\npath = \"DIR/keep\"\n"
	p, w, end := run(t, keep+"[sinks.x]\ntype = \"file\"\npath = \"DIR/later/out\"\nspool.max_size = \"1MiB\"\n", nil)
	defer end()
	dir := filepath.Dir(p.opt.Config)
	with, err := os.ReadFile(p.opt.Config)
	if err != nil {
		t.Fatal(err)
	}
	without, _, _ := strings.Cut(string(with), "[sinks.x]")
	reload := func(text string, reloads uint64) {
		if err := os.WriteFile(p.opt.Config, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		p.signals.hup <- syscall.SIGHUP
		wait(t, "it has reloaded", func() bool { return p.Report().Reloads >= reloads })
	}

	w.Write(records(50))
	wait(t, "all is queued", func() bool { c := p.Report().Consumer("x"); return c != nil && c.Queued == 50 })
	reload(without, 1)
	reload(string(with), 2)
	wait(t, "it is back", func() bool { return p.Report().Consumer("x") != nil })
	if c := p.Report().Consumer("x"); c.TakenOver != 50 || c.LostTotal != 0 {
		t.Errorf("%d records taken over, %d lost", c.TakenOver, c.LostTotal)
	}

	if err := os.Mkdir(filepath.Join(dir, "later"), 0o750); err != nil {
		t.Fatal(err)
	}
	w.Write(records(50))
	wait(t, "all is delivered", func() bool { return p.Report().Consumer("x").Delivered >= 100 })
	if text, err := os.ReadFile(filepath.Join(dir, "later", "out")); string(text) != strings.Repeat(string(records(50)), 2) {
		t.Errorf("the file has %d bytes: %v", len(text), err)
	}
	if log := logOf(t, p); strings.Contains(log, "no spool") {
		t.Error("it had no spool")
	}
}

// TestPositionOfASinkThatIsEnding is the present one from the reload on that takes the sink away: it was that of the start of
// this run until it had ended, so that a kill meanwhile repeated all of the run.
func TestPositionOfASinkThatIsEnding(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "[sinks.keep]\ntype = \"file\"\npath = \"DIR/keep\"\n[sinks.x]\ntype = \"file\"\npath = \"DIR/out\"\n", nil)
	defer end()
	w.Write(records(50))
	wait(t, "all is delivered", func() bool { c := p.Report().Consumer("x"); return c != nil && c.Delivered == 50 })
	text, err := os.ReadFile(p.opt.Config)
	if err != nil {
		t.Fatal(err)
	}
	next, _, _ := strings.Cut(string(text), "[sinks.x]")
	if err := os.WriteFile(p.opt.Config, []byte(next), 0o640); err != nil {
		t.Fatal(err)
	}
	inMain(p, func() {
		p.reload()
		if now, _ := p.saver.of("x"); now.Number != 50 || now.Totals["delivered"] != 50 {
			t.Errorf("at %d, %d delivered", now.Number, now.Totals["delivered"])
		}
	})
}
