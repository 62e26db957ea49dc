package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks/program"
	"audisp-relay/test/lab"
)

// TestLiveEveryRecordArrives: socat on the socket and the file both hold every
// record of audit.log byte for byte, at a steady rate and then as fast as the
// kernel gives, whichever framing auditd uses and whether or not the pipe from it
// could be widened.
func TestLiveEveryRecordArrives(t *testing.T) {
	for _, c := range []struct{ name, format, config string }{
		{"string", "string", ""},
		{"binary", "binary", ""},
		{"narrow", "string", "input_buffer = \"0\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := startLive(t, c.config+liveSinks, lab.Options{}, c.format)
			l.follow("socket", "sock", "client")
			after := l.Drain(l.path("client"), l.path("out"))
			pid := l.PluginPID("relay")
			steady := l.Load(lab.Load{Rate: 4000, Duration: seconds(1)})
			flat := l.Load(lab.Load{Duration: seconds(1)})
			until := l.Drain(l.path("client"), l.path("out"))
			rep := l.exact("socket", after, until, l.path("client"))
			l.exact("file", after, until, l.path("out"))
			if got, logged := rep.EOE+rep.EOEMissing, l.logHas(steady).Paths+l.logHas(flat).Paths; got < logged {
				t.Errorf("%d events arrived of %d", got, logged)
			}
			if l.PluginPID("relay") != pid {
				t.Error("the plugin was restarted")
			}
			relayCPU, _ := lab.CPU(pid)
			auditdCPU, _ := lab.CPU(l.PID())
			_, rss, _ := lab.RSS(pid)
			t.Logf("steady %.0f events/s, flat out %.0f events/s; %d records, %v; plugin %.2fs CPU, auditd %.2fs, peak RSS %.1f MiB",
				steady.Rate(), flat.Rate(), rep.StreamLines, rep, relayCPU.Seconds(), auditdCPU.Seconds(), float64(rss)/(1<<20))
		})
	}
}

