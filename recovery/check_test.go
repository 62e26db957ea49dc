package recovery

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
)

// TestCheckGivesWhatOnlyTheLogHas: the record that says who had auditd reload comes on
// an idle host too, once, whether or not the stream brings it, and is no fault of the
// stream.
func TestCheckGivesWhatOnlyTheLogHas(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, brought := range []bool{false, true} {
		now := time.Now().UnixMilli()
		config := fmt.Sprintf("type=DAEMON_CONFIG msg=audit(%d.%03d:77): op=reconfigure state=changed auid=1000 pid=9 subj=? res=success", now/1000, now%1000)
		before := call(now-5000, 1) + call(now-4000, 2)
		path := filepath.Join(t.TempDir(), "audit.log")
		logged := strings.ReplaceAll(before, "type=EOE", "") // any line will do
		if err := os.WriteFile(path, []byte(logged), 0o600); err != nil {
			t.Fatal(err)
		}
		out := new(collector)
		f := New(Options{Log: auditlog.New(path), Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop()})
		f.Take(batchOf(before))
		f.last, f.tailSeen = time.Now().Add(-time.Hour), true // long quiet
		end := start(f)
		f.Check()
		log, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(log, config)
		log.Close()
		count := func() (n int) {
			lines, _ := out.lines()
			for _, l := range lines {
				if l == config {
					n++
				}
			}
			return n
		}
		for deadline := time.Now().Add(time.Minute); count() == 0 && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		if brought {
			f.Take(batchOf(config + "\n"))
		}
		end()
		f.Finish(time.Now().Add(10 * time.Second))
		if n := count(); n != 1 {
			t.Errorf("brought by the stream %v: the record came %d times", brought, n)
		}
		if c := f.Show(); c.Recovered != 0 || c.LogOnly != 1 || c.LostHoles != 0 {
			t.Errorf("brought by the stream %v: %+v", brought, c.Counts)
		}
	}
}
