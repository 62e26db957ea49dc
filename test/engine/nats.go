// Package engine starts the engines that tests deliver to: real servers, built once from the
// module in test/servers, on loopback, with their stores in the test's own directory.
package engine

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// Versions are in the names of the programs that are kept, so that others are built again.
const (
	natsVersion  = "2.15.2"
	olderVersion = "2.14.9" // of test/servers/older.mod
)

// hang is when a test gives up on what has to happen.
const hang = 60 * time.Second

// Servers are one nats-server or a cluster of them, with JetStream.
type Servers struct {
	Nodes []*Node
}

// Node is one nats-server. Its store and its ports stay over restarts.
type Node struct {
	URL   string
	Store string // JetStream's directory
	t     testing.TB
	argv  []string // the program, and what starts it
	dir   string
	head  string // the part of its configuration that never changes
	extra string
	cmd   *exec.Cmd
}

// StartNATS starts n servers, a cluster if there are more than one, each with sync_interval
// always. extra is put into the configuration of each. They are ended with the test. Where the
// server cannot be built the test is skipped, unless AUDISP_REQUIRE_AUDITD is 1.
func StartNATS(t testing.TB, n int, extra string) *Servers {
	t.Helper()
	return startNATS(t, n, extra, "127.0.0.1", []string{programOf(t, natsBuilt)})
}

// StartOlderNATS is StartNATS of the version before, for Node.Upgrade.
func StartOlderNATS(t testing.TB, n int) *Servers {
	t.Helper()
	return startNATS(t, n, "", "127.0.0.1", []string{programOf(t, olderBuilt)})
}

// StartNATSIn is StartNATS in another network. The servers reach each other when that is cut.
func StartNATSIn(t testing.TB, net *Network, n int, extra string) *Servers {
	t.Helper()
	return startNATS(t, n, extra, net.Address, []string{"ip", "netns", "exec", net.name, programOf(t, natsBuilt)})
}

func startNATS(t testing.TB, n int, extra, address string, argv []string) *Servers {
	t.Helper()
	ports := lab.FreePorts(t, 2*n)
	s, routes := new(Servers), ""
	for i := range n {
		routes += fmt.Sprintf("\"nats-route://127.0.0.1:%d\", ", ports[n+i])
	}
	for i := range n {
		dir := t.TempDir()
		node := &Node{URL: fmt.Sprintf("nats://%s:%d", address, ports[i]), Store: filepath.Join(dir, "store"), t: t, argv: argv, dir: dir, extra: extra}
		node.head = fmt.Sprintf("server_name: n%d\nhost: %s\nport: %d\njetstream { store_dir: %q, sync_interval: always, max_file_store: 4GB }\n"+
			"lame_duck_duration: 30s\nlame_duck_grace_period: 10ms\n", // the shortest that a server takes; it ends once its clients have gone
			i+1, address, ports[i], node.Store)
		if n > 1 {
			node.head += fmt.Sprintf("cluster { name: test, listen: \"127.0.0.1:%d\", routes: [ %s ] }\n", ports[n+i], strings.TrimSuffix(routes, ", "))
		}
		s.Nodes = append(s.Nodes, node)
		node.Start()
	}
	for _, node := range s.Nodes {
		node.awaitPort()
	}
	return s
}

// URLs are those of all nodes.
func (s *Servers) URLs() (list []string) {
	for _, n := range s.Nodes {
		list = append(list, n.URL)
	}
	return list
}

// Start starts the server, which has not to run.
func (n *Node) Start() {
	n.t.Helper()
	conf := filepath.Join(n.dir, "nats.conf")
	if err := os.WriteFile(conf, []byte(n.head+n.extra+"\n"), 0o600); err != nil {
		n.t.Fatal(err)
	}

	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(n.argv[0], append(slices.Clone(n.argv[1:]), "-c", conf)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing

	// The signal comes when the thread ends that has started the server.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		if cmd.Process != nil {
			cmd.Wait()
		}
		runtime.UnlockOSThread()
		close(started)
	}()
	if err := <-started; err != nil {
		n.t.Fatal(err)
	}

	n.cmd = cmd
	n.t.Cleanup(func() {
		if n.cmd == cmd {
			n.Kill()
		}
		<-started
	})
}