// TestLiveStockPluginsAsChildrenAndBeside: audisp-syslog and laurel run as
// children of the relay and get everything; auditd's own af_unix and
// audisp-syslog run beside it in the same auditd. The audit PID stays auditd's.
func TestLiveStockPluginsAsChildrenAndBeside(t *testing.T) {
	lab.Require(t, "socat", "laurel")
	syslog, laurel := tool(t, "audisp-syslog"), tool(t, "laurel")
	devlog := filepath.Join(tempDir(t), "devlog")
	lab.DrainDevLog(t, devlog)
	dir := tempDir(t)
	os.Chmod(dir, 0o755)
	laurelConf := filepath.Join(dir, "laurel.toml")
	conf := fmt.Sprintf("directory = %q\n[auditlog]\nfile = \"audit.log\"\nsize = 1000000000\n", dir)
	if err := os.WriteFile(laurelConf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	l := startLive(t, liveSinks+fmt.Sprintf(`
[sinks.syslog]
type = "program"
path = %q
args = ["LOG_INFO", "LOG_LOCAL1"]
[sinks.laurel]
type = "program"
path = %q
args = ["--config", %q]
`, syslog, laurel, laurelConf), lab.Options{Plugins: []lab.Plugin{
		{Name: "af_unix", Path: "builtin_af_unix", Args: "0640 " + filepath.Join(dir, "stock.sock")},
		{Name: "syslog", Path: syslog, Args: "LOG_INFO LOG_LOCAL2"},
	}}, "string")
	lab.Follow(t, filepath.Join(dir, "stock.sock"), l.path("stock"))
	l.follow("socket", "sock", "client")
	after := l.Drain(l.path("client"), l.path("out"), l.path("stock"))
	load := l.Load(lab.Load{Rate: 2000, Duration: seconds(3)})
	audit, err := lab.ReadStatus()
	if err != nil || audit.PID != l.PID() {
		t.Errorf("audit PID %v, auditd is %d: %v", audit, l.PID(), err)
	}
	end := l.Drain(l.path("client"), l.path("out"), l.path("stock"))
	l.exact("our socket", after, end, l.path("client"))
	l.exact("our file", after, end, l.path("out"))
	// auditd drops records for its own plugin on a busy machine, and nothing recovers them.
	if rep := l.compare(after, end, l.path("stock")); rep.Altered+rep.Extra > 0 || rep.Missing > rep.LogLines/4 {
		t.Errorf("stock af_unix: %v", rep)
	}
	logged := l.logHas(load).Paths
	until(t, "laurel has all events", func() bool {
		n, _ := lab.CountString(filepath.Join(dir, "audit.log"), load.Text())
		return n >= logged
	})
	for _, c := range []struct {
		who, pri string
		least    int
	}{
		{"child audisp-syslog", "<142>", logged},            // local1.info
		{"stock audisp-syslog", "<150>", logged - logged/4}, // local2.info; see above
	} {
		until(t, c.who+" has its records", func() bool {
			data, _ := os.ReadFile(devlog)
			n := 0
			for msg := range bytes.SplitSeq(data, []byte(c.pri)) {
				if bytes.Contains(msg[:min(len(msg), 9000)], []byte("type=PATH")) && bytes.Contains(msg, []byte(load.Text())) {
					n++
				}
			}
			return n >= c.least
		})
	}
	for _, name := range []string{"syslog", "laurel"} {
		c := l.relay().consumer(name)
		balanced(t, c)
		if c.LostTotal != 0 || c.Sink.Details.(*program.Details).Restarts != 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestLiveChildrenThatDieOrStopReading are started again, or lose what they do not
// take, and no other consumer notices.
func TestLiveChildrenThatDieOrStopReading(t *testing.T) {
	dir := tempDir(t)
	os.Chmod(dir, 0o755)
	for name, script := range map[string]string{"dies": "/usr/bin/head -c 300000 >/dev/null", "stuck": "exec /bin/sleep 1000"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := startLive(t, liveSinks+fmt.Sprintf(`
[sinks.dies]
type = "program"
path = "%s/dies"
[sinks.stuck]
type = "program"
path = "%s/stuck"
q_depth = 1000
`, dir, dir), lab.Options{}, "string")
	l.follow("socket", "sock", "client")
	after := l.Drain(l.path("client"), l.path("out"))
	l.Load(lab.Load{Rate: 4000, Duration: seconds(1)})
	end := l.Drain(l.path("client"), l.path("out"))
	l.exact("socket", after, end, l.path("client"))
	l.exact("file", after, end, l.path("out"))
	dies, stuck := l.relay().consumer("dies"), l.relay().consumer("stuck")
	balanced(t, dies)
	balanced(t, stuck)
	if dies.Sink.Details.(*program.Details).Restarts == 0 {
		t.Errorf("not restarted: %+v", dies)
	}
	if stuck.LostTotal == 0 || stuck.Lost["queue-full"].Records != stuck.LostTotal || stuck.Stalls != 0 {
		t.Errorf("%+v", stuck)
	}
	t.Logf("one child restarted %d times, one lost %d records of %d", dies.Sink.Details.(*program.Details).Restarts, stuck.LostTotal, stuck.Received)
}

// TestLiveStoppedConsumer: a client that stands still under load loses what the
// counters say, and no other consumer loses anything; a lossless one loses nothing.
func TestLiveStoppedConsumer(t *testing.T) {
	for _, qos := range []string{"lossy", "lossless"} {
		t.Run(qos, func(t *testing.T) {
			l := startLive(t, liveSinks+`
[sinks.slow]
type = "unix"
path = "DIR/slow"
group = "root"
q_depth = 2000
slow_client = "drop"
qos = "`+qos+"\"\n", lab.Options{QDepth: 90000}, "string")
			slow := l.follow("slow", "slow", "slowclient")
			l.follow("socket", "sock", "client")
			after := l.Drain(l.path("client"), l.path("out"), l.path("slowclient"))
			before := l.relay().consumer("slow")
			rate := 4000
			if qos == "lossless" { // what waits for it must fit into auditd's own queue
				rate = min(800, 80000/5/int(seconds(3)/time.Second))
			}
			run := l.StartLoad(lab.Load{Rate: rate, Duration: seconds(3)})
			time.Sleep(200 * time.Millisecond)
			slow.Signal(unix.SIGSTOP)
			load := run.Wait()
			if c := l.relay().consumer("slow"); qos == "lossless" && c.Stalled == 0 {
				t.Errorf("no stall is reported while it lasts: %+v", c)
			}
			slow.Signal(unix.SIGCONT)
			end := l.Drain(l.path("client"), l.path("out"))
			l.exact("the other client", after, end, l.path("client"))
			l.exact("the file", after, end, l.path("out"))
			until(t, "the slow client has caught up", func() bool { return l.relay().consumer("slow").Queued == 0 })
			c := l.relay().consumer("slow")
			balanced(t, c)
			eventually(t, "the slow client's file", func() error {
				data, err := os.ReadFile(l.path("slowclient"))
				if n := uint64(bytes.Count(data, []byte{'\n'})); err == nil && n != c.Delivered-before.Delivered+linesUpTo(data, after) {
					err = fmt.Errorf("%d records, delivered %d", n, c.Delivered)
				}
				return err
			})
			if qos == "lossless" {
				end := l.Drain(l.path("slowclient"))
				l.exact("the lossless client", after, end, l.path("slowclient"))
				if c.LostTotal != 0 || c.Stalls == 0 {
					t.Errorf("%+v", c)
				}
			} else if c.LostTotal == 0 || c.Lost["queue-full"].Records != c.LostTotal {
				t.Errorf("%+v", c)
			}
			t.Logf("%d events; slow consumer: delivered %d, lost %d, reader stalled %v", load.Made, c.Delivered, c.LostTotal, c.Stalled)
		})
	}
}

// linesUpTo counts the lines up to and including the one with the mark.
func linesUpTo(data []byte, mark string) uint64 {
	i := bytes.Index(data, []byte(mark))
	if i < 0 {
		return 0
	}
	return uint64(bytes.Count(data[:i], []byte{'\n'})) + 1
}

// TestLiveReloadsUnderLoad: HUP to auditd and to the plugin, good and bad
// configurations among them, while events come: nothing lost, nothing twice.
func TestLiveReloadsUnderLoad(t *testing.T) {
	l := startLive(t, liveSinks, lab.Options{}, "string")
	l.follow("socket", "sock", "client")
	after := l.Drain(l.path("client"), l.path("out"))
	pid := l.PluginPID("relay")
	run := l.StartLoad(lab.Load{Rate: 3000, Duration: seconds(6)})
	want := l.relay().report().Reloads
	for i := range 6 {
		switch i % 3 {
		case 0:
			writeConfig(t, l.dir, liveSinks+"q_depth = "+strconv.Itoa(20000+i)+"\n")
			syscall.Kill(pid, syscall.SIGHUP)
			want++
		case 1:
			writeConfig(t, l.dir, liveSinks+"nonsense = true\n")
			syscall.Kill(pid, syscall.SIGHUP)
		case 2:
			writeConfig(t, l.dir, liveSinks)
			l.Reload() // auditd 3.0.9 passes its HUP on to plugins
			want++
		}
		until(t, "the reload is done", func() bool {
			rep := l.relay().report()
			return rep.Reloads == want && (rep.ConfigError != "") == (i%3 == 1)
		})
	}
	run.Wait()
	end := l.Drain(l.path("client"), l.path("out"))
	l.exact("socket", after, end, l.path("client"))
	l.exact("file", after, end, l.path("out"))
	if got := l.PluginPID("relay"); got != pid {
		t.Errorf("the plugin was restarted: pid %d, then %d", pid, got)
	}
}

// awaitCertainty returns when nothing is in doubt. A stream that begins within an event leaves the
// saved position at its start until the log has been asked: what came since then is given again
// by the next run.
func (l *live) awaitCertainty() {
	l.t.Helper()
	until(l.t, "nothing is in doubt", func() bool {
		saved, err := os.ReadFile(l.path("state/state.json"))
		return err == nil && !bytes.Contains(saved, []byte(`"floor"`))
	})
}

// TestLiveKilledPluginIsStartedAgain: after kill -9 auditd starts it again with
// the next record; what was in the old one's hands comes from audit.log, and the
// new one obeys signals.
func TestLiveKilledPluginIsStartedAgain(t *testing.T) {
	l := startLive(t, liveSinks, lab.Options{}, "string")
	after := l.Drain(l.path("out"))
	run := l.StartLoad(lab.Load{Rate: 3000, Duration: seconds(6)})
	pid := l.PluginPID("relay")
	l.awaitCertainty() // else the next run would give what came before the mark again
	time.Sleep(time.Second)
	syscall.Kill(pid, syscall.SIGKILL)
	until(t, "it is dead", func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) })
	until(t, "auditd has started it again", func() bool { return l.PluginRunning("relay") && l.PluginPID("relay") != pid })
	load := run.Wait()
	// A restarted plugin has six signals blocked: HUP must work nevertheless.
	syscall.Kill(l.PluginPID("relay"), syscall.SIGHUP)
	until(t, "reload of the restarted plugin", func() bool { return l.relay().report().Reloads == 1 })
	end := l.Drain(l.path("out"))
	rep, err := lab.CompareLog(l.Logs(), []string{l.path("out")}, lab.Compare{After: after, Until: end})
	if err != nil {
		t.Fatal(err)
	}
	// One record may have been torn by the kill.
	if rep.Missing > 0 || rep.Extra > 1 {
		t.Errorf("more than some records twice: %v", rep)
	}
	t.Logf("killed once at 3000 events/s: %d of %d log records twice (%d events made)", rep.Duplicate, rep.LogLines, load.Made)
}

// TestLiveStopOfAuditd: the plugin ends with auditd, having handed over what
// it was sent, and a TERM before that changes nothing.
func TestLiveStopOfAuditd(t *testing.T) {
	l := startLive(t, liveSinks, lab.Options{}, "string")
	after := l.Drain(l.path("out"))
	pid := l.PluginPID("relay")
	syscall.Kill(pid, syscall.SIGTERM)
	l.Load(lab.Load{Rate: 2000, Duration: seconds(1)})
	end := l.Drain(l.path("out"))
	l.exact("file", after, end, l.path("out"))
	if l.PluginPID("relay") != pid {
		t.Error("TERM from elsewhere ended the plugin")
	}
	l.Stop()
	until(t, "the plugin is gone", func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) })
	state, err := os.ReadFile(l.path("run/state"))
	if err != nil || !strings.Contains(string(state), "file lost = 0\n") {
		t.Errorf("state report: %v\n%s", err, state)
	}
}

