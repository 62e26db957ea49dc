// Package otelcol runs the OpenTelemetry Collector's otlpreceiver for tests, built from
// test/servers/collector once for each version of that.
package otelcol

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// Record is a log record that the collector has taken.
type Record struct {
	UID      string `json:"uid"`
	Event    string `json:"event"`
	Severity string `json:"severity"`
	Time     int64  `json:"time"` // ns since 1970
	Host     string `json:"host"`
	Body     string `json:"body"`
}

// Collector is a collector of a test's own. It belongs to the test's goroutine.
type Collector struct {
	Address string // host:port, of loopback

	t       testing.TB
	program string
	args    []string
	out     string
	cmd     *exec.Cmd // nil: it does not run
	ended   chan struct{}
}

// Start starts a collector, with further arguments of test/servers/collector, which is killed at the end
// of the test. The test is skipped where it cannot be built, which takes the network and, the first
// time, minutes.
func Start(t testing.TB, args ...string) *Collector {
	t.Helper()
	c := &Collector{t: t, program: build(t), out: filepath.Join(t.TempDir(), "records"), Address: freePort(t)}
	c.args = append([]string{"-listen", c.Address, "-out", c.out}, args...)
	c.Restart()
	t.Cleanup(c.Kill)
	return c
}

// Restart starts it again after Kill, at the same address and with the same file.
func (c *Collector) Restart() {
	c.t.Helper()
	cmd := exec.Command(c.program, c.args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		runtime.LockOSThread() // Pdeathsig is about the thread
		defer runtime.UnlockOSThread()
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c.t.Fatalf("the collector does not start: %q, %v: %s", line, err, said.String())
	}
	c.cmd, c.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		_ = cmd.Wait()
	}(c.ended)
}

// Kill ends it by SIGKILL.
func (c *Collector) Kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
	c.cmd = nil
}

// Out is the file with what it has taken, a JSON object on a line.
func (c *Collector) Out() string { return c.out }

// Records returns what it has taken so far, in the order in which it came.
func (c *Collector) Records() (all []Record) {
	c.t.Helper()
	text, err := os.ReadFile(c.out)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it was killed while it wrote
		}
		if k := bytes.LastIndex(line, []byte(`{"uid":"`)); k > 0 {
			line = line[k:] // it was killed while it wrote what stands in front, and started again
		}
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			c.t.Fatalf("%.200q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// build returns the program, from the user's cache folder if it is there.
func build(t testing.TB) string {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "test/servers/collector")
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version())
	for _, name := range []string{"main.go", "go.mod", "go.sum"} {
		text, rerr := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = rerr
		}
		sum.Write(text)
	}
	cache, cerr := os.UserCacheDir()
	if err != nil || cerr != nil {
		lab.Missing(t, "the collector's source or a folder for it: %v, %v", err, cerr)
	}

	program := filepath.Join(cache, "audisp-relay-test", fmt.Sprintf("collector-%x", sum.Sum(nil)[:8]))
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	next := fmt.Sprintf("%s.%d", program, os.Getpid()) // another test may build it, too
	cmd := exec.Command("go", "build", "-o", next, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		lab.Missing(t, "build the collector: %v: %s", err, out)
	}
	if err := os.Rename(next, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// freePort returns an address of loopback that nothing listens at for the moment.
func freePort(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", lab.FreePort(t, "tcp"))
}

// Eventually waits until ok, a minute at most. It says nothing of how fast that ought to be.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
