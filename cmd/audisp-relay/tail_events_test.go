package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"audisp-relay/audit/record"
	"audisp-relay/format/human"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// runTail runs tail as a command whose output is no terminal.
func runTail(t *testing.T, args ...string) (out, notes string, err error) {
	t.Helper()
	var o, n bytes.Buffer
	cmd := newTailCmd()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&o)
	cmd.SetErr(&n)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), n.String(), err
}

// sampleEvent returns the records of an event as a stream has them, and as the log has them: without
// the EOE.
func sampleEvent(serial int) (stream, log string) {
	id := fmt.Sprintf("msg=audit(%d.%03d:%d): ", 1700000000+serial/1000, serial%1000, serial)
	log = "type=SYSCALL " + id + "arch=c000003e syscall=257 success=yes exit=3 a0=0 a1=0 a2=0 a3=0 items=1 ppid=1 pid=2 auid=1000 uid=0 gid=0 euid=0 ses=1 tty=pts0 comm=\"cat\" exe=\"/usr/bin/cat\" key=\"k\"\n" +
		"type=PATH " + id + fmt.Sprintf("item=0 name=\"/file-%d\" nametype=NORMAL\n", serial) +
		"type=PROCTITLE " + id + "proctitle=\"cat\"\n"
	return log + "type=EOE " + id + "\n", log
}

// serve gives each text to the next client of a socket, until wait is called.
func serve(t *testing.T, texts ...string) (path string, wait func()) {
	t.Helper()
	l := listen(t, filepath.Join(socketDir(t), "s"))
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, text := range texts {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, text) // tail may have had enough
			conn.Close()
		}
	})
	return l.Addr().String(), func() { l.Close(); wg.Wait() }
}

// TestTailModes: what goes into a pipe without a flag is every byte; with one it is what the flag
// says.
func TestTailModes(t *testing.T) {
	defer goleak.VerifyNone(t)
	one, _ := sampleEvent(1)
	two, _ := sampleEvent(2)
	stream := one + two
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--count", "8"}, stream},
		{[]string{"--raw", "--count", "8"}, stream},
		{[]string{"--filter", `key == "k" and serial == 2`, "--count", "4"}, two},
		{[]string{"--events", "--count", "1"}, "→root  ses=1  tty=pts0  pid=2  path=/file-1  by cat  exe=/usr/bin/cat  key=k  #1\n"},
		{[]string{"--json", "--count", "1"}, `"serial":1,`},
	} {
		path, wait := serve(t, stream)
		out, _, err := runTail(t, append(test.args, path)...)
		wait()
		_, exact := map[string]bool{stream: true, two: true}[test.want]
		out = strings.ReplaceAll(out, "→0 ", "→root ") // names are the host's
		if err != nil || (exact && out != test.want) || !strings.Contains(out, test.want) {
			t.Errorf("%v: %v\n%s\nwant %s", test.args, err, out, test.want)
		}
	}
}

func TestTailFilterErrors(t *testing.T) {
	_, _, err := runTail(t, "--filter", "uid = 0", "/nowhere")
	if err == nil || !strings.Contains(err.Error(), "^") {
		t.Errorf("%v: no caret", err)
	}
	path, wait := serve(t, "{\"a\": 1}\n")
	_, _, err = runTail(t, "--filter", "uid == 0", path)
	wait()
	if err == nil || !strings.Contains(err.Error(), "format of events") {
		t.Error(err)
	}
}

// TestTailShowsOtherFormats as they come.
func TestTailShowsOtherFormats(t *testing.T) {
	const text = "{\"a\": 1}\n{\"b\": 2}\n"
	path, wait := serve(t, text)
	out, _, err := runTail(t, "--events", "--count", "2", path)
	wait()
	if err != nil || out != text {
		t.Errorf("%q, %v", out, err)
	}
}

// TestTailReadsFrames: events are put together from frames, too.
func TestTailReadsFrames(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-enriched.binary.gz", "audit-4.2.1-enriched.binary.gz"} {
		path, wait := serve(t, string(captures.Read(t, name)))
		out, _, err := runTail(t, "--events", "--count", "100", path)
		wait()
		if n := strings.Count(out, "\n"); err != nil || n != 100 || !strings.Contains(out, "exec  ok  cloudsdk→") {
			t.Errorf("%s: %d lines, %v", name, n, err)
		}
	}
}

// lineWriter gives each line to a channel.
type lineWriter struct {
	part  []byte
	lines chan string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		line, rest, ok := bytes.Cut(w.part, []byte{'\n'})
		if !ok {
			return len(p), nil
		}
		w.lines <- string(line)
		w.part = rest
	}
}

