package plugin

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
)

// TestDeskRemovesTheNumbersItPut: a worker asks for that after the desk has read which file is next, or that there is none. What lies
// there is not the relay's yet.
func TestDeskRemovesTheNumbersItPut(t *testing.T) {
	const now = `text_file = "DIR/numbers.prom"`
	for _, next := range []string{`text_file = "DIR/next.prom"`, ""} {
		d, dir := deskFor(t, deskConfig)
		putNumbers(t, d)
		other := filepath.Join(dir, "next.prom")
		if err := os.WriteFile(other, []byte("of another"), 0o600); err != nil {
			t.Fatal(err)
		}
		reloadDesk(t, d, dir, strings.Replace(deskConfig, now, next, 1))

		if _, err := d.Serve(broker.NewCall(textItem, opRemove, "")); err != nil {
			t.Errorf("with %q next: %v", next, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "numbers.prom")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with %q next: the file of before: %v", next, err)
		}
		if _, err := os.Stat(other); err != nil {
			t.Errorf("with %q next: %v", next, err)
		}
	}
}

// TestDeskMovesTheNumbers: what the worker puts before it has taken over the configuration that the desk has read.
func TestDeskMovesTheNumbers(t *testing.T) {
	d, dir := deskFor(t, deskConfig)
	putNumbers(t, d)
	reloadDesk(t, d, dir, strings.Replace(deskConfig, "numbers.prom", "next.prom", 1))
	putNumbers(t, d)
	for name, there := range map[string]bool{"numbers.prom": false, "next.prom": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDeskPutsTheReportWhereTheSocketsAre: a reload does not move run_dir.
func TestDeskPutsTheReportWhereTheSocketsAre(t *testing.T) {
	d, dir := deskFor(t, deskConfig)
	reloadDesk(t, d, dir, strings.Replace(deskConfig, "DIR/run", "DIR/next", 1))
	put(t, d, reportItem)
	for name, there := range map[string]bool{"run/state": true, "next": false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// putNumbers has the desk write the text file of metrics.
func putNumbers(t *testing.T, d *desk) {
	t.Helper()
	put(t, d, textItem)
}

// put has the desk write a file.
func put(t *testing.T, d *desk, item string) {
	t.Helper()
	fd, err := config.InMemory([]byte("numbers"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := d.Serve(broker.NewCall(item, opPut, "", fd)); err != nil {
		t.Fatal(err)
	}
}

// reloadDesk gives the desk of deskFor another configuration.
func reloadDesk(t *testing.T, d *desk, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := d.Serve(broker.NewCall(config.ConfigItem, config.OpLoad, ""))
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(a.FDs[0])
}
