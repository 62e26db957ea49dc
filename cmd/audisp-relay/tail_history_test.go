package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// appendTo adds events to a log as auditd does: line by line.
func appendTo(t *testing.T, path string, from, to int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for serial := from; serial <= to; serial++ {
		_, log := sampleEvent(serial)
		for line := range strings.Lines(log) {
			f.WriteString(line)
		}
	}
}

// streamOf returns events as a stream has them.
func streamOf(from, to int) string {
	var b strings.Builder
	for serial := from; serial <= to; serial++ {
		text, _ := sampleEvent(serial)
		b.WriteString(text)
	}
	return b.String()
}

// checkSerials wants each event once, whole, in order.
func checkSerials(t *testing.T, out string, from, to int) {
	t.Helper()
	next := from
	for line := range strings.Lines(out) {
		if strings.Contains(line, " --- ") {
			continue
		}
		want := fmt.Sprintf("path=/file-%d  by cat  exe=/usr/bin/cat  key=k  #%d\n", next, next)
		if !strings.HasSuffix(line, want) || strings.Contains(line, "incomplete") {
			t.Errorf("%q, want %q", line, want)
		}
		next++
	}
	if next != to+1 {
		t.Errorf("%d to %d, want up to %d:\n%s", from, next-1, to, out)
	}
}

// TestTailSince: the log, then the stream, which repeats some of it: each event comes once, also
// over a lost connection, though an event is only half in the log when the client connects.
func TestTailSince(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := socketDir(t)
	log := filepath.Join(dir, "audit.log")
	appendTo(t, log+".1", 1, 500)
	appendTo(t, log, 501, 1000)
	l := listen(t, filepath.Join(dir, "s"))
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		// What the log had before, and what it gets while the client connects.
		appendTo(t, log, 1001, 1099)
		f, _ := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0o600)
		_, half := sampleEvent(1100)
		before, after, _ := strings.Cut(half, "type=PROCTITLE")
		f.WriteString(before)
		fmt.Fprint(conn, streamOf(950, 1100))
		time.Sleep(3 * lookTime)
		f.WriteString("type=PROCTITLE" + after)
		f.Close()
		appendTo(t, log, 1101, 1120)
		fmt.Fprint(conn, streamOf(1101, 1200))
		conn.Close()
		appendTo(t, log, 1121, 1300)
		send(t, l, []byte(streamOf(1290, 1400)))
	})

	// 1700000000.100 is event 100.
	out, _, err := runTail(t, "--events", "--since", "2023-11-14T22:13:20.100Z", "--log", log, "--count", "1301", l.Addr().String())
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	checkSerials(t, out, 100, 1400)
	for _, want := range []string{"closed the connection; waiting for it", "connected again after "} {
		if strings.Count(out, want) != 1 {
			t.Errorf("%q is not said once", want)
		}
	}
}

