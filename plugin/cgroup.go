package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/host"
)

// noLimit is from where on a number in a cgroup means none: version 1 writes the
// largest one that is whole pages.
const noLimit = 1 << 62

// cgroupLimit returns the smallest memory limit of the cgroups that this process is
// in, and the file that says so; 0 for none. root is "/" but in tests. Beyond
// memory.max the kernel kills, beyond memory.high it puts the process to sleep: a
// relay that is made to sleep stops auditd.
func cgroupLimit(root string) (limit int64, file string) {
	for _, dir := range cgroupDirs(root) {
		for _, name := range []string{"memory.max", "memory.high", "memory.limit_in_bytes"} {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				continue // of another version, or without the memory controller
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
			if err == nil && n > 0 && n < noLimit && (limit == 0 || n < limit) { // "max" is none
				limit, file = n, path
			}
		}
	}
	return limit, file
}

// cgroupDirs returns the directories of the cgroups that can limit the memory of this
// process: its own and those above, as far as they are mounted.
func cgroupDirs(root string) (dirs []string) {
	own, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil
	}

	for line := range strings.Lines(string(own)) { // "4:memory:/a/b", of version 2 "0::/a/b"
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 || (f[1] != "" && !hasOption(f[1], "memory")) {
			continue
		}
		base, top, ok := cgroupMount(string(mounts), f[1] == "")
		if !ok {
			continue
		}
		path := filepath.Clean("/" + f[2])
		if rest, in := strings.CutPrefix(path, top); in && (rest == "" || rest[0] == '/') {
			path = filepath.Clean("/" + rest) // a container sees only what is below top
		}
		for ; path != "/"; path = filepath.Dir(path) {
			dirs = append(dirs, filepath.Join(base, path))
		}
		dirs = append(dirs, base)
	}
	return dirs
}

// cgroupMount returns where the hierarchy of version 2, or that of version 1 with
// memory, is mounted, and which of its directories is there, "" for the first.
func cgroupMount(mounts string, version2 bool) (base, top string, ok bool) {
	for line := range strings.Lines(mounts) {
		left, right, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if len(f) < 5 || len(g) < 3 {
			continue
		}
		if (version2 && g[0] == "cgroup2") || (!version2 && g[0] == "cgroup" && hasOption(g[2], "memory")) {
			return host.MountPath(f[4]), strings.TrimSuffix(host.MountPath(f[3]), "/"), true
		}
	}
	return "", "", false
}

func hasOption(list, option string) bool { return slices.Contains(strings.Split(list, ","), option) }
