package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"audisp-relay/doctor"
	"audisp-relay/test/lab"
)

// withJournald is a shell script that runs the relay beside a journald of its own, which takes 200
// messages in half a minute. Both see a /run, a /dev and a configuration of systemd that the machine
// does not have. journald must not touch the kernel's auditing.
const withJournald = `
	mount -t tmpfs none /run
	mkdir -p /run/systemd/journal /run/log/journal /run/dev
	[ -s /etc/machine-id ] || { echo 0123456789abcdef0123456789abcdef >/run/id; mount --bind /run/id /etc/machine-id; }
	mount -t tmpfs none /etc/systemd
	printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=30s\nRateLimitBurst=200\nReadKMsg=no\nAudit=\nForwardToSyslog=no\nForwardToWall=no\n' >/etc/systemd/journald.conf
	mount --bind /dev /run/dev
	mount -t tmpfs none /dev
	for node in null zero full random urandom; do touch /dev/$node; mount --bind /run/dev/$node /dev/$node; done
	ln -s /proc/self/fd /dev/fd
	ln -s /run/systemd/journal/dev-log /dev/log
	setpriv --bounding-set -audit_control,-audit_read,-audit_write --inh-caps -audit_control,-audit_read,-audit_write \
		/lib/systemd/systemd-journald </dev/null &
	until [ -S /run/systemd/journal/dev-log ]; do sleep 0.1; done
	exec "$@"`

// TestDoctorFindsJournaldsLimit: a sink that sends more to a real journald than that takes is found,
// with the limit of journald's own files, and no longer when the first steps of the fix are done. That it
// drops does not show here: it counts for units only (server_dispatch_message), and there is none.
func TestDoctorFindsJournaldsLimit(t *testing.T) {
	t.Parallel()
	lab.Require(t, "unshare", "nsenter", "setpriv", "/lib/systemd/systemd-journald")
	dir := tempDir(t)
	r := start(t, dir, "[sinks.journal]\ntype = \"syslog\"\ntransport = \"local\"\n", func(cmd *exec.Cmd, _ [2]int) {
		wrapped := exec.Command("unshare", append([]string{"-m", "-n", "-p", "-f", "--mount-proc", "--kill-child", "--propagation", "private",
			"sh", "-ec", withJournald, "sh"}, cmd.Args...)...)
		cmd.Path, cmd.Args, cmd.Env = wrapped.Path, wrapped.Args, os.Environ()
	})
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for serial := 1; ; serial++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				now := time.Now()
				fmt.Fprintf(r.auditd, "type=USER msg=audit(%d.%03d:%d): pid=1 uid=0 auid=0 ses=1 msg='op=a program speaks'\n", now.Unix(), now.Nanosecond()/1e6, serial)
			}
		}
	}()
	defer func() { close(stop); <-ended }()

	inside := func(argv ...string) *exec.Cmd {
		pid := strconv.Itoa(r.cmd.Process.Pid)
		children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		return exec.Command("nsenter", append([]string{"-t", strings.TrimSpace(string(children)), "-m", "-p"}, argv...)...)
	}
	find := func() *doctor.Finding {
		out, _ := inside(binary, "doctor", "--format", "json", "--config", filepath.Join(dir, "relay.toml")).Output()
		var d diagnosis
		if err := json.Unmarshal(out, &d); err != nil {
			return nil // it has not begun
		}
		for i := range d.Findings {
			if d.Findings[i].Code == "AR-JOURNALD-RATE" {
				return &d.Findings[i]
			}
		}
		return nil
	}
	var found *doctor.Finding
	until(t, "the limit is found", func() bool { found = find(); return found != nil })
	if !strings.Contains(found.Evidence, "RateLimitBurst=200") || found.Subject != "journal" {
		t.Errorf("found %+v", found)
	}
	fix, _, _ := strings.Cut(found.Fix, " && systemctl")
	if out, err := inside("sh", "-ec", fix).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", fix, err, out)
	}
	if found := find(); found != nil {
		t.Errorf("after %s: %+v", fix, found)
	}
}
