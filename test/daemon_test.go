package test

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveAuditdsOwnRecordsCome: what auditd logs of itself comes to consumers on an
// idle host, once, also what it does not send to plugins, and no warning with it.
func TestLiveAuditdsOwnRecordsCome(t *testing.T) {
	l := startLive(t, "loss_markers = true\n"+fileOnly, lab.Options{}, "string")
	l.Drain(l.path("out"))
	both := func(text string, more int) {
		t.Helper()
		eventually(t, text, func() error {
			out, err := os.ReadFile(l.path("out"))
			if err != nil {
				return err
			}
			var log int
			for _, name := range l.Logs() {
				n, err := lab.CountString(name, text)
				if err != nil {
					return err
				}
				log += n
			}
			if n := bytes.Count(out, []byte(text)); log < more || n != log {
				return fmt.Errorf("%d in the log, %d in the file", log, n)
			}
			return nil
		})
	}
	l.Reload()
	both("type=DAEMON_CONFIG", 1)
	writeConfig(t, l.dir, "no = toml = at all\n")
	l.Reload()
	both("type=DAEMON_CONFIG", 2)
	l.Rotate()
	both("type=DAEMON_ROTATE", 1)
	signal(t, l.PID(), syscall.SIGUSR2)
	both("type=DAEMON_RESUME", 1)
	time.Sleep(1500 * time.Millisecond) // what comes twice comes a little later
	both("type=DAEMON_", 5)
	if lines := append(l.says("warn", recovered), l.says("warn", "lost")...); len(lines) > 0 {
		t.Errorf("%v", lines)
	}
	if got := markers(t, l.path("out")); len(got) > 0 {
		t.Errorf("%v", got)
	}
}