// TestTailSinceWithNodes: an event is one event, though only the stream or only the log has a node.
func TestTailSinceWithNodes(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	named := func(text, node string) string {
		return "node=" + node + " " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\nnode="+node+" ") + "\n"
	}
	_, one := sampleEvent(1)
	for _, test := range []struct{ log, stream string }{
		{one, named(streamOf(1, 2), "web.example")}, {named(one, host), streamOf(1, 2)}, {named(one, "a"), named(streamOf(1, 2), "a")},
	} {
		log := filepath.Join(t.TempDir(), "audit.log")
		write(t, log, test.log, 0o600)
		path, wait := serve(t, test.stream)
		out, _, err := runTail(t, "--events", "--since", "2023-11-14", "--log", log, "--count", "2", path)
		wait()
		if err != nil || strings.Count(out, "/file-1 ") != 1 || strings.Count(out, "/file-2 ") != 1 {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestTailSinceAsksTheSinksFilterOnce: the sink's filter chooses of what the log has. What the sink sends has passed it, and may lack what it asks for.
func TestTailSinceAsksTheSinksFilterOnce(t *testing.T) {
	_, one := sampleEvent(1)
	_, two := sampleEvent(2)
	logged := strings.ReplaceAll("\n"+one, "\ntype", "\nnode=web1 type")[1:] + strings.ReplaceAll("\n"+two, "\ntype", "\nnode=web2 type")[1:]
	log, cfg := filepath.Join(t.TempDir(), "audit.log"), filepath.Join(t.TempDir(), "relay.toml")
	write(t, log, logged, 0o600)
	path, wait := serve(t, streamOf(3, 3))
	write(t, cfg, "[sinks.siem]\ntype = 'unix'\npath = '"+path+"'\nnode = 'strip'\nfilter = 'node == \"web1\"'\n", 0o600)
	out, _, err := runTail(t, "--events", "--config", cfg, "--since", "2023-11-14", "--log", log, "--count", "2", "--seconds", "20", "siem")
	wait()
	if err != nil || !strings.Contains(out, "/file-1 ") || strings.Contains(out, "/file-2 ") || !strings.Contains(out, "/file-3 ") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTailSinceInOtherForms: records in a pipe are the log's and then the stream's, and an event from
// the log is as JSON what it would be from the stream.
func TestTailSinceInOtherForms(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	appendTo(t, log, 1, 2)
	_, want := sampleEvent(2)
	path, wait := serve(t, streamOf(2, 3))
	out, _, err := runTail(t, "--since", "2023-11-14T22:13:20.002Z", "--log", log, "--count", "7", path)
	wait()
	if err != nil || out != want+streamOf(3, 3) {
		t.Errorf("%v: %s", err, out)
	}

	path, wait = serve(t, streamOf(3, 3))
	out, _, err = runTail(t, "--json", "--since", "2023-11-14", "--log", log, "--count", "3", path)
	wait()
	if lines := strings.Count(out, "\n"); err != nil || lines != 3 || strings.Contains(out, "recovered") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTailSurvivesTheLog: the stream is followed, and what is missing is said, though audit.log is gone
// when the connection is back.
func TestTailSurvivesTheLog(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := socketDir(t)
	log := filepath.Join(dir, "audit.log")
	appendTo(t, log, 1, 10)
	l := listen(t, filepath.Join(dir, "s"))
	var wg sync.WaitGroup
	wg.Go(func() {
		send(t, l, []byte(streamOf(11, 20)))
		os.Remove(log)
		send(t, l, []byte(streamOf(21, 30)))
	})
	out, _, err := runTail(t, "--events", "--since", "2023-11-14", "--log", log, "--count", "30", l.Addr().String())
	wg.Wait()
	if err != nil || !strings.Contains(out, "is not shown") {
		t.Errorf("%v\n%s", err, out)
	}
	checkSerials(t, out, 1, 30)
}

// TestTailSinceErrors say what to do.
func TestTailSinceErrors(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	if _, _, err := runTail(t, "--since", "10m", "--log", log, "/nowhere"); err == nil || !strings.Contains(err.Error(), "--log FILE") {
		t.Error(err)
	}
	appendTo(t, log, 1, 1)
	path, wait := serve(t, "{\"a\": 1}\n")
	if _, _, err := runTail(t, "--since", "2023-11-14", "--log", log, path); err == nil || !strings.Contains(err.Error(), "--since wants format") {
		t.Error(err)
	}
	wait()
	for _, args := range [][]string{{"--since", "soon", "/x"}, {"--since", "1m", "-"}, {"--log", log, "/x"}, {"--raw", "--json"}, {"--events", "--json"}} {
		if _, _, err := runTail(t, args...); err == nil {
			t.Errorf("%v: no error", args)
		} else if _, usage := err.(usageError); !usage {
			t.Errorf("%v: %v is no usage error", args, err)
		}
	}
}

// TestEventIDs: the last ones are remembered, and no more than twice as many.
func TestEventIDs(t *testing.T) {
	var ids eventIDs
	for serial := range uint32(5 * maxEventIDs) {
		ids.add(eventID{serial: serial})
		if len(ids.young)+len(ids.old) > 2*maxEventIDs {
			t.Fatal(len(ids.young), len(ids.old))
		}
	}
	for serial := range uint32(5 * maxEventIDs) {
		if recent := serial >= 4*maxEventIDs; recent && !ids.has(eventID{serial: serial}) {
			t.Fatalf("%d is forgotten", serial)
		}
	}
	if ids.has(eventID{serial: 1}) {
		t.Error("nothing is forgotten")
	}
}
