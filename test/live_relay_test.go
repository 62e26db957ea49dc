package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/sinks/unix"
	"audisp-relay/test/lab"
)

// seconds is how long a load lasts; AUDISP_LIVE_SECONDS makes it longer than
// what suits every run of the tests.
func seconds(n int) time.Duration {
	if s, err := strconv.Atoi(os.Getenv("AUDISP_LIVE_SECONDS")); err == nil && s > 0 {
		n = s
	}
	return time.Duration(n) * time.Second
}

// build puts a program where auditd accepts it: owned by root, not writable
// by others, without the race detector, which is too slow for a full load.
func build(t *testing.T, dir, pkg string, flags ...string) string {
	t.Helper()
	program, err := lab.Program(pkg, flags...)
	path := filepath.Join(dir, filepath.Base(pkg))
	if err == nil {
		syscall.ForkLock.RLock() // what another test starts just now must not have it open for writing
		err = os.WriteFile(path, program, 0o755)
		syscall.ForkLock.RUnlock()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := lab.Tool(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// live is a real auditd with the relay as its plugin.
type live struct {
	*lab.Auditd
	t   *testing.T
	dir string
}

// auditdQueue is auditd's own q_depth in these tests. With its default of 2000 a
// machine that is busy otherwise makes auditd itself drop records now and then,
// for the relay and stock plugins alike; bench measures with the default.
const auditdQueue = 20000

// startLive runs auditd with the relay on this config (DIR as in start).
func startLive(t *testing.T, config string, o lab.Options, format string) *live {
	t.Helper()
	return startLiveBehind(t, config, o, func(p lab.Plugin) lab.Plugin {
		p.Format = format
		return p
	})
}

// startLiveBehind is startLive with something between auditd and the relay:
// wrap gets the relay as auditd would start it.
func startLiveBehind(t *testing.T, config string, o lab.Options, wrap func(lab.Plugin) lab.Plugin) *live {
	t.Helper()
	lab.Require(t, "socat")
	if o.QDepth == 0 {
		o.QDepth = auditdQueue
	}
	dir := tempDir(t)
	writeConfig(t, dir, config)
	o.Plugins = append(o.Plugins, wrap(lab.Plugin{
		Name: "relay", Path: build(t, dir, "../cmd/audisp-relay"), Args: "-c " + filepath.Join(dir, "relay.toml"),
	}))
	l := &live{Auditd: lab.Start(t, o), t: t, dir: dir}
	t.Cleanup(func() {
		if t.Failed() {
			logged, _ := os.ReadFile(l.path("log"))
			t.Logf("log of the relay:\n%s", logged)
		}
	})
	return l
}

func (l *live) path(name string) string { return filepath.Join(l.dir, name) }

func (l *live) relay() *relay { return &relay{t: l.t, dir: l.dir} }

// follow lets socat connect to the socket and waits until the relay knows it.
func (l *live) follow(sink, socket, out string) *lab.Process {
	l.t.Helper()
	p := lab.Follow(l.t, l.path(socket), l.path(out))
	until(l.t, "socat is connected", func() bool { return len(l.relay().consumer(sink).Sink.Details.(*unix.Details).Clients) > 0 })
	return p
}

// compare holds streams against all there is of audit.log between the marks.
func (l *live) compare(after, until string, streams ...string) lab.Report {
	l.t.Helper()
	return l.compareAs(lab.Compare{After: after, Until: until}, streams...)
}

func (l *live) compareAs(how lab.Compare, streams ...string) lab.Report {
	l.t.Helper()
	rep, err := lab.CompareLog(l.Logs(), streams, how)
	if err != nil {
		l.t.Fatal(err)
	}
	return rep
}

// logHas is what audit.log has of a load. The kernel drops events when auditd does not run for a moment, which no test can rule out;
// half of the load must be there. Events counts those of all loads, Paths those of this one.
func (l *live) logHas(load lab.LoadResult) lab.LoadSeen {
	l.t.Helper()
	seen, err := load.Seen(l.Logs()...)
	if err != nil {
		l.t.Fatal(err)
	}
	if min(seen.Events, seen.Paths) < load.Made/2 {
		l.t.Errorf("of %d events audit.log has %+v: this proves nothing", load.Made, seen)
	}
	return seen
}

// exact fails unless a stream holds every record of audit.log between the marks
// once, byte for byte and in order, and EOE besides. On a busy machine auditd drops a record
// now and then: then it is to come from audit.log, later than others. What the kernel dropped,
// which may be an EOE alone, is nowhere: the relay says so, in the stream too.
func (l *live) exact(name, after, end string, streams ...string) lab.Report {
	l.t.Helper()
	rep := l.compare(after, end, streams...)
	if rep.Missing+rep.EOEMissing+rep.EOEExtra+rep.Markers > 0 {
		rep = l.awaitRecovery(after, streams...)
		l.t.Logf("%s: records were dropped: %v", name, rep)
		if rep.SameSet() && rep.Duplicate == 0 {
			until(l.t, "the relay to report what it recovered, or what is nowhere", func() bool {
				nowhere := len(l.says("warn", upstreamLoss)) > 0
				return nowhere || (rep.Markers == 0 && len(l.says("warn", "truncated records from audit.log")) > 0)
			})
			return rep
		}
	}
	if !rep.OK() {
		l.t.Errorf("%s: %v", name, rep)
	}
	return rep
}

// liveSinks are a socket and a file. The socket's queue has room for seconds of a full load:
// on a busy machine its client may not run for as long.
const liveSinks = `
[sinks.socket]
type = "unix"
path = "DIR/sock"
group = "root"
q_depth = 200000
[sinks.file]
type = "file"
path = "DIR/out"
max_size = "0"
`

func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
