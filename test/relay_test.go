// Package test runs the whole program: as auditd runs it, with a stand-in for
// auditd's end of the socket pair here, and with the real auditd in live_test.go.
package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	socket "audisp-relay/sinks/unix"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if how := os.Getenv("RELAY_TEST_EXEC"); how != "" {
		execRelay(how)
	}
	if config := os.Getenv(deadlyEnv); config != "" {
		runDeadly(config)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "relay-test")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "audisp-relay")
	build := exec.Command("go", "build", "-race", "-o", binary, "../cmd/audisp-relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// relay is a running plugin and auditd's end of its stdin.
type relay struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	auditd *os.File // non-blocking
	exited chan error
}

// start runs the program on a config, in which DIR stands for the test's own
// directory. prepare may change how it is started.
func start(t *testing.T, dir, config string, prepare func(*exec.Cmd, [2]int)) *relay {
	t.Helper()
	writeConfig(t, dir, config)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", filepath.Join(dir, "relay.toml"))
	cmd.Stdin = os.NewFile(uintptr(fds[0]), "stdin")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = []string{}             // as auditd does
	cmd.WaitDelay = 30 * time.Second // whoever holds its output after that is an error, and no test that waits for ever
	if prepare != nil {
		prepare(cmd, fds)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin.(*os.File).Close()
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	unix.SetNonblock(fds[1], true)
	r := &relay{t: t, dir: dir, cmd: cmd, auditd: os.NewFile(uintptr(fds[1]), "auditd"), exited: make(chan error, 1)}
	go func() { r.exited <- cmd.Wait() }()
	t.Cleanup(func() {
		r.auditd.Close()
		cmd.Process.Kill()
		if t.Failed() {
			logged, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("output of the relay:\n%s\nits log:\n%s", log.Bytes(), logged)
		}
		if bytes.Contains(log.Bytes(), []byte("DATA RACE")) {
			t.Errorf("race:\n%s", log.Bytes())
		}
	})
	return r
}

// startOrphan runs the program, with records on its stdin, under a shell that ends at once.
func startOrphan(t *testing.T, dir string, records []byte) *relay {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The shell waits for the relay's control socket, so that it is the parent
	// that the relay sees first.
	cmd := exec.Command("/bin/sh", "-c", `"$0" -c "$1/relay.toml" <&3 & i=0
while [ ! -S "$1/run/control.sock" ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done`, binary, dir)
	in := os.NewFile(uintptr(fds[0]), "stdin")
	cmd.ExtraFiles = []*os.File{in}
	unix.SetNonblock(fds[1], true)
	r := &relay{t: t, dir: dir, cmd: cmd, auditd: os.NewFile(uintptr(fds[1]), "auditd")}
	r.write(records) // an orphan may have ended when cmd.Run returns
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { r.auditd.Close() })
	return r
}

// tempDir is short enough for socket paths.
func tempDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "rl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for a relay whose worker is another user's
		t.Fatal(err)
	}
	return dir
}

// writeConfig writes a config with its directories below dir. Unless it says
// otherwise there is no spool and there are no markers, so that a test of a
// queue knows what memory holds and every line of a consumer is a record.
func writeConfig(t *testing.T, dir, config string) {
	t.Helper()
	head := `run_dir = "DIR/run"
state_dir = "DIR/state"
priority_boost = 0
oom_score_adj = 0
`
	if !strings.Contains(config, "loss_markers") {
		head += "loss_markers = false\n"
	}
	if !strings.Contains(config, "[spool]") && !strings.Contains(config, "spool.max_size") {
		head += "spool.max_size = \"0\"\n"
	}
	if !strings.Contains(config, "[log]") {
		head += "log.output = \"DIR/log\"\nlog.level = \"debug\"\n"
	}
	config = strings.ReplaceAll(head+config, "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(config), 0o640); err != nil {
		t.Fatal(err)
	}
}

// write sends bytes as auditd would.
func (r *relay) write(data []byte) {
	r.t.Helper()
	r.auditd.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if _, err := r.auditd.Write(data); err != nil {
		r.t.Fatalf("write to the relay: %v", err)
	}
}

// end closes auditd's end and waits for the relay to exit.
func (r *relay) end() {
	r.t.Helper()
	r.auditd.Close()
	select {
	case err := <-r.exited:
		if err != nil {
			r.t.Fatalf("exit: %v", err)
		}
	case <-time.After(time.Minute):
		r.t.Fatal("the relay does not end at the end of its stream")
	}
}

func (r *relay) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// report asks the relay, waiting until it answers.
func (r *relay) report() *plugin.Report {
	r.t.Helper()
	var rep *plugin.Report
	eventually(r.t, "an answer to status", func() (err error) {
		rep, err = plugin.Query(filepath.Join(r.dir, "run"))
		return err
	})
	return rep
}

func (r *relay) consumer(name string) consumer.Report {
	r.t.Helper()
	for _, c := range r.report().Consumers {
		if c.Name == name {
			return c
		}
	}
	r.t.Fatalf("no consumer %q", name)
	return consumer.Report{}
}

// eventually repeats f until it returns nil.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute) // a busy machine takes long; too much costs nothing
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	eventually(t, what, func() error {
		if !ok() {
			return errors.New("not so")
		}
		return nil
	})
}

// lines returns events with serials from first on, as one stream.
func lines(first, events int) []byte {
	var b bytes.Buffer
	for i := first; i < first+events; i++ {
		fmt.Fprintf(&b, "type=SYSCALL msg=audit(1795296167.053:%d): arch=c000003e syscall=257 success=yes exit=3\n", i)
		fmt.Fprintf(&b, "type=PROCTITLE msg=audit(1795296167.053:%d): proctitle=6C73\n", i)
		fmt.Fprintf(&b, "type=EOE msg=audit(1795296167.053:%d): \n", i)
	}
	return b.Bytes()
}

const recordsPerEvent = 3

func sameFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes (%d lines), want %d (%d lines)", filepath.Base(path),
			len(got), bytes.Count(got, []byte{'\n'}), len(want), bytes.Count(want, []byte{'\n'}))
	}
}

// fills waits until a file has as much as it is to have. At the end of the stream a sink has half a second for the rest, which a busy
// machine may not give it.
func fills(t *testing.T, path string, want []byte) {
	t.Helper()
	until(t, filepath.Base(path)+" has all", func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() >= int64(len(want))
	})
}

// dial connects to a socket sink, waiting for it to be there.
func dial(t *testing.T, r *relay, name, path string) *net.UnixConn {
	t.Helper()
	var conn net.Conn
	before := -1
	eventually(t, "connect to "+path, func() (err error) {
		if before < 0 {
			before = len(r.consumer(name).Sink.Details.(*socket.Details).Clients)
		}
		conn, err = net.Dial("unix", path)
		return err
	})
	t.Cleanup(func() { conn.Close() })
	until(t, "the client shows up in status", func() bool { return len(r.consumer(name).Sink.Details.(*socket.Details).Clients) > before })
	return conn.(*net.UnixConn)
}
