package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"audisp-relay/host"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/test/lab"
)

// modeEnv says what this package's test binary does as a worker.
const modeEnv = "MONITOR_TEST_MODE"

func TestMain(m *testing.M) {
	if IsWorker() {
		work(os.Getenv(modeEnv))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// nobody is a user that every system has.
const nobody = 65534

// work is the program of the workers of these tests.
func work(mode string) {
	m, facts, err := Attach()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	switch mode {
	case "never begins":
		panic("before it begins")
	case "begins late":
		if facts.Ended < maxTries+1 {
			panic("before it begins")
		}
	case "ends before it begins": // though the stream goes on
		return
	}
	must(m.Do(Item, OpConfined, nil, nil))
	if mode == "dies on its way" && facts.Ended < maxTries+1 {
		panic("confined, and not ready")
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	must(m.Do(Item, OpReady, nil, nil))
	switch mode {
	case "in order":
		must(m.Do("test", "facts", facts, nil))
		must(m.Do("test", "status", ownStatus(), nil))
		must(m.Do("test", "terminal", terminal(), nil))
	case "renews":
		os.Exit(RenewCode)
	case "fails":
		os.Exit(1)
	case "panics twice":
		must(m.Do("test", "facts", facts, nil))
		must(m.Do(Item, OpFraming, "lines", nil))
		if facts.Ended < 2 {
			panic("for the " + strconv.Itoa(int(facts.Ended)) + ". time, \x1b[31m")
		}
	case "asks for nonsense":
		if facts.Ended == 0 {
			unix.Write(lastSocket(), []byte("nonsense"))
			select {}
		}
	case "leaves":
		if facts.Ended == 0 {
			unix.Close(lastSocket())
			select {}
		}
	case "dies over an event", "writes anything and dies":
		must(m.Do("test", "facts", facts, nil))
		dieOver(m, facts, mode)
	case "goes with a request":
		unix.Write(lastSocket(), []byte(`{"id":1099511627776,"item":"test","op":"late"}`))
		must(m.Do("test", "facts", facts, nil)) // which is read after it
	case "waits for HUP":
		<-hup
		must(m.Do("test", "hup", nil, nil))
	case "tries":
		must(m.Do("test", "facts", facts, nil))
		must(m.Do("test", "tried", try(facts.Landlock), nil))
	}
}

// lastSocket returns the socket to the monitor: nothing else of this process is one.
func lastSocket() int {
	for fd := 100; fd > 2; fd-- {
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_SEQPACKET {
			return fd
		}
	}
	return -1
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// terminal returns whether the process is in a session of its own, and what its stdout is.
func terminal() string {
	session, _ := unix.Getsid(0)
	stdout, _ := os.Readlink("/proc/self/fd/1")
	return fmt.Sprintf("%v %s", session == os.Getpid(), stdout)
}

func ownStatus() string {
	text, _ := os.ReadFile("/proc/self/status")
	return string(text)
}

// try tries in the sandbox what a worker that was taken over would do.
func try(landlock sandbox.Part) map[string]string {
	sandbox.Enter(sandbox.Options{Worker: true, Landlock: landlock})
	parent, root := os.Getppid(), "/root/.monitor-test"
	tried := make(map[string]string)
	attempts := map[string]func() error{
		"read the passwords":    func() error { return closed(unix.Open("/etc/shadow", unix.O_RDONLY, 0)) },
		"write a file of root":  func() error { return closed(unix.Open("/etc/passwd", unix.O_WRONLY, 0)) },
		"make a file elsewhere": func() error { return closed(unix.Open(root, unix.O_WRONLY|unix.O_CREAT, 0o600)) },
		"run a program":         func() error { return exec.Command("/bin/true").Run() },
		"execute":               func() error { return unix.Exec("/bin/true", []string{"true"}, nil) },
		"become root":           func() error { return syscall.Setuid(0) },
		"take a group":          func() error { return syscall.Setgroups([]int{0}) },
		"attach to the monitor": func() error { return unix.PtraceAttach(parent) },
		"signal the monitor":    func() error { return unix.Kill(parent, unix.SIGKILL) },
		"signal the first":      func() error { return unix.Kill(1, unix.SIGHUP) },
		"read its memory":       func() error { return closed(unix.Open(fmt.Sprintf("/proc/%d/mem", parent), unix.O_RDONLY, 0)) },
		"ask the kernel":        func() error { _, err := host.Status(); return err },
		"bind a low port":       func() error { return bind(1) },
		"end the stream":        func() error { return unix.Shutdown(0, unix.SHUT_RD) },
		"name a file of root":   func() error { return os.Link("/etc/passwd", os.TempDir()+"/.monitor-test") },
		"raise a limit": func() error {
			return unix.Prlimit(0, unix.RLIMIT_NICE, &unix.Rlimit{Cur: 40, Max: 40}, nil)
		},
	}
	if landlock.On {
		attempts["make a file where everybody can"] = func() error {
			return closed(unix.Open(os.TempDir()+"/.monitor-test", unix.O_WRONLY|unix.O_CREAT, 0o600))
		}
		attempts["bind a port"] = func() error { return bind(0) }
	}
	for name, do := range attempts {
		tried[name] = "done"
		if err := do(); err != nil {
			tried[name] = err.Error()
		}
	}
	return tried
}

func closed(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func bind(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// session notes what a worker tells.
type session struct {
	mu     sync.Mutex
	told   map[string][]json.RawMessage
	closed int
	early  []int // what the next program gets to know
}

func (s *session) Serve(c *broker.Call) (broker.Answer, error) {
	var args json.RawMessage
	if c.Op != "hup" {
		if err := c.Args(&args); err != nil {
			return broker.Answer{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[c.Op] = append(s.told[c.Op], args)
	return broker.Answer{}, nil
}

func (s *session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
}

// run runs workers of a mode, and returns how that has ended, and what was said and logged.
func run(t *testing.T, mode string, signals <-chan os.Signal) (End, *session, *observer.ObservedLogs, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		lab.Missing(t, "not root: another user's process cannot be started")
	}
	core, logs := observer.New(zap.DebugLevel)
	s := &session{told: make(map[string][]json.RawMessage)}
	begun := 0
	mode, renewed := strings.CutSuffix(mode, ", renewed")
	end, err := Run(Options{
		Log: zap.New(core), UID: nobody, GID: nobody, Facts: Facts{Parent: os.Getppid(), Buffer: 4711}, Confined: renewed,
		Dirs: func() []string { return []string{"/nowhere"} },
		Open: func() Session { return s }, Ready: func() { begun++ }, Signals: signals,
		Stderr:   func([]byte) {},
		Renewing: func(early int) { s.early = append(s.early, early) },
		command:  []string{"/proc/self/exe", os.Args[0]}, env: append(os.Environ(), modeEnv+"="+mode),
	})
	if want := 1; end == NoWorker {
		if begun != 0 {
			t.Errorf("it has begun %d times", begun)
		}
	} else if begun != want {
		t.Errorf("it has begun %d times, want %d", begun, want)
	}
	return end, s, logs, err
}

// TestWorkerHasNoRights: it is another user's, with no capability in any set, no_new_privs and no group, and knows the facts.
func TestWorkerHasNoRights(t *testing.T) {
	t.Parallel()
	end, s, _, err := run(t, "in order", nil)
	if end != Ended || err != nil || s.closed != 1 {
		t.Fatalf("end %d, %v, closed %d times", end, err, s.closed)
	}
	var facts Facts
	if err := json.Unmarshal(s.told["facts"][0], &facts); err != nil || facts.Buffer != 4711 || facts.Parent != os.Getppid() {
		t.Errorf("facts %+v, %v", facts, err)
	}
	if got := string(s.told["terminal"][0]); got != `"true /dev/null"` {
		t.Errorf("in a session of its own, and stdout: %s", got)
	}
	var status string
	if err := json.Unmarshal(s.told["status"][0], &status); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "", "NoNewPrivs": "1",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000", "Name": "audisp-relay",
	} {
		got := "no such line"
		for line := range strings.Lines(status) {
			if value, ok := strings.CutPrefix(line, key+":"); ok {
				got = strings.Join(strings.Fields(value), " ")
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// TestWorkerCanDoNothingElse tries from inside what a worker that was taken over would.
func TestWorkerCanDoNothingElse(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("there is no seccomp filter for this architecture")
	}
	_, s, _, _ := run(t, "tries", nil)
	if len(s.told["tried"]) != 1 {
		t.Fatal("nothing was tried")
	}
	var tried map[string]string
	if err := json.Unmarshal(s.told["tried"][0], &tried); err != nil || len(tried) < 16 {
		t.Fatalf("%v: %v", tried, err)
	}
	var facts Facts
	if err := json.Unmarshal(s.told["facts"][0], &facts); err != nil || facts.Landlock.Failed || (len(tried) == 18) != facts.Landlock.On {
		t.Errorf("%+v: %d attempts, %v", facts, len(tried), err)
	}
	for name, result := range tried {
		if !strings.Contains(result, "permission denied") && !strings.Contains(result, "operation not permitted") {
			t.Errorf("%s: %s", name, result)
		}
	}
}

// TestEnds: what follows each end of a worker.
func TestEnds(t *testing.T) {
	for mode, want := range map[string]End{"renews": Renew, "fails": Failed, "never begins": NoWorker} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			end, s, _, err := run(t, mode, nil)
			if end != want || (err == nil) != (want == Renew) {
				t.Errorf("end %d, want %d: %v", end, want, err)
			}
			if got := slices.Equal(s.early, []int{1}); got != (want == Renew) {
				t.Errorf("early for the next program: %v", s.early)
			}
			if want == NoWorker && (s.closed != maxTries || !strings.Contains(err.Error(), "before it begins")) {
				t.Errorf("closed %d times: %v", s.closed, err)
			}
		})
	}
}

// TestDeadWorkerIsStartedAgain: a worker that panics, or asks for what is no request, is followed by another, which knows how
// records are cut; the log has why, in one line.
func TestDeadWorkerIsStartedAgain(t *testing.T) {
	t.Run("panics", func(t *testing.T) {
		t.Parallel()
		end, s, logs, err := run(t, "panics twice", nil)
		if end != Ended || err != nil || s.closed != 3 {
			t.Errorf("end %d, %v, %d sessions", end, err, s.closed)
		}
		for n, text := range s.told["facts"] {
			var facts Facts
			if err := json.Unmarshal(text, &facts); err != nil || facts.Ended != uint64(n) || (facts.Framing == "lines") != (n > 0) {
				t.Errorf("worker %d: %+v, %v", n, facts, err)
			}
		}
		said := logs.FilterMessageSnippet("worker has ended").All()
		if len(said) != 2 {
			t.Fatalf("%d messages", len(said))
		}
		text := fmt.Sprint(said[1].ContextMap()["error"])
		if !strings.Contains(text, "for the 1. time") || strings.ContainsAny(text, "\n\x1b") || len(text) > 2*maxSaid {
			t.Errorf("error %q", text)
		}
		if pauses := []any{said[0].ContextMap()["in"], said[1].ContextMap()["in"]}; !slices.Equal(pauses, []any{minPause, 2 * minPause}) {
			t.Errorf("pauses %v", pauses)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		t.Parallel()
		end, s, logs, err := run(t, "asks for nonsense", nil)
		if end != Ended || err != nil || s.closed != 2 || logs.FilterMessageSnippet("worker has ended").Len() != 1 {
			t.Errorf("end %d, %v, %d sessions, %v", end, err, s.closed, logs.All())
		}
	})
}

// TestSignalsArePassedOn, also one that comes before the worker has a handler for it.
func TestSignalsArePassedOn(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 1)
	signals <- unix.SIGHUP
	end, s, _, err := run(t, "waits for HUP", signals)
	if end != Ended || err != nil || len(s.told["hup"]) != 1 {
		t.Errorf("end %d, %v, %v", end, err, s.told)
	}
}

// TestGoesOn: whether a worker ends too early is known of a socket whose other end is open.
func TestGoesOn(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	if _, err := unix.Write(fds[1], []byte("a record")); err != nil {
		t.Fatal(err)
	}
	if !goesOn(fds[0]) {
		t.Error("auditd has it open")
	}
	unix.Close(fds[1])
	if goesOn(fds[0]) { // though what was sent is not read
		t.Error("auditd has closed it")
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	if goesOn(pipe[0]) {
		t.Error("of a pipe it is not known")
	}
}
