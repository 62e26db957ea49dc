package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
)

// TestSmallCgroup: with sinks that are down the relay lives in a cgroup that could not
// hold what their queues may, and loses nothing that their spools have room for; the rest is
// counted.
func TestSmallCgroup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mib, sinks int
		padding    string
		spool      int // MiB
	}{
		{64, 2, strings.Repeat("x", 200), 1024},
		{64, 2, "", 16},
		{128, 8, strings.Repeat("x", 200), 16},
	} {
		t.Run(fmt.Sprintf("%d sinks in %d MiB, %d bytes", tt.sinks, tt.mib, len(tt.padding)), func(t *testing.T) {
			procs := newCgroup(t, tt.mib<<20)
			dir := tempDir(t)
			plain := build(t, dir, "../cmd/audisp-relay") // the race detector takes much memory
			config := fmt.Sprintf("[recovery]\nenabled = false\n[spool]\nmax_size = \"%dMiB\"\n", tt.spool)
			for i := range tt.sinks {
				config += fmt.Sprintf("[sinks.d%d]\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:1\"\nq_depth = 1000000\n", i)
			}
			r := start(t, dir, config, func(cmd *exec.Cmd, _ [2]int) {
				args := append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, procs, plain}, cmd.Args[1:]...)
				cmd.Path, cmd.Args = "/bin/sh", args
			})
			const batch, batches = 2000, 250
			for k := range batches {
				var b strings.Builder
				for i := range batch {
					fmt.Fprintf(&b, "type=USER_LOGIN msg=audit(1795296167.053:%d): pid=1 uid=0 auid=0 ses=1 msg='op=login %s res=success'\n", 1+k*batch+i, tt.padding)
				}
				r.write([]byte(b.String()))
			}
			var rep *plugin.Report
			until(t, "all records to come to all sinks", func() bool { // which get a batch after it is counted, and one after the other
				rep = r.report()
				return rep.Input.Records == batch*batches && !slices.ContainsFunc(rep.Consumers, func(c consumer.Report) bool { return c.Received < batch*batches })
			})
			if rep.Memory.Cgroup != int64(tt.mib)<<20 || rep.Memory.QueueCap == 0 {
				t.Errorf("memory: %+v", rep.Memory)
			}
			for _, c := range rep.Consumers {
				if (c.LostTotal != 0 && tt.spool == 1024) || c.Queued+c.LostTotal != c.Received || c.Delivered != 0 || c.Received != batch*batches || c.Room > rep.Memory.QueueCap {
					t.Errorf("%s: received %d, queued %d, lost %d, q_bytes %d", c.Name, c.Received, c.Queued, c.LostTotal, c.Room)
				}
			}
			r.end()
		})
	}
}

// newCgroup makes a cgroup with a limit of memory, of either version, and returns the file
// that takes a process in. It skips the test where that cannot be.
func newCgroup(t *testing.T, limit int) (procs string) {
	t.Helper()
	name := fmt.Sprintf("relay-test-%d", os.Getpid())
	for _, v := range []struct{ dir, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(v.dir, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if f, err := os.OpenFile(filepath.Join(dir, v.file), os.O_WRONLY, 0); err == nil {
			_, err = fmt.Fprint(f, limit)
			f.Close()
			if err == nil {
				t.Cleanup(func() {
					until(t, "the cgroup to be empty", func() bool { return os.Remove(dir) == nil })
				})
				return filepath.Join(dir, "cgroup.procs")
			}
		}
		os.Remove(dir)
	}
	t.Skip("no cgroup with a memory limit can be made")
	return ""
}