// Kill ends the server at once.
func (n *Node) Kill() { n.end(syscall.SIGKILL) }

// Stop ends the server in order.
func (n *Node) Stop() { n.end(syscall.SIGTERM) }

// StandDown ends the server as an upgrade does, in lame duck mode: it takes no new connection,
// hands on its streams, and asks its clients to go before it closes their connections.
func (n *Node) StandDown() { n.end(syscall.SIGUSR2) }

// Upgrade has the server stand down, and starts the present version in its place.
func (n *Node) Upgrade() {
	n.t.Helper()
	n.StandDown()
	n.argv = []string{programOf(n.t, natsBuilt)}
	n.Restart()
}

func (n *Node) end(sig syscall.Signal) {
	if n.cmd == nil {
		return
	}
	n.cmd.Process.Signal(sig)
	for deadline := time.Now().Add(hang); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if syscall.Kill(n.cmd.Process.Pid, 0) != nil {
			break
		}
	}
	n.cmd = nil
}

// Restart starts a server that was ended, and waits until it can be connected to.
func (n *Node) Restart() {
	n.t.Helper()
	n.Start()
	n.awaitPort()
}

// Configure replaces what was extra in the configuration, and has a server that runs read it.
func (n *Node) Configure(extra string) {
	n.t.Helper()
	n.extra = extra
	if err := os.WriteFile(filepath.Join(n.dir, "nats.conf"), []byte(n.head+extra+"\n"), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if n.cmd != nil {
		n.cmd.Process.Signal(syscall.SIGHUP)
	}
}

// Log is what the server has said.
func (n *Node) Log() string {
	data, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	return string(data)
}

// SaveStore copies the store of a server that does not run, and returns what puts it back.
func (n *Node) SaveStore() (putBack func()) {
	n.t.Helper()
	saved := n.t.TempDir()
	if err := os.CopyFS(filepath.Join(saved, "store"), os.DirFS(n.Store)); err != nil {
		n.t.Fatal(err)
	}
	return func() {
		n.t.Helper()
		if err := os.RemoveAll(n.Store); err != nil {
			n.t.Fatal(err)
		}
		if err := os.CopyFS(n.Store, os.DirFS(filepath.Join(saved, "store"))); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *Node) awaitPort() {
	n.t.Helper()
	address := strings.TrimPrefix(n.URL, "nats://")
	for deadline := time.Now().Add(hang); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("nats-server does not listen: %v\n%s", err, n.Log())
		}
	}
}

// The programs, or why there is none.
var (
	natsBuilt  = sync.OnceValues(func() (string, error) { return build("nats", natsVersion, "go.mod") })
	olderBuilt = sync.OnceValues(func() (string, error) { return build("nats", olderVersion, "older.mod") })
)

// Program returns the path of the nats-server that StartNATS runs. Where it cannot be built the test is skipped, unless
// AUDISP_REQUIRE_AUDITD is 1.
func Program(t testing.TB) string {
	t.Helper()
	return programOf(t, natsBuilt)
}

func programOf(t testing.TB, built func() (string, error)) string {
	t.Helper()
	prog, err := built()
	if err != nil {
		lab.Missing(t, "%v", err)
	}
	return prog
}

// build builds a program of test/servers, of the versions in a file there, unless an earlier run has.
func build(name, version, mod string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "audisp-relay-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	prog := filepath.Join(dir, name+"-"+version)
	lock, err := os.OpenFile(prog+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // tests of several packages run at once
		return "", err
	}
	if _, err := os.Stat(prog); err == nil {
		return prog, nil
	}

	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "..", "servers")
	if !filepath.IsAbs(here) { // built with -trimpath: the test runs in its package's directory
		if source, err = findSource(); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("go", "build", "-modfile", mod, "-o", prog+".new", "./"+name)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build test/servers/%s: %w: %s", name, err, out)
	}
	return prog, os.Rename(prog+".new", prog)
}

// findSource looks for test/servers from the working directory upwards.
func findSource() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		source := filepath.Join(dir, "test", "servers")
		if _, err := os.Stat(filepath.Join(source, "go.mod")); err == nil {
			return source, nil
		}
	}
	return "", fmt.Errorf("no directory test/servers above the working directory: %w", io.ErrUnexpectedEOF)
}
