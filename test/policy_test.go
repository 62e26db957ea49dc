package test

import (
	"audisp-relay/plugin/consumer"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// balanced fails unless every record of a consumer is accounted for.
func balanced(t *testing.T, c consumer.Report) {
	t.Helper()
	if sum := c.Delivered + c.Filtered + c.Discarded + c.Queued + c.LostTotal; sum != c.Received {
		t.Errorf("%s: received %d, accounted for %d: %+v", c.Name, c.Received, sum, c)
	}
}

// stopped connects a client that never reads, with little room in its socket.
func stopped(t *testing.T, r *relay, sink, path string) *net.UnixConn {
	t.Helper()
	conn := dial(t, r, sink, path)
	conn.SetReadBuffer(1)
	return conn
}

const twoSinks = fileSink + `
[sinks.slow]
type = "unix"
path = "DIR/sock"
group = "root"
q_depth = 100
slow_client = "drop"
`

func TestLossyConsumerLosesWhatTheArithmeticSaysAndOthersNothing(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, twoSinks, nil)
	conn := stopped(t, r, "slow", filepath.Join(dir, "sock"))
	const events = 30000
	for i := 1; i <= events; i += 100 {
		r.write(lines(i, 100))
	}
	until(t, "the file has all", func() bool { return r.consumer("file").Delivered == events*recordsPerEvent })
	c := r.consumer("slow")
	balanced(t, c)
	if c.Received != events*recordsPerEvent || c.LostTotal == 0 || c.Lost["queue-full"].Records != c.LostTotal {
		t.Errorf("%+v", c)
	}
	// Now it reads: it gets every record that is not counted as lost, whole.
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(conn)
		got <- all
	}()
	until(t, "the queue is empty", func() bool { return r.consumer("slow").Queued == 0 })
	c = r.consumer("slow")
	r.end()
	all := <-got
	if n := uint64(bytes.Count(all, []byte{'\n'})); n != c.Received-c.LostTotal {
		t.Errorf("the client has %d records, want %d - %d", n, c.Received, c.LostTotal)
	}
	known := make(map[string]bool)
	for line := range bytes.Lines(lines(1, events)) {
		known[string(line)] = true
	}
	for line := range bytes.Lines(all) {
		if !known[string(line)] {
			t.Fatalf("torn record %q", line)
		}
	}
	sameFile(t, filepath.Join(dir, "out"), lines(1, events))
	logged, _ := os.ReadFile(filepath.Join(dir, "log"))
	if !strings.Contains(string(logged), fmt.Sprintf(`"total":%d`, c.LostTotal)) {
		t.Errorf("the log does not name the total of %d", c.LostTotal)
	}
}

func TestLosslessConsumerStopsTheReaderAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	// A widened pipe would take all that is written, whether it is read or not.
	r := start(t, dir, "input_buffer = \"0\"\n"+strings.ReplaceAll(twoSinks, `q_depth = 100`, `q_depth = 100
qos = "lossless"`), nil)
	conn := stopped(t, r, "slow", filepath.Join(dir, "sock"))
	const events = 20000
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := 1; i <= events; i += 100 {
			r.write(lines(i, 100))
		}
	}()
	until(t, "the stall is reported", func() bool { return r.consumer("slow").Stalled > 0 })
	select {
	case <-written:
		t.Fatal("the reader did not stop")
	default:
	}
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(conn)
		got <- all
	}()
	<-written
	until(t, "all delivered", func() bool { return r.consumer("slow").Delivered == events*recordsPerEvent })
	c := r.consumer("slow")
	balanced(t, c)
	r.end()
	if all := <-got; !bytes.Equal(all, lines(1, events)) {
		t.Errorf("%d bytes of %d", len(all), len(lines(1, events)))
	}
	sameFile(t, filepath.Join(dir, "out"), lines(1, events))
}

// TestTheStreamEndsWhileALosslessConsumerStopsTheReader: auditd 4.2 waits for
// the plugin without limit, so it must notice though it does not read.
func TestTheStreamEndsWhileALosslessConsumerStopsTheReader(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink+`
[sinks.dead]
type = "file"
path = "DIR/no/such/dir/out"
qos = "lossless"
q_depth = 100
`, nil)
	r.write(lines(1, 100))
	until(t, "the reader has stopped", func() bool { return r.consumer("dead").Stalled > 0 })
	r.write(lines(101, 100)) // which are not read
	r.end()                  // which a relay that waits for its consumer never does
	sameFile(t, filepath.Join(dir, "out"), lines(1, 200))
	state, err := os.ReadFile(filepath.Join(dir, "run", "state"))
	if want := fmt.Sprintf("dead lost shutdown = %d records", 200*recordsPerEvent); err != nil || !strings.Contains(string(state), want) {
		t.Errorf("the state report does not say %q: %v\n%s", want, err, state)
	}
}

