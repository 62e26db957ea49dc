package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/fleet/wire"
)

var checkpointField = regexp.MustCompile(` ([a-z-]+)=(\S+)`)

// checkpointsIn returns the fields of the checkpoints in a file, and "line" for how many lines are
// before each.
func checkpointsIn(t *testing.T, path string) (list []map[string]string) {
	t.Helper()
	data, _ := os.ReadFile(path) // it may not be there yet
	n := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "type=DAEMON_CONFIG msg=audit(") && strings.Contains(line, "): op=relay-checkpoint ") {
			fields := map[string]string{"line": fmt.Sprint(n)}
			for _, m := range checkpointField.FindAllStringSubmatch(line, -1) {
				fields[m[1]] = m[2]
			}
			list = append(list, fields)
		}
		n++
	}
	return list
}

// TestCheckpointsAmongRecords: a file has one at the start and one at the end of each run, each says
// how many records are before it, and their numbers and the epoch continue over runs.
func TestCheckpointsAmongRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, file := filepath.Join(dir, "out"), filepath.Join(dir, "relay.toml")
	text := fmt.Sprintf("run_dir = %q\nstate_dir = %q\npriority_boost = 0\noom_score_adj = 0\nlog.output = %q\n"+
		"[sinks.siem]\ntype = \"file\"\npath = %q\ncheckpoint = true\n[sinks.plain]\ntype = \"file\"\npath = %q\n",
		filepath.Join(dir, "run"), filepath.Join(dir, "state"), filepath.Join(dir, "log"), out, filepath.Join(dir, "plain"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The end of a run waits a moment only for the last word, which a busy machine may not reach.
	serial, runs, ends := 0, 0, 0
	var list []map[string]string
	for ; ends < 2 && runs < 10; runs++ {
		before := len(list)
		_, in, end := runFile(t, file)
		for range 5 {
			serial++
			fmt.Fprintf(in, "type=USER_CMD msg=audit(1700000000.000:%d): a=b\n", serial)
		}
		wait(t, "the first checkpoint", func() bool { return len(checkpointsIn(t, out)) > before })
		end()
		if list = checkpointsIn(t, out); list[len(list)-1]["reason"] == "end" {
			ends++
		}
	}

	reasons, number := "", 0
	for i, c := range list {
		reasons += c["reason"] + " "
		if c["seq"] != c["line"] || c["epoch"] != list[0]["epoch"] || c["sink"] != "siem" || c["discarded"] != "0" || len(c["mac"]) != 32 || len(c["config"]) != 64 {
			t.Errorf("checkpoint %d: %v", i, c)
		}
		n, err := strconv.Atoi(c["n"])
		if err != nil || n <= number {
			t.Errorf("number %s after %d", c["n"], number)
		}
		number = n
	}
	if !regexp.MustCompile(`^(start (tick )*(end )?)+$`).MatchString(reasons) || ends < 2 || strings.Count(reasons, "start") != runs {
		t.Errorf("in %d runs: %s", runs, reasons)
	}
	last := list[len(list)-1]
	if last["received"] != strconv.Itoa(serial) || last["first"] != strconv.Itoa(serial-4) || last["last"] != strconv.Itoa(serial) {
		t.Errorf("%v", last)
	}
	if ausearch, err := exec.LookPath("ausearch"); err == nil {
		found, err := exec.Command(ausearch, "-if", out, "-m", "DAEMON_CONFIG", "--raw").CombinedOutput()
		if n := strings.Count(string(found), "op=relay-checkpoint"); n != len(list) || err != nil {
			t.Errorf("ausearch finds %d of %d: %v\n%s", n, len(list), err, found)
		}
	}
	if list := checkpointsIn(t, filepath.Join(dir, "plain")); len(list) != 0 {
		t.Errorf("a sink without the key has %v", list)
	}
}

func TestNoteSerials(t *testing.T) {
	var s wire.Serials
	batch := func(serials ...uint32) *record.Batch {
		b := new(record.Batch)
		for _, n := range serials {
			b.Recs = append(b.Recs, record.Record{Type: record.TypeUser, Serial: n})
		}
		return b
	}
	noteSerials(&s, batch(7))
	noteSerials(&s, batch(5, 6, 9))
	for _, name := range []string{"DAEMON_START", "DAEMON_NEWER"} {
		own := batch(1)
		own.Recs[0].Type = record.TypeNumber([]byte(name))
		noteSerials(&s, own)
	}
	without := batch(2)
	without.Recs[0].Flags = record.NoID
	noteSerials(&s, without)
	if s != (wire.Serials{First: 5, Last: 9}) {
		t.Errorf("%+v", s)
	}
}

func TestHashOfAConfiguration(t *testing.T) {
	a, b := config.Default(), config.Default()
	if hashOf(a) == "" || hashOf(a) != hashOf(b) {
		t.Errorf("%q, %q", hashOf(a), hashOf(b))
	}
	if b.Sinks[0].Reserved = []config.Reserved{{Path: "/var/log/audit"}}; hashOf(a) != hashOf(b) || b.Sinks[0].Reserved == nil {
		t.Error("what is known of the machine is in the hash, or gone")
	}
	if b.StateDir = "/elsewhere"; hashOf(a) == hashOf(b) {
		t.Error("another configuration has the same hash")
	}
}
