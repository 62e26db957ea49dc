package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/journald"
)

// statDisk asks for the file system of a path, or of what is above it where it is not there yet.
func statDisk(path string) (Disk, error) {
	at := path
	for {
		var st unix.Statfs_t
		err := unix.Statfs(at, &st)
		if err == nil {
			size := int64(st.Frsize)
			if size == 0 {
				size = int64(st.Bsize)
			}
			return Disk{Path: path, Size: size * int64(st.Blocks), Avail: size * int64(st.Bavail)}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return Disk{}, fmt.Errorf("%s: %w", path, err)
		}
		at = filepath.Dir(at)
	}
}

func (g *Gatherer) has(path string) bool {
	_, err := os.Stat(g.Machine.Path(path))
	return err == nil
}

// bootedOff reports whether the kernel's command line switches audit off (audit_enable in
// kernel/audit.c).
func (g *Gatherer) bootedOff() bool {
	text, _ := g.Machine.ReadFile("/proc/cmdline")
	return slices.ContainsFunc(strings.Fields(string(text)), func(word string) bool { return word == "audit=0" || word == "audit=off" })
}

// The namespaces that the kernel begins with have fixed numbers (include/linux/proc_ns.h).
const (
	firstPIDs  = "pid:[4026531836]"
	firstUsers = "user:[4026531837]"
)

// contained reports whether this process is in a pid or user namespace of its own, in which the
// kernel gives no audit.
func (g *Gatherer) contained() bool {
	for name, first := range map[string]string{"pid": firstPIDs, "user": firstUsers} {
		if now, err := os.Readlink(g.Machine.Path("/proc/self/ns/" + name)); err == nil && now != first {
			return true
		}
	}
	return false
}

// disk is Disk for a path of the machine.
func (g *Gatherer) disk(path string) (Disk, error) {
	if path == "" || path == "." {
		return Disk{}, errNone
	}
	d, err := g.Disk(g.Machine.Path(path))
	d.Path = path
	return d, err
}

// Journald is what systemd-journald does on this machine.
type Journald struct {
	Listener  string // who listens to the kernel's audit records besides auditd: "systemd (pid 1)"; "" for none
	DevLog    bool   // /dev/log is journald's
	Namespace string // that auditd's unit logs to (LogNamespace=), "" for that of the host
	Limit     journald.Limit
}

// The kernel's groups of netlink.
const (
	netlinkAudit = "9"
	groupReadLog = 1 // AUDIT_NLGRP_READLOG, the first bit
)

// journald looks at the system's journal. Without one there may be listeners as well.
func (g *Gatherer) journald(inUnit bool) (j Journald, err error) {
	if target, err := os.Readlink(g.Machine.Path("/dev/log")); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join("/dev", target)
		}
		_, j.DevLog = journald.NamespaceAt(g.Machine.Root, g.Machine.Path(filepath.Clean(target)))
	}
	if unit, err := g.unit(); err == nil && inUnit && !strings.Contains(unit["LogNamespace"], "/") {
		j.Namespace = unit["LogNamespace"]
	}
	j.Limit = journald.LimitOf(g.Machine.Root, j.Namespace, "")
	j.Listener, err = g.listener()
	return j, err
}

// listener finds who has joined the kernel's group of audit readers (proc_net_netlink: sk, protocol,
// port, groups). A socket that systemd has made for journald has systemd's pid as its port.
func (g *Gatherer) listener() (string, error) {
	data, err := g.Machine.ReadFile("/proc/net/netlink")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}

	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) < 4 || words[1] != netlinkAudit {
			continue
		}
		groups, err := strconv.ParseUint(words[3], 16, 32)
		if err != nil || groups&groupReadLog == 0 {
			continue
		}
		pid, err := strconv.Atoi(words[2])
		if err != nil {
			return "a process", nil
		}
		if p, err := g.Machine.FindProcess(pid); err == nil {
			return fmt.Sprintf("%s (pid %d)", p.Comm, pid), nil
		}
		return fmt.Sprintf("netlink port %d", pid), nil
	}
	return "", nil
}

// systemDirs are where systemd looks for configuration, the first one before the others.
var systemDirs = []string{"/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"}

