package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"audisp-relay/config"
	"audisp-relay/host"
)

// Sandbox is how a process sees the machine.
type Sandbox struct {
	PID      int
	Mounts   []Mount // of its mount namespace, in their order
	Outer    []Mount // of the first process of the machine
	OwnNet   bool    // its network namespace is another one than that of the machine
	CPUQuota string  // what its control group may take, "" for all
	QuotaOf  string  // the file that says so: of that group or of one above it
	// Real has each place that the relay writes to without symbolic links.
	Real map[string]string
}

// Mount is a line of /proc/PID/mountinfo.
type Mount struct {
	Point    string
	ReadOnly bool
	Type     string
}

// sandbox looks at the process of the relay.
func (g *Gatherer) sandbox(pid int, c *config.Config) (Sandbox, error) {
	s := Sandbox{PID: pid, Real: make(map[string]string)}
	for _, path := range written(c) {
		s.Real[path] = g.realPath(path)
	}
	data, err := g.Machine.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return s, err
	}
	s.Mounts = parseMounts(data)
	if data, err := g.Machine.ReadFile("/proc/1/mountinfo"); err == nil {
		s.Outer = parseMounts(data)
	}
	own, ownErr := os.Readlink(g.Machine.Path(fmt.Sprintf("/proc/%d/ns/net", pid)))
	outer, outerErr := os.Readlink(g.Machine.Path("/proc/1/ns/net"))
	s.OwnNet = ownErr == nil && outerErr == nil && own != outer
	s.CPUQuota, s.QuotaOf = g.cpuQuota(pid)
	return s, nil
}

// realPath is a path of the machine without symbolic links, as far as it exists.
func (g *Gatherer) realPath(path string) string {
	rest := ""
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(g.Machine.Path(at)); err == nil {
			return filepath.Join("/", strings.TrimPrefix(real, g.Machine.Root), rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// parseMounts reads /proc/PID/mountinfo (proc_pid_mountinfo(5)).
func parseMounts(data []byte) (mounts []Mount) {
	for line := range strings.Lines(string(data)) {
		left, right, ok := strings.Cut(line, " - ")
		words, super := strings.Fields(left), strings.Fields(right)
		if !ok || len(words) < 6 || len(super) < 3 {
			continue
		}
		readOnly := slices.Contains(strings.Split(words[5], ","), "ro") || slices.Contains(strings.Split(super[2], ","), "ro")
		mounts = append(mounts, Mount{Point: host.MountPath(words[4]), ReadOnly: readOnly, Type: super[0]})
	}
	return mounts
}

// mountOf is the mount that path is on: the one with the longest mount point, the last of several such.
func mountOf(mounts []Mount, path string) (of Mount, ok bool) {
	path = filepath.Clean(path)
	for _, m := range mounts {
		within := m.Point == "/" || path == m.Point || strings.HasPrefix(path, m.Point+"/")
		if within && (!ok || len(m.Point) >= len(of.Point)) {
			of, ok = m, true
		}
	}
	return of, ok
}

// cpuQuota is the limit that a control group of the process has.
func (g *Gatherer) cpuQuota(pid int) (quota, file string) {
	data, err := g.Machine.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", ""
	}

	for line := range strings.Lines(string(data)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for at := filepath.Clean("/" + group); at != "/"; at = filepath.Dir(at) {
			file = filepath.Join("/sys/fs/cgroup", at, "cpu.max")
			text, err := g.Machine.ReadFile(file)
			if words := strings.Fields(string(text)); err == nil && len(words) == 2 && words[0] != "max" {
				return fmt.Sprintf("%s of %s µs", words[0], words[1]), file
			}
		}
	}
	return "", ""
}