// TestTailShowsEventsAtOnce: an event is shown with its EOE, though nothing more comes; without
// one it is shown as incomplete, while the connection lasts.
func TestTailShowsEventsAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	one, _ := sampleEvent(1)
	two, _ := sampleEvent(2)
	two, _, _ = strings.Cut(two, "type=PATH")
	l := listen(t, filepath.Join(socketDir(t), "s"))
	w := &lineWriter{lines: make(chan string, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		cmd := newTailCmd()
		cmd.SetOut(w)
		cmd.SetErr(io.Discard)
		cmd.SetArgs([]string{"--events", l.Addr().String()})
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Error(err)
		}
	})

	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, one)
	if got := <-w.lines; !strings.Contains(got, "/file-1") || strings.Contains(got, "incomplete") {
		t.Errorf("%q", got)
	}
	fmt.Fprint(conn, two)
	if got := <-w.lines; !strings.Contains(got, "open  ok  incomplete") || !strings.HasSuffix(got, "#2") {
		t.Errorf("%q", got)
	}
	cancel()
	wg.Wait()
	conn.Close()
}

const lossMarker = "type=DAEMON_ERR msg=audit(1700000000.500:7): op=relay-loss sink=siem cause=queue-full records=12 events=3 first=4 last=6 res=failed mac=00\n"

// TestTailShowsLosses: markers, and the times without a connection, stand among the events where
// they happened.
func TestTailShowsLosses(t *testing.T) {
	one, _ := sampleEvent(1)
	two, _ := sampleEvent(2)
	path, wait := serve(t, one+lossMarker, two)
	out, notes, err := runTail(t, "--events", "--count", "3", path)
	wait()
	lines := strings.Split(out, "\n")
	if err != nil || notes != "" || len(lines) != 6 {
		t.Fatalf("%v, notes %q\n%s", err, notes, out)
	}
	for i, want := range []string{"/file-1", "--- LOST 12 records: queue-full", "--- " + path + ": the other side has closed the connection; waiting for it", "--- connected again after ", "/file-2"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: %q, want %q", i+1, lines[i], want)
		}
	}
}

// TestTailSaysEachOutage, also where nothing came over the connection before, and apart where nothing
// but records may be.
func TestTailSaysEachOutage(t *testing.T) {
	one, _ := sampleEvent(1)
	two, _ := sampleEvent(2)
	for _, form := range []string{"--events", "--json"} {
		path, wait := serve(t, one, "", two)
		out, notes, err := runTail(t, form, "--count", "2", path)
		wait()
		if (notes != "") != (form == "--json") {
			t.Errorf("%s: notes %q", form, notes)
		}
		for _, want := range []string{"waiting for it", "connected again after "} {
			if n := strings.Count(out+notes, want); err != nil || n != 2 {
				t.Errorf("%s: %v: said %d times %q:\n%s%s", form, err, n, want, out, notes)
			}
		}
	}
}

// TestFiltersLeaveLosses: what was lost may have been what the filter is for.
func TestFiltersLeaveLosses(t *testing.T) {
	one, _ := sampleEvent(1)
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	for _, form := range []string{"--events", "--raw", "--json"} {
		in := filepath.Join(t.TempDir(), "in")
		write(t, in, one+lossMarker+one, 0o600)
		var err error
		if os.Stdin, err = os.Open(in); err != nil {
			t.Fatal(err)
		}
		out, _, err := runTail(t, form, "--filter", "uid == 77", "-")
		os.Stdin.Close()
		if err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, "queue-full") {
			t.Errorf("%s: %v\n%s", form, err, out)
		}
	}
}

