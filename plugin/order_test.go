package plugin

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// logins are records of these serials, of now.
func logins(serials ...int) []byte {
	var b bytes.Buffer
	for _, n := range serials {
		fmt.Fprintf(&b, "type=USER_LOGIN msg=audit(%.3f:%d): pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'\n", float64(time.Now().UnixMilli())/1000, n)
	}
	return b.Bytes()
}

var serialOfLine = regexp.MustCompile(`:(\d+)\): `)

// serialTextIn returns the serials of the records in a file, in their order.
func serialTextIn(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var list []string
	for _, m := range serialOfLine.FindAllSubmatch(data, -1) {
		list = append(list, string(m[1]))
	}
	return strings.Join(list, " ")
}

// TestEventsThatWaitGoFirst: what order = "serial" holds goes at a reload that takes that away, when a reload takes
// the sink away, and at the end of the stream: before all that comes after, and in order.
// A sink that ends has half a second for that, which may be too little on a busy machine, but not again and again.
func TestEventsThatWaitGoFirst(t *testing.T) {
	t.Parallel()
	const sink = "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n"
	for name, c := range map[string]struct{ next, rest, want string }{
		"end":             {"", "", "1 3 4"},
		"another order":   {sink, "7 6", "1 3 4 7 6"},
		"another setting": {sink + "sync = \"none\"\norder = \"serial\"\n", "", "1 3 4"},
		"no such sink":    {"[sinks.g]\ntype = \"file\"\npath = \"DIR/other\"\n", "", "1 3 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 3 {
				got := givenBefore(t, sink, c.next, c.rest)
				if got == c.want {
					return
				}
				t.Logf("got %s, want %s", got, c.want)
			}
			t.Error("not in order, or not all")
		})
	}
}

// givenBefore returns the serials that a sink gets, in their order, before what is next: another configuration, where there is one, and
// the end.
func givenBefore(t *testing.T, sink, next, rest string) string {
	file := configFile(t, sink+"order = \"serial\"\n")
	dir := filepath.Dir(file)
	p, w, end := runFile(t, file)
	w.Write(logins(1, 4, 3))
	wait(t, "the first is delivered", func() bool { return p.Report().Consumers[0].Delivered > 0 })
	if next != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "[sinks")
		if err := os.WriteFile(file, []byte(head+strings.ReplaceAll(next, "DIR", dir)), 0o640); err != nil {
			t.Fatal(err)
		}
		p.signals.hup <- syscall.SIGHUP
		wait(t, "it is reloaded", func() bool { return p.Report().Reloads == 1 })
	}
	if rest != "" {
		w.Write(logins(7, 6))
	}
	end()
	return serialTextIn(t, filepath.Join(dir, "out"))
}

// TestRecoveredEventsComeInTheirPlace: what the stream has lost stands where it belongs once it was found in
// audit.log. A machine may be so slow that it does not come in time, but not again and again.
func TestRecoveredEventsComeInTheirPlace(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for range 3 {
		if got := recoverInOrder(t); got == "1 2 3 4 5 6 7 8 9 10" {
			return
		} else if t.Logf("got %s", got); t.Failed() {
			return
		}
	}
	t.Error("out of order")
}

// recoverInOrder returns the serials that a file gets while the stream lacks some of those in audit.log.
func recoverInOrder(t *testing.T) string {
	file := configFile(t, "recovery.log_file = \"DIR/audit.log\"\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\norder = \"serial\"\n")
	dir := filepath.Dir(file)
	in, out := io.Pipe()
	all := logins(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	if err := os.WriteFile(filepath.Join(dir, "audit.log"), all, 0o600); err != nil {
		t.Fatal(err)
	}
	p := New(Options{Config: file, In: in, Window: 60 * time.Millisecond})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	lines := slices.Collect(bytes.Lines(all))
	out.Write(slices.Concat(lines[0], lines[1], lines[4], lines[5], lines[7], lines[8], lines[9]))
	wait(t, "all is delivered", func() bool { return p.Report().Consumers[0].Delivered == 10 })
	out.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return serialTextIn(t, filepath.Join(dir, "out"))
}