// iniFiles reads a section of a systemd configuration file, NAME below one of systemDirs, and of the
// drop-ins in NAME.d of all of them: in the order of their names, the later one counts. sources has the
// file that each value is from.
func (g *Gatherer) iniFiles(name, section string) (values, sources map[string]string, err error) {
	values, sources = make(map[string]string), make(map[string]string)
	var files []string
	for _, dir := range systemDirs {
		if _, err := os.Stat(g.Machine.Path(filepath.Join(dir, name))); err == nil {
			files = append(files, filepath.Join(dir, name))
			break
		}
	}
	dropIns := make(map[string]string) // by name
	for _, dir := range systemDirs {
		entries, _ := os.ReadDir(g.Machine.Path(filepath.Join(dir, name+".d")))
		for _, e := range entries {
			if _, there := dropIns[e.Name()]; !there && strings.HasSuffix(e.Name(), ".conf") {
				dropIns[e.Name()] = filepath.Join(dir, name+".d", e.Name())
			}
		}
	}
	for _, base := range slices.Sorted(maps.Keys(dropIns)) {
		files = append(files, dropIns[base])
	}

	for _, file := range files {
		data, err := g.Machine.ReadFile(file)
		if err != nil {
			return values, sources, err
		}
		for _, s := range readSection(data, section) {
			values[s.key], sources[s.key] = s.after(values[s.key]), file
		}
	}
	return values, sources, nil
}

// setting is a line of a systemd configuration file.
type setting struct{ key, value string }

// after is the value of a setting that had another one before. Lists grow, and an empty value
// begins them again (systemd.exec(5)). In a list of address families each word gets the "~" of its
// line.
func (s setting) after(before string) string {
	switch s.key {
	case "RestrictAddressFamilies", "IPAddressAllow", "IPAddressDeny":
	default:
		return s.value
	}
	if s.value == "" {
		return ""
	}
	words := strings.Fields(s.value)
	if rest, inverted := strings.CutPrefix(s.value, "~"); inverted {
		words = strings.Fields(rest)
		for i := range words {
			words[i] = "~" + words[i]
		}
	}
	return strings.TrimSpace(before + " " + strings.Join(words, " "))
}

// readSection returns the lines of a section (systemd.syntax(7)), without those that continue on a
// next line.
func readSection(data []byte, section string) (settings []setting) {
	inside := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			inside = line == "["+section+"]"
		case inside:
			if key, value, ok := strings.Cut(line, "="); ok {
				settings = append(settings, setting{strings.TrimSpace(key), strings.TrimSpace(value)})
			}
		}
	}
	return settings
}

// unit reads what auditd.service and its drop-ins say of its sandbox.
func (g *Gatherer) unit() (map[string]string, error) {
	values, _, err := g.iniFiles("systemd/system/auditd.service", "Service")
	if err == nil && len(values) == 0 {
		return nil, errNone
	}
	return values, err
}

// restartsByService reports whether the program service restarts auditd: by an action for that of auditd's package, which not all
// distributions have any more, or as systemctl does it, which a unit with RefuseManualStop= does not let anyone do.
func (g *Gatherer) restartsByService() (bool, error) {
	switch {
	case !g.has("/usr/sbin/service") && !g.has("/sbin/service"):
		return false, nil
	case g.has("/usr/libexec/initscripts/legacy-actions/auditd/restart"):
		return true, nil
	}
	values, _, err := g.iniFiles("systemd/system/auditd.service", "Unit")
	return err == nil && !isOn(values["RefuseManualStop"]), err
}

// isOn reads a setting of systemd as its parse_boolean does.
func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "yes", "y", "true", "t", "on", "1":
		return true
	}
	return false
}

// certificates reads the files of certificates that sinks and the server of metrics use.
func (g *Gatherer) certificates(c *config.Config) (files []CertFile) {
	if m := &c.Metrics; m.Listen != "" && m.CertFile != "" {
		certs, err := g.readCerts(m.CertFile)
		files = append(files, CertFile{Path: m.CertFile, Own: true, Certs: certs, Err: err})
	}

	for _, s := range c.Sinks {
		user, ok := s.Settings.(interface {
			Certificates() (own, authorities string)
		})
		if !ok {
			continue
		}
		own, authorities := user.Certificates()
		for _, file := range []CertFile{{Sink: s.Name, Path: own, Own: true}, {Sink: s.Name, Path: authorities}} {
			if file.Path == "" {
				continue
			}
			file.Certs, file.Err = g.readCerts(file.Path)
			files = append(files, file)
		}
	}
	return files
}

func (g *Gatherer) readCerts(path string) (certs []Cert, err error) {
	data, err := g.Machine.ReadFile(path)
	if err != nil {
		return nil, err
	}

	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // one that nothing can use
		}
		certs = append(certs, Cert{Subject: c.Subject.String(), NotAfter: c.NotAfter})
	}

	if len(certs) == 0 {
		return nil, fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return certs, nil
}
