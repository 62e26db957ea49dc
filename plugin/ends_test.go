package plugin

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestEndsLoseNothing: however a run of the relay ends, by kill -9, by the end of the
// stream or with a reload before that, and whatever the stream lacked just then,
// lossless consumers have all that audit.log has, and nothing is said to be lost.
func TestEndsLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	cases := uint64(4) // ENDS_CASES: more
	if n, err := strconv.ParseUint(os.Getenv("ENDS_CASES"), 10, 16); err == nil {
		cases = n
	}
	var all sync.WaitGroup
	first, _ := strconv.ParseUint(os.Getenv("ENDS_SEED"), 10, 32)
	for seed := range cases {
		all.Go(func() { newEnds(t, first+seed).play() })
	}
	all.Wait()
}

// ends is a host on which the relay ends again and again.
type ends struct {
	t      *testing.T
	seed   uint64
	rnd    *rand.Rand
	dir    string // of the present run
	log    string // audit.log, which all runs share
	serial uint32
	out    io.WriteCloser
	held   [][]byte // lines of the stream that come late
	what   strings.Builder
}

func newEnds(t *testing.T, seed uint64) *ends {
	e := &ends{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 8)), serial: 1000 + uint32(seed%4000)<<20}
	dir := t.TempDir()
	e.log = filepath.Join(dir, "audit.log")
	e.dir = filepath.Join(dir, "run0")
	if err := os.Mkdir(e.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *ends) play() {
	const runs = 6
	for n := range runs {
		last := n == runs-1
		plugin, ended := e.start()
		if early := !last && e.rnd.IntN(2) == 0; early { // before it knows what the one before has left
			e.clean(time.Duration(e.rnd.IntN(500)) * time.Millisecond)
		} else {
			e.clean(1100*time.Millisecond + time.Duration(e.rnd.IntN(300))*time.Millisecond)
		}
		e.faulty(1 + e.rnd.IntN(60))
		e.clean(time.Duration(e.rnd.IntN(120)) * time.Millisecond)
		if e.rnd.IntN(3) == 0 {
			plugin.signals.hup <- syscall.SIGHUP
			e.clean(time.Duration(e.rnd.IntN(120)) * time.Millisecond)
		}
		kill := !last && e.rnd.IntN(2) == 0
		fmt.Fprintf(&e.what, "run %d ends at serial %d, kill %v; ", n, e.serial, kill)
		next := filepath.Join(filepath.Dir(e.dir), fmt.Sprint("run", n+1))
		if kill {
			e.copyTo(next)
		}
		e.out.Close()
		if err := <-ended; err != nil {
			e.t.Error(err)
		}
		if !last && !kill {
			e.copyTo(next)
		}
		if !last {
			e.held = nil
			e.dir = next
			if e.rnd.IntN(2) == 0 {
				e.logged(1 + e.rnd.IntN(40)) // while no relay runs
			}
		}
	}
	e.settle()
	for _, name := range endsSinks {
		e.check(name)
	}
}

// endsSinks are the consumers, and the files that they write.
var endsSinks = []string{"events", "plain", "serial"}

// settle gives a last run the time to bring what the ends before had no time for.
func (e *ends) settle() {
	e.copyTo(filepath.Join(filepath.Dir(e.dir), "last"))
	e.dir = filepath.Join(filepath.Dir(e.dir), "last")
	plugin, ended := e.start()
	until(func() bool {
		r := plugin.Report()
		left := 0
		for i, name := range endsSinks {
			left += int(r.Consumers[i].Queued) + len(e.missing(name))
		}
		return r.Recovery.Mode == "stream" && left == 0
	})
	e.out.Close()
	if err := <-ended; err != nil {
		e.t.Error(err)
	}
}

// until waits until ok, for a minute at most.
func until(ok func() bool) {
	for end := time.Now().Add(time.Minute); !ok() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
}

// start starts a run of the relay in e.dir.
func (e *ends) start() (*Plugin, <-chan error) {
	config := filepath.Join(e.dir, "relay.toml")
	text := strings.NewReplacer("DIR", e.dir, "LOG", e.log).Replace(`
run_dir = "DIR/run"
state_dir = "DIR/state"
priority_boost = 0
oom_score_adj = 0
log.output = "DIR/log"
spool.max_size = "0"
recovery.log_file = "LOG"
[sinks.plain]
type = "file"
path = "DIR/plain"
max_size = "0"
qos = "lossless"
[sinks.events]
type = "file"
path = "DIR/events"
max_size = "0"
qos = "lossless"
filter = "serial > 0"
[sinks.serial]
type = "file"
path = "DIR/serial"
max_size = "0"
qos = "lossless"
order = "serial"
`)
	if err := os.WriteFile(config, []byte(text), 0o640); err != nil {
		e.t.Error(err)
	}
	in, out := io.Pipe()
	e.out = out
	p := New(Options{Config: config, In: in, Window: 60 * time.Millisecond})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	e.clean(10 * time.Millisecond)
	until(func() bool {
		_, err := os.Stat(filepath.Join(e.dir, "state", "state.json"))
		return err == nil
	})
	return p, ended
}