// TestLiveStopOfAuditdUnderLoad: what auditd had not yet sent when it stopped is
// in audit.log only; what it had sent is in the file, whole and in order.
func TestLiveStopOfAuditdUnderLoad(t *testing.T) {
	l := startLive(t, liveSinks, lab.Options{}, "string")
	after := l.Drain(l.path("out"))
	pid := l.PluginPID("relay")
	run := l.StartLoad(lab.Load{Rate: 3000, Duration: seconds(3)})
	until(t, "a second of load", func() bool { return l.relay().consumer("file").Received > 15000 })
	logs := l.Logs()
	l.Stop()
	run.Wait()
	until(t, "the plugin is gone", func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) })
	rep, err := lab.CompareLog(logs, []string{l.path("out")}, lab.Compare{After: after})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Altered+rep.Duplicate+rep.OutOfOrder+rep.Extra > 0 {
		t.Errorf("more than a tail is missing: %v", rep)
	}
	state, err := os.ReadFile(l.path("run/state"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(l.path("out"))
	if err != nil {
		t.Fatal(err)
	}
	n := bytes.Count(out, []byte{'\n'})
	for _, want := range []string{
		fmt.Sprintf("records received = %d\n", n), fmt.Sprintf("file delivered = %d\n", n), "file lost = 0\n",
	} {
		if !strings.Contains(string(state), want) {
			t.Errorf("the state report lacks %q:\n%s", want, state)
		}
	}
	t.Logf("stopped at 3000 events/s: %d records of %d in audit.log had not been sent", rep.Missing, rep.LogLines)
	// The kernel has kept some records of meanwhile: the auditd of another test would have
	// them, and a gap after them.
	l.StartAgain()
	l.Drain(l.path("out"))
}