// TestTailShowsWhatPanics: an event that cannot be shown is shown as its records, and the others as
// ever.
func TestTailShowsWhatPanics(t *testing.T) {
	tail, out, _ := newTail(0)
	tail.events = &eventView{out: tail.out, encode: func(dst []byte, b *record.Batch, i, j int) []byte {
		if b.Recs[i].Serial == 1 {
			panic("test")
		}
		return append(dst, "shown\n"...)
	}}
	tail.events.start()
	if _, err := tail.copy(t.Context(), strings.NewReader(streamOf(1, 2)+"type=USER msg=audit(1.000:1): \x1b\n")); err == nil {
		t.Fatal("no end")
	}

	_, want := sampleEvent(1)
	want += "type=EOE msg=audit(1700000000.001:1):\nshown\ntype=USER msg=audit(1.000:1): \\x1b\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestTailOnASlowTerminal: an event is whole although writing takes longer than its records may, as
// the rest of it waits to be read.
func TestTailOnASlowTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, _ := sampleEvent(1)
		two, _ := sampleEvent(2)
		begun, rest, _ := strings.Cut(two, "type=PATH")
		tail, out, _ := newTail(0)
		tail.out = bufio.NewWriter(writerFunc(func(p []byte) (int, error) {
			time.Sleep(2 * tailPatience)
			return out.Write(p)
		}))
		tail.events = &eventView{out: tail.out}
		tail.events.asText(nil, "", false)
		tail.events.start()
		_, err := tail.copy(t.Context(), io.MultiReader(strings.NewReader(one+begun), strings.NewReader("type=PATH"+rest)))
		if lines := strings.Count(out.String(), "\n"); !errors.Is(err, errDone) || lines != 2 || strings.Contains(out.String(), "incomplete") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestTailHoldsLittle of events that are never complete.
func TestTailHoldsLittle(t *testing.T) {
	tail, _, _ := newTail(0)
	v := &eventView{out: tail.out}
	v.asText(nil, "", false)
	v.start()
	for serial := range 3 * tailMaxEvents {
		line := fmt.Sprintf("type=SYSCALL msg=audit(1.000:%d): x=%s\n", serial+1, strings.Repeat("x", 32<<10))
		b := record.Batch{Buf: []byte(line), Recs: []record.Record{{Len: uint32(len(line))}}}
		new(record.HeaderReader).Read(&b.Recs[0], b.Buf)
		if err := v.add(&b, time.Now()); err != nil {
			t.Fatal(err)
		}
		if c := v.asm.Counts(); c.Open > tailMaxEvents || c.Bytes > tailMaxBytes+(64<<10) {
			t.Fatalf("%+v", c)
		}
	}
}

// tailOn runs tail on a terminal of 80 by 24 and returns what reaches that.
func tailOn(t *testing.T, args ...string) string {
	t.Helper()
	master, slave := lab.OpenTerminal(t)
	stdout := os.Stdout
	os.Stdout = slave
	defer func() { os.Stdout = stdout }()

	done := untilEnd(master)
	run(append([]string{"tail"}, args...))
	fmt.Fprintln(slave, endOfTest)
	out, _, _ := strings.Cut(<-done, endOfTest)
	return strings.ReplaceAll(out, "\r\n", "\n")
}

// colours are the sequences that human writes.
var colours = regexp.MustCompile("\x1b\\[(0|1|2|3[1-6]|1;31)m")

// TestTailOnATerminal: real streams with hostile names, and a hostile record, in each mode: nothing
// but what is seen and colours, none of these with NO_COLOR, TERM=dumb or no TERM.
func TestTailOnATerminal(t *testing.T) {
	hostileRecord := "type=USER_CMD msg=audit(1.000:1): pid=1 uid=1000 auid=1000 ses=1 msg='op=x acct=\""
	for _, h := range hostile[:11] {
		hostileRecord += h.text
	}
	stream := hostileRecord + "\" res=success'\n" + string(captures.Read(t, "audit-3.0.9-enriched.string.gz"))

	for _, mode := range []string{"", "--raw", "--json"} {
		for _, env := range []string{"", "NO_COLOR=1", "TERM=dumb", "TERM="} {
			t.Setenv("NO_COLOR", "")
			t.Setenv("TERM", "xterm")
			t.Setenv("LC_ALL", "C.UTF-8")
			if name, value, ok := strings.Cut(env, "="); ok {
				t.Setenv(name, value)
			}
			path, wait := serve(t, stream)
			args := []string{"--count", "20", path}
			if mode != "" {
				args = append(args, mode)
			}
			out := tailOn(t, args...)
			wait()
			plain := colours.ReplaceAllString(out, "")
			if hasOurs := plain != out; hasOurs != (env == "" && mode != "--json") {
				t.Errorf("%s %s: colours: %v", mode, env, hasOurs)
			}
			for _, r := range plain {
				if r != '\n' && !human.Seen(r) {
					t.Fatalf("%s %s: %U in %q", mode, env, r, plain)
				}
			}
			if n := strings.Count(plain, "\n"); n < 20 {
				t.Errorf("%s %s: %d lines", mode, env, n)
			}
			for line := range strings.Lines(plain) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); mode == "" && n > 80 {
					t.Errorf("%d columns: %q", n, line)
				}
			}
		}
	}
}

// TestTailStdin: events from a pipe that stays open are shown, too.
func TestTailStdin(t *testing.T) {
	defer goleak.VerifyNone(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	stdin := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = stdin; r.Close() }()
	_, log := sampleEvent(1)
	fmt.Fprint(w, log) // complete only when nothing more comes
	out, _, err := runTail(t, "--events", "--count", "1", "-")
	if err != nil || !strings.Contains(out, "/file-1") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestReadSoon(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if n, err := readSoon(a, make([]byte, 1), time.Millisecond); n != 0 || !os.IsTimeout(err) {
		t.Errorf("%d, %v", n, err)
	}
}