// copyTo copies what a kill at this moment leaves: what was saved first, then what was
// delivered, as the relay has it.
func (e *ends) copyTo(dir string) {
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		e.t.Error(err)
	}
	for _, name := range append([]string{"state/state.json"}, endsSinks...) {
		data, err := os.ReadFile(filepath.Join(e.dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			e.t.Error(err)
		}
	}
}

// event makes the next event: what the log has of it and what the stream may bring.
func (e *ends) event() (log, stream [][]byte) {
	e.serial++
	id := fmt.Sprintf("audit(%.3f:%d)", float64(time.Now().UnixMilli())/1000, e.serial)
	line := func(typ, body string) {
		stream = append(stream, fmt.Appendf(nil, "type=%s msg=%s: %s\n", typ, id, body))
	}
	if e.rnd.IntN(3) == 0 {
		line("USER_LOGIN", "pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'")
		return stream, stream
	}
	paths := e.rnd.IntN(3)
	line("SYSCALL", fmt.Sprintf("arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7f a2=241 a3=180 items=%d ppid=1 pid=2 "+
		"auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm=\"gen\" exe=\"/bin/gen\" key=\"fim\"", paths))
	if paths > 0 {
		line("CWD", `cwd="/"`) // not missed where there is no path
	}
	for k := range paths {
		line("PATH", fmt.Sprintf("item=%d name=\"/srv/x%d\" inode=1 dev=fe:00 mode=0100600 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL "+
			"cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0", k, e.serial))
	}
	line("PROCTITLE", `proctitle="b"`) // in hex a cut could not be seen
	log = stream
	line("EOE", "")
	return log, stream
}

func (e *ends) append(lines [][]byte) {
	f, err := os.OpenFile(e.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(bytes.Join(lines, nil))
		f.Close()
	}
	if err != nil {
		e.t.Error(err)
	}
}

func (e *ends) send(lines [][]byte) {
	if e.seed%3 == 1 { // as auditd 4.2.1 does with log_format RAW
		lines = slices.Clone(lines)
		for i, l := range lines {
			lines[i] = append(slices.Clone(l[:max(1, len(l)-17)]), '\n')
		}
	}
	if _, err := e.out.Write(bytes.Join(lines, nil)); err != nil {
		e.t.Error(err)
	}
}

// logged is events that only the log has.
func (e *ends) logged(n int) {
	for range n {
		log, _ := e.event()
		e.append(log)
	}
}

// clean is a time in which the stream brings everything.
func (e *ends) clean(d time.Duration) {
	e.send(e.held)
	e.held = nil
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(time.Duration(e.rnd.IntN(8)) * time.Millisecond) {
		log, stream := e.event()
		e.append(log)
		e.send(stream)
	}
}

// faulty is n events of which the stream loses some, or records of them, or their ends.
func (e *ends) faulty(n int) {
	for range n {
		log, stream := e.event()
		e.append(log)
		switch k := e.rnd.IntN(len(stream)); e.rnd.IntN(12) {
		case 0, 1: // lost
			continue
		case 2, 3: // one record lost
			stream = append(append([][]byte(nil), stream[:k]...), stream[k+1:]...)
		case 4: // one record cut
			stream = append([][]byte(nil), stream...)
			stream[k] = append(append([]byte(nil), stream[k][:1+e.rnd.IntN(len(stream[k])-2)]...), '\n')
		case 5: // late
			e.held = append(e.held, stream...)
			continue
		}
		e.send(stream)
		if len(e.held) > 0 && e.rnd.IntN(4) == 0 {
			e.send(e.held)
			e.held = nil
		}
		if e.rnd.IntN(4) == 0 {
			time.Sleep(time.Duration(e.rnd.IntN(10)) * time.Millisecond)
		}
	}
}

// missing returns the lines of the log that a consumer does not have.
func (e *ends) missing(name string) (lines []string) {
	log, err := os.ReadFile(e.log)
	if err != nil {
		e.t.Error(err)
	}
	out, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil && !os.IsNotExist(err) {
		e.t.Error(err)
	}
	has := make(map[string]bool)
	for l := range strings.Lines(string(out)) {
		has[l] = true
	}
	for l := range strings.Lines(string(log)) {
		if !has[l] {
			lines = append(lines, l)
		}
	}
	return lines
}

// check compares what a consumer has with the log.
func (e *ends) check(name string) {
	if lines := e.missing(name); len(lines) > 0 {
		e.t.Errorf("case %d, %s: %d lines missing, the first is %.100q; %s", e.seed, name, len(lines), lines[0], e.what.String())
		if dir := os.Getenv("ENDS_KEEP"); dir != "" {
			os.CopyFS(filepath.Join(dir, fmt.Sprint("case", e.seed, name)), os.DirFS(filepath.Dir(e.dir)))
		}
	}
	out, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		e.t.Error(err)
	}
	if k := bytes.Index(out, []byte("op=relay-loss")); k >= 0 {
		e.t.Errorf("case %d, %s: a loss is reported where none was: %.150q; %s", e.seed, name, out[k:], e.what.String())
	}
}
