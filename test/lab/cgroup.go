package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuPeriod of a limit: a process that has used up its share waits for the rest of it.
const cpuPeriod = 100 * time.Millisecond

// LimitCPU holds a process, with all its threads, to a share of one core
// (0.2 is a fifth) by a control group of its own. The test's cleanup takes it
// out of it again; release does so earlier. Where the machine gives no control
// groups to write, the test skips as Require does.
func LimitCPU(t TB, pid int, share float64) (release func()) {
	t.Helper()
	root, v2 := cpuController()
	if root == "" {
		Missing(t, "no cpu control group (v1 or v2) can be written here")
		return func() {}
	}
	home, err := groupOf(pid, v2)
	Check(t, err, "limit pid %d", pid)
	group, err := os.MkdirTemp(root, "audisp-relay-lab")
	Check(t, err, "limit pid %d", pid)
	released := false
	release = func() {
		if released {
			return
		}
		released = true
		// Gone is fine too.
		_ = writeCgroup(filepath.Join(root, home, "cgroup.procs"), strconv.Itoa(pid))
		if err := wait(5*time.Second, "the control group to be empty", func() (bool, string) {
			err := unix.Rmdir(group)
			return err == nil, fmt.Sprintf("%s: %v", group, err)
		}); err != nil {
			t.Errorf("%v", err)
		}
	}

	t.Cleanup(release)
	quota := time.Duration(share * float64(cpuPeriod)).Microseconds()
	limits := [][2]string{{"cpu.cfs_period_us", fmt.Sprint(cpuPeriod.Microseconds())}, {"cpu.cfs_quota_us", fmt.Sprint(quota)}}
	if v2 {
		limits = [][2]string{{"cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod.Microseconds())}}
	}
	for _, l := range append(limits, [2]string{"cgroup.procs", strconv.Itoa(pid)}) {
		Check(t, writeCgroup(filepath.Join(group, l[0]), l[1]), "limit pid %d", pid)
	}
	return release
}

func writeCgroup(path, value string) error {
	return os.WriteFile(path, []byte(value), 0)
}

// cpuController finds where groups with a CPU limit can be made: "" nowhere.
func cpuController() (root string, v2 bool) {
	const base = "/sys/fs/cgroup"
	if unix.Access(base+"/cpu/cpu.cfs_quota_us", unix.F_OK) == nil || unix.Access(base+"/cpu/tasks", unix.F_OK) == nil {
		return writable(base+"/cpu", "tasks"), false
	}
	for _, dir := range []string{base, base + "/unified"} {
		enabled, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			continue
		}
		if strings.Contains(" "+strings.TrimSpace(string(enabled))+" ", " cpu ") {
			return writable(dir, "cgroup.procs"), true
		}
	}
	return "", false
}

func writable(dir, file string) string {
	if unix.Access(filepath.Join(dir, file), unix.W_OK) != nil {
		return ""
	}
	return dir
}

// groupOf returns the group that a process is in, relative to the
// controller's root (cgroups(7), /proc/PID/cgroup).
func groupOf(pid int, v2 bool) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(f[1], ",") {
			if (v2 && f[0] == "0") || (!v2 && controller == "cpu") {
				return f[2], nil
			}
		}
	}
	return "", fmt.Errorf("no cpu group in %q", data)
}
