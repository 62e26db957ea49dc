package plugin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/queue"
	"audisp-relay/state"
)

// line is a record of the audit.log of these tests.
func line(serial int, at time.Time) string {
	return fmt.Sprintf("type=USER_CMD msg=audit(%d.%03d:%d): pid=1 uid=0 auid=0 ses=1 msg='cmd=6C73 res=success'\n", at.Unix(), at.UnixMilli()%1000, serial)
}

func lines(from, to int) string {
	var b strings.Builder
	began := time.Now().Truncate(time.Hour)
	for i := from; i <= to; i++ {
		b.WriteString(line(i, began.Add(time.Duration(i)*100*time.Millisecond)))
	}
	return b.String()
}

// serialsIn returns the serials of the records in a file, in order.
func serialsIn(t *testing.T, path string) (list []int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(data), "\n") {
		if _, rest, ok := strings.Cut(l, ":"); ok && !strings.Contains(l, "DAEMON") {
			n := 0
			fmt.Sscanf(rest, "%d", &n)
			list = append(list, n)
		}
	}
	return list
}

// TestStateDirComesLate: the relay before still has state_dir. When it lets go, its spool,
// what the log has up to the first record of this run, and all of this run are given once.
func TestStateDirComesLate(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for name, keys := range map[string]string{
		"Records":  "",
		"Events":   "filter = \"uid == 0\"\n",
		"Lossless": "qos = \"lossless\"\nq_depth = 20\n",
		"NoSpool":  "spool.max_size = \"0\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			comesLate(t, keys, name != "NoSpool")
		})
	}
}

func comesLate(t *testing.T, keys string, spooled bool) {
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.toml")
	out := filepath.Join(dir, "sub/out")
	auditLog := filepath.Join(dir, "audit.log")
	config := strings.ReplaceAll("run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\npriority_boost = 0\noom_score_adj = 0\nlog.output = \"DIR/log\"\n"+
		"recovery.log_file = \"DIR/audit.log\"\n[sinks.f]\ntype = \"file\"\npath = \"DIR/sub/out\"\n"+keys, "DIR", dir)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write(file, config)
	write(auditLog, lines(1, 15))

	// The run before: its place takes nothing, as a file is where its directory should be.
	write(filepath.Join(dir, "sub"), "")
	p, w, end := runFile(t, file)
	fmt.Fprint(w, lines(1, 15))
	wait(t, "the first run has its records", func() bool { return len(p.Report().Consumers) == 1 && p.Report().Consumers[0].Received == 15 })
	end()
	if err := os.Remove(filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	before, err := state.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}

	write(auditLog, lines(1, 45))
	p, w, end = runFile(t, file)
	fmt.Fprint(w, lines(31, 40))
	wait(t, "what comes is given without state_dir", func() bool { return len(serialsIn(t, out)) == 10 })
	if got := p.Report().Consumers[0].Ledger["received"]; got != 10 {
		t.Errorf("%d received before there is a state_dir", got)
	}
	before.Close()
	wait(t, "all is given", func() bool { return len(serialsIn(t, out)) >= 40 })
	fmt.Fprint(w, lines(41, 45))
	wait(t, "the stream continues", func() bool { return len(serialsIn(t, out)) >= 45 && p.Report().Consumers[0].Queued == 0 })
	r := p.Report().Consumers[0]
	if r.Received != r.Delivered+r.Filtered+r.Discarded+r.Queued+r.LostTotal || r.LostTotal != 0 {
		t.Errorf("%+v", r)
	}
	if !spooled { // the first run has counted its own as lost
		r.Ledger["received"] -= 15
	}
	if r.Ledger["received"] != 45 || r.Ledger["delivered"] != 45 {
		t.Errorf("over all runs: %v", r.Ledger)
	}
	end()
	count := make(map[int]int)
	for _, n := range serialsIn(t, out) {
		count[n]++
	}
	for i := 1; i <= 45; i++ {
		if count[i] != 1 {
			t.Errorf("serial %d is given %d times", i, count[i])
		}
	}

	// The next run continues after that.
	write(auditLog, lines(1, 50))
	_, w, end = runFile(t, file)
	fmt.Fprint(w, lines(46, 50))
	wait(t, "the next run", func() bool { return len(serialsIn(t, out)) >= 50 })
	end()
	if got := serialsIn(t, out); len(got) != 50 || got[45] != 46 || got[49] != 50 {
		t.Errorf("%v", got)
	}
}

