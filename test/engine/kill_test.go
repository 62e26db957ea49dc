package engine_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
	"audisp-relay/plugin"
	"audisp-relay/test/engine"
)

// relayConfig, in the environment, makes this program a relay that reads stdin.
const relayConfig = "ENGINE_TEST_RELAY"

func TestMain(m *testing.M) {
	if file := os.Getenv(relayConfig); file != "" {
		if err := plugin.New(plugin.Options{Config: file, In: os.Stdin, Window: 60 * time.Millisecond}).Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// auditd stands for the daemon: what it says goes to audit.log and then to the relay, which it
// starts again when it is gone.
type auditd struct {
	t      *testing.T
	dir    string
	serial uint32
	back   time.Duration // how far the clock was set back
	rnd    *rand.Rand
	relay  *exec.Cmd
	in     io.WriteCloser
}

// start starts a relay.
func (d *auditd) start() {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	d.relay = exec.Command(self)
	d.relay.Env = append(os.Environ(), relayConfig+"="+filepath.Join(d.dir, "relay.toml"))
	d.relay.Stderr = os.Stderr
	if d.in, err = d.relay.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	if err := d.relay.Start(); err != nil {
		d.t.Fatal(err)
	}
}

// kill kills it. What it had not read of its stdin is gone.
func (d *auditd) kill() {
	d.relay.Process.Signal(syscall.SIGKILL)
	d.relay.Wait()
	d.in.Close()
}

// awaitPosition waits until the relay has saved where it is: of a first run that is killed before
// that, the next one knows nothing.
func (d *auditd) awaitPosition() {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		saved, err := os.ReadFile(filepath.Join(d.dir, "state", "state.json"))
		if err == nil && bytes.Contains(saved, []byte(`"has_id":true`)) {
			return
		}
	}
	d.t.Fatal("no position is saved")
}

// end ends it in order.
func (d *auditd) end() {
	d.in.Close()
	d.relay.Wait()
}

// event writes the next event, to the log alone if there is no relay.
func (d *auditd) event(toRelay bool) {
	d.serial++
	id := fmt.Sprintf("audit(%.3f:%d)", float64(time.Now().Add(-d.back).UnixMilli())/1000, d.serial)
	var b bytes.Buffer
	if d.rnd.IntN(3) == 0 {
		fmt.Fprintf(&b, "type=USER_LOGIN msg=%s: pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'\n", id)
	} else {
		fmt.Fprintf(&b, "type=SYSCALL msg=%s: arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7f a2=241 a3=180 items=1 ppid=1 pid=2 auid=1000 "+
			"uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm=\"gen\" exe=\"/bin/gen\" key=\"fim\"\n", id)
		fmt.Fprintf(&b, "type=CWD msg=%s: cwd=\"/\"\n", id)
		fmt.Fprintf(&b, "type=PATH msg=%s: item=0 name=\"/srv/x%d\" inode=1 dev=fe:00 mode=0100600 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL "+
			"cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n", id, d.serial)
		fmt.Fprintf(&b, "type=PROCTITLE msg=%s: proctitle=\"b\"\n", id)
	}
	f, err := os.OpenFile(filepath.Join(d.dir, "audit.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(b.Bytes())
		f.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	if toRelay {
		if b.Len() > 200 {
			fmt.Fprintf(&b, "type=EOE msg=%s: \n", id)
		}
		d.in.Write(b.Bytes()) // fails when it was killed: then the log alone has it
	}
}

// load writes events for so long, some tens at a time.
func (d *auditd) load(span time.Duration, toRelay bool) {
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(time.Duration(d.rnd.IntN(6)) * time.Millisecond) {
		for range 1 + d.rnd.IntN(30) {
			d.event(toRelay)
		}
	}
}

// check waits until the stream has all of the log, and wants each line once and no others but
// EOE records.
func (d *auditd) check(r *engine.Reader) {
	d.t.Helper()
	log, err := os.ReadFile(filepath.Join(d.dir, "audit.log"))
	if err != nil {
		d.t.Fatal(err)
	}
	var missing, twice, other int
	var first string
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		body, err := r.Read()
		if err != nil {
			d.t.Fatal(err)
		}
		missing, twice, other, first = compare(log, body)
		if missing == 0 || time.Now().After(deadline) {
			break
		}
	}
	if missing+twice+other > 0 {
		said, _ := os.ReadFile(filepath.Join(d.dir, "log"))
		d.t.Errorf("of %d lines %d are missing, %d there more than once, %d were never written; the first: %.150q\nlog:\n%s",
			bytes.Count(log, []byte("\n")), missing, twice, other, first, said)
	}
	d.t.Logf("%d lines in %d batches", bytes.Count(log, []byte("\n")), len(r.Heads))
}

func compare(log, body []byte) (missing, twice, other int, first string) {
	left := make(map[string]int)
	for l := range strings.Lines(string(log)) {
		left[l] = 1
	}
	note := func(n *int, l string) {
		if *n++; first == "" {
			first = l
		}
	}
	for l := range strings.Lines(string(body)) {
		n, there := left[l]
		switch {
		case !there && strings.HasPrefix(l, "type=EOE"):
		case !there:
			note(&other, l)
		case n == 0:
			note(&twice, l)
		}
		left[l] = 0
	}
	for l, n := range left {
		if n > 0 {
			note(&missing, l)
		}
	}
	return missing, twice, other, first
}

// TestKilledRelayRepeatsAndMissesNothing: kill -9 at random moments under load, with and without
// a spool, with a filter and without: the stream of a real server has every line of audit.log once.
func TestKilledRelayRepeatsAndMissesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	kills := 5 // ENGINE_KILLS: more
	if n, err := strconv.Atoi(os.Getenv("ENGINE_KILLS")); err == nil {
		kills = n
	}
	for name, keys := range map[string]string{
		"records":        "",
		"events":         `filter = "serial > 0"`,
		"with a spool":   "q_depth = 200\nspool = { max_size = \"64MiB\" }",
		"clock set back": "q_depth = 200\nspool = { max_size = \"64MiB\" }",
		"server killed":  "spool = { max_size = \"64MiB\" }",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := engine.StartNATS(t, 1, "").Nodes[0]
			admin := engine.NewAdmin(t, []string{node.URL})
			admin.Make(engine.Records(1))
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			d := &auditd{t: t, dir: t.TempDir(), serial: 1000, rnd: rand.New(rand.NewPCG(seed, 0))}
			d.configure(node.URL, keys)
			d.start()
			d.event(true)
			d.awaitPosition()
			for i := range kills {
				d.load(time.Duration(300+d.rnd.IntN(900))*time.Millisecond, true)
				if name == "server killed" && i%2 == 0 {
					node.Kill()
					d.load(300*time.Millisecond, true)
				}
				if name == "clock set back" {
					d.back += 20 * time.Minute
				}
				d.kill()
				d.load(time.Duration(d.rnd.IntN(200))*time.Millisecond, false)
				d.start()
				if name == "server killed" && i%2 == 0 {
					for range i { // of this no run can ask what the server has
						d.load(300*time.Millisecond, true)
						d.kill()
						d.start()
					}
					d.load(300*time.Millisecond, true)
					node.Restart()
				}
			}
			d.load(time.Second, true)
			d.check(engine.NewReader(admin, wire.StreamRecords, "audit.rec.*"))
			d.end()
		})
	}
}

func (d *auditd) configure(url, keys string) {
	d.t.Helper()
	text := strings.NewReplacer("DIR", d.dir, "URL", url).Replace(`
run_dir = "DIR/run"
state_dir = "DIR/state"
priority_boost = 0
oom_score_adj = 0
log.output = "DIR/log"
recovery.log_file = "DIR/audit.log"
[sinks.fleet]
type = "nats"
servers = ["URL"]
qos = "lossless"
`) + keys + "\n"
	if !strings.Contains(keys, "spool") {
		text += "spool = { max_size = \"0\" }\n"
	}
	if err := os.WriteFile(filepath.Join(d.dir, "relay.toml"), []byte(text), 0o640); err != nil {
		d.t.Fatal(err)
	}
}