func TestSuspendUntilUSR2(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, strings.ReplaceAll(twoSinks, `q_depth = 100`, `q_depth = 100
overflow_action = "suspend"
when_idle = "queue"`), nil)
	sent := 0
	for !r.consumer("slow").Suspended {
		r.write(lines(sent+1, 100))
		sent += 100
		until(t, "read", func() bool { return r.consumer("slow").Received == uint64(sent*recordsPerEvent) })
	}
	conn := dial(t, r, "slow", filepath.Join(dir, "sock"))
	go io.Copy(io.Discard, conn)
	until(t, "drained", func() bool { return r.consumer("slow").Queued == 0 })
	before := r.consumer("slow")
	r.write(lines(sent+1, 10))
	until(t, "counted", func() bool {
		return r.consumer("slow").Lost["suspended"].Records == before.Lost["suspended"].Records+10*recordsPerEvent
	})
	r.signal(syscall.SIGUSR2)
	until(t, "resumed", func() bool { return !r.consumer("slow").Suspended })
	r.write(lines(sent+11, 10))
	until(t, "delivered again", func() bool {
		return r.consumer("slow").Delivered == before.Delivered+10*recordsPerEvent
	})
	balanced(t, r.consumer("slow"))
	r.end()
}

func TestReloadNeitherLosesNorRepeats(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink, nil)
	r.report()
	stop := make(chan struct{})
	count := make(chan int)
	go func() {
		events := 0
		for {
			select {
			case <-stop:
				count <- events
				return
			default:
				r.write(lines(events+1, 20))
				events += 20
				time.Sleep(time.Millisecond) // as much as there is would keep the tests beside this one waiting
			}
		}
	}()
	configs := []string{
		fileSink + "q_depth = 500\n", // the queue only
		fileSink + "sync = \"none\"\n",
		fileSink + "compress = true\n[sinks.other]\ntype = \"file\"\npath = \"DIR/other\"\n",
		"nonsense = 1\n" + fileSink, // refused
		fileSink,                    // other goes again
	}
	reloads := uint64(0)
	for i := range 20 {
		c := configs[i%len(configs)]
		writeConfig(t, dir, c)
		bad := strings.HasPrefix(c, "nonsense")
		if !bad {
			reloads++
		}
		r.signal(syscall.SIGHUP)
		until(t, "reload", func() bool {
			rep := r.report()
			return rep.Reloads == reloads && (rep.ConfigError != "") == bad
		})
	}
	close(stop)
	events := <-count
	fills(t, filepath.Join(dir, "out"), lines(1, events))
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, events))
}

func TestBadConfigAtStartRunsWhatIsRight(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink+`
[sinks.bad]
type = "unix"
path = "relative"
`, nil)
	if rep := r.report(); !strings.Contains(rep.ConfigError, "path") || !strings.Contains(rep.ConfigError, "relay.toml:") {
		t.Errorf("config error %q", rep.ConfigError)
	}
	r.write(lines(1, 5))
	fills(t, filepath.Join(dir, "out"), lines(1, 5))
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 5))
}

func TestDeadPlacesDegradeTheirSinkOnly(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink+`
[sinks.nodir]
type = "file"
path = "DIR/no/such/dir/out"
[sinks.noserver]
type = "syslog"
transport = "tcp"
address = "127.0.0.1:1"
[sinks.noprogram]
type = "program"
path = "/no/such/program"
[sinks.nolog]
type = "syslog"
address = "DIR/nolog"
[sinks.nosock]
type = "unix"
path = "DIR/no/such/dir/sock"
group = "root"
`, nil)
	r.write(lines(1, 50))
	for _, name := range []string{"nodir", "noserver", "noprogram", "nolog", "nosock"} {
		until(t, name+" is degraded", func() bool {
			c := r.consumer(name)
			return c.Sink.Degraded && c.Sink.Error != ""
		})
	}
	until(t, "the file sink works", func() bool { return r.consumer("file").Delivered == 50*recordsPerEvent })
	// One is repaired and catches up.
	if err := os.MkdirAll(filepath.Join(dir, "no/such/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGHUP)
	until(t, "it catches up", func() bool { return r.consumer("nodir").Delivered == 50*recordsPerEvent })
	for _, c := range r.report().Consumers {
		balanced(t, c)
	}
	r.end()
	sameFile(t, filepath.Join(dir, "no/such/dir/out"), lines(1, 50))
	state, err := os.ReadFile(filepath.Join(dir, "run", "state"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("noserver lost shutdown = %d records", 50*recordsPerEvent); !strings.Contains(string(state), want) {
		t.Errorf("the state report does not say %q:\n%s", want, state)
	}
}

func TestOrphanTakesWhatIsThereAndEnds(t *testing.T) {
	t.Parallel()
	// The parent goes without closing the stream: something else holds it open.
	dir := tempDir(t)
	writeConfig(t, dir, fileSink)
	r := startOrphan(t, dir, lines(1, 10))
	eventually(t, "the orphan has written", func() error {
		got, err := os.ReadFile(filepath.Join(dir, "out"))
		if err == nil && !bytes.Equal(got, lines(1, 10)) {
			err = fmt.Errorf("%d bytes so far", len(got))
		}
		return err
	})
	eventually(t, "the orphan has ended", func() error {
		state, err := os.ReadFile(filepath.Join(dir, "run", "state"))
		if err == nil && !bytes.Contains(state, []byte("file delivered = 30\n")) {
			err = fmt.Errorf("state report:\n%s", state)
		}
		return err
	})
	// auditd's end is open still; nothing reads the other one any more.
	until(t, "stdin is closed", func() bool {
		r.auditd.SetWriteDeadline(time.Now().Add(time.Second))
		_, err := r.auditd.Write([]byte("x"))
		return err != nil
	})
}