// TestTheKeyIsKeptAndNotSaid: in state_dir, and nowhere in what the relay says. A removed one
// comes back the same; without a state_dir there is one for the run.
func TestTheKeyIsKeptAndNotSaid(t *testing.T) {
	t.Parallel()
	p, _, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	path := filepath.Join(p.cfg.StateDir, state.KeyName)
	kept := func() bool { _, err := state.ReadKey(path); return err == nil }
	wait(t, "there is a key", kept)
	key, _ := state.ReadKey(path)
	wait(t, "it is up", func() bool { _, err := Query(p.cfg.RunDir); return err == nil })
	removeDir(t, p.cfg.StateDir)
	wait(t, "the key is there again", kept)
	if again, _ := state.ReadKey(path); !bytes.Equal(again, key) {
		t.Error("it is another one")
	}
	report, err := json.Marshal(p.Report())
	if err != nil {
		t.Fatal(err)
	}
	end()
	log, _ := os.ReadFile(p.cfg.Log.Output)
	said, _ := os.ReadFile(filepath.Join(p.cfg.RunDir, stateName))
	saved, _ := os.ReadFile(filepath.Join(p.cfg.StateDir, "state.json"))
	for _, text := range [][]byte{report, log, said, saved} {
		for _, form := range []string{string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key)} {
			if len(text) == 0 || strings.Contains(strings.ToLower(string(text)), strings.ToLower(form)) {
				t.Errorf("the key is in %d bytes of what it says", len(text))
			}
		}
	}
}

func TestWithoutStateDirThereIsAKeyForTheRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.toml")
	config := strings.ReplaceAll("run_dir = \"DIR/run\"\nstate_dir = \"DIR/state/x\"\npriority_boost = 0\noom_score_adj = 0\nlog.output = \"DIR/log\"\n"+
		"recovery.enabled = false\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n", "DIR", dir)
	if err := errors.Join(os.WriteFile(file, []byte(config), 0o640), os.WriteFile(filepath.Join(dir, "state"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	p, w, end := runFile(t, file)
	fmt.Fprint(w, lines(1, 1), lines(3, 3))
	out := func() string { data, _ := os.ReadFile(filepath.Join(dir, "out")); return string(data) }
	wait(t, "a marker reports the gap", func() bool { return strings.Contains(out(), "op=relay-loss") })
	if err := os.Remove(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.cfg.StateDir, state.KeyName)
	wait(t, "the key is kept as soon as it can be", func() bool { _, err := state.ReadKey(path); return err == nil })
	end()
	key, err := state.ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(out()) {
		if text, mac, ok := strings.Cut(strings.TrimSpace(l), " mac="); ok && string(queue.MAC(key, []byte(text))) != mac {
			t.Errorf("not of that key: %q", l)
		}
	}
}

// TestStateDirIsRemoved: positions are saved again, and no other process has the lock.
func TestStateDirIsRemoved(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	dir := p.cfg.StateDir
	saved := func() bool { _, err := os.Stat(filepath.Join(dir, "state.json")); return err == nil }
	wait(t, "positions are saved", saved)
	removeDir(t, dir)
	w.Write(records(5))
	wait(t, "positions are saved again", saved)
	if other, err := state.Try(dir); err == nil {
		other.Close()
		t.Error("another relay gets the lock")
	}
	end()
}

// TestTheEndWhileStateDirComesLate: what this run could not give the next one gives.
func TestTheEndWhileStateDirComesLate(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	file, out := filepath.Join(dir, "relay.toml"), filepath.Join(dir, "out")
	config := strings.ReplaceAll("run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\npriority_boost = 0\noom_score_adj = 0\nlog.output = \"DIR/log\"\n"+
		"recovery.log_file = \"DIR/audit.log\"\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n", "DIR", dir)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write(file, config)
	write(filepath.Join(dir, "audit.log"), lines(1, 10))
	_, w, end := runFile(t, file)
	fmt.Fprint(w, lines(1, 10))
	wait(t, "the first run", func() bool { return len(serialsIn(t, out)) == 10 })
	end()
	before, err := state.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "audit.log"), lines(1, 20))
	p, _, end := runFile(t, file)
	wait(t, "it runs without state_dir", func() bool { _, err := Query(p.cfg.RunDir); return err == nil })
	before.Close()
	wait(t, "it has state_dir", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.Contains(string(log), "state_dir can be used now")
	})
	write(file, config+"filter = \"uid == 0\"\n")
	p.signals.hup <- os.Interrupt // a reload meanwhile
	end()
	_, _, end = runFile(t, file)
	wait(t, "the next run gives what is in the log", func() bool { return len(serialsIn(t, out)) >= 20 })
	end()
	for i, n := range serialsIn(t, out) {
		if n != i+1 {
			t.Fatalf("%v", serialsIn(t, out))
		}
	}
}
