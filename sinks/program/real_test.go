package program

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// capture returns the first n lines of a real stream.
func capture(t *testing.T, name string, n int) []byte {
	t.Helper()
	lines := bytes.SplitAfter(captures.Read(t, name), []byte("\n"))
	return bytes.Join(lines[:min(n, len(lines))], nil)
}

// TestAudispSyslog: the stock plugin gets every record. It runs with a /dev of
// its own, where /dev/log is the test's.
func TestAudispSyslog(t *testing.T) {
	plugin := tool(t, "audisp-syslog")
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root for a mount namespace")
	}
	dir := t.TempDir()
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	script := filepath.Join(dir, "plugin")
	text := fmt.Sprintf("#!/bin/sh\nexec unshare -m /bin/sh -c 'mount -t tmpfs none /dev && touch /dev/log && mount --bind %s/log /dev/log && exec %s'\n", dir, plugin)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	s := newSink(settings(script, 0), format.Encoder{}, zap.NewNop())
	r := run(t, s)
	stream := capture(t, "audit-3.0.9-enriched.string.gz", 3000)
	for _, b := range sinktest.Batches(stream, 10_000) {
		r.q.Put(&b)
	}
	head := regexp.MustCompile(`^<14>[^:]*:\d\d:\d\d audisp-syslog: `)
	var got []string
	buf := make([]byte, 64<<10)
	want := strings.Split(strings.TrimSuffix(string(stream), "\n"), "\n")
	for i := range want {
		want[i] = strings.Replace(want[i], "\x1d", " ", 1)
	}
	for len(got) < len(want) {
		if err := log.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := log.Read(buf)
		if err != nil {
			t.Fatalf("after %d of %d records: %v; status %+v", len(got), len(want), err, s.Status())
		}
		if bytes.Contains(buf[:n], []byte("syslog plugin initialized")) {
			continue
		}
		got = append(got, strings.TrimSuffix(head.ReplaceAllString(string(buf[:n]), ""), "\n"))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records (-sent +received):\n%.2000s", d)
	}
}

// TestLaurelWritesEveryEvent: laurel writes an event for every one that went in.
func TestLaurelWritesEveryEvent(t *testing.T) {
	laurel := tool(t, "laurel")
	if os.Getuid() != 0 {
		lab.Missing(t, "laurel needs root")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "laurel.toml")
	text := fmt.Sprintf("directory = %q\n[auditlog]\nfile = \"audit.json\"\nsize = 500000000\ngenerations = 2\n", dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSink(settings(laurel, 0, "--config", conf), format.Encoder{}, zap.NewNop())
	s.w.eofGrace = 10 * time.Second // it writes its last events when its input ends
	r := run(t, s)
	stream := capture(t, "audit-3.0.9-raw.string.gz", 5000)
	for _, b := range sinktest.Batches(stream, 10_000) {
		r.q.Put(&b)
	}
	r.q.Close()
	<-r.done
	if st := s.Status(); st.Details.(*Details).Restarts != 0 || st.Degraded {
		t.Errorf("status %+v", st)
	}
	want := make(map[string]bool)
	for _, m := range regexp.MustCompile(`msg=audit\(([0-9.:]+)\)`).FindAllSubmatch(stream, -1) {
		want[string(m[1])] = true
	}
	got := events(t, filepath.Join(dir, "audit.json"))
	missing := 0
	for id := range want {
		if !got[id] {
			missing++
		}
	}
	// The capture ends somewhere: its last events lack their end.
	if missing > 2 {
		t.Errorf("%d of %d events did not come out of laurel", missing, len(want))
	}
}

func events(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids := make(map[string]bool)
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var event struct{ ID string }
		if err := json.Unmarshal(sc.Bytes(), &event); err != nil {
			t.Fatal(err)
		}
		ids[event.ID] = true
	}
	return ids
}
