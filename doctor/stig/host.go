package stig

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
	"audisp-relay/sinks/file"
)

// maxAideFiles bounds the files of AIDE's configuration that are looked at.
const maxAideFiles = 500

// aideFiles lists AIDE's configuration, in the places of the distributions.
func (h *Host) aideFiles() (files []string) {
	for _, pattern := range []string{"/etc/aide.conf", "/etc/aide/aide.conf", "/etc/aide.conf.d/*", "/etc/aide/aide.conf.d/*"} {
		found, _ := filepath.Glob(h.path(pattern)) // the patterns are right
		files = append(files, found...)
	}
	return files[:min(len(files), maxAideFiles)]
}

// integrity: AIDE's configuration has a line for this program.
func integrity(h *Host, a *Answer) {
	binary := h.program()
	set := fmt.Sprintf("put the line %q into /etc/aide.conf or /etc/aide/aide.conf.d/", binary+" p+i+n+u+g+s+b+acl+xattrs+sha512")
	files := h.aideFiles()
	if len(files) == 0 {
		a.gap("there is no configuration of AIDE on this host", "install aide; "+set)
		return
	}

	for _, name := range files {
		line, text := aideLine(name, binary)
		if text == "" {
			continue
		}
		short := strings.TrimPrefix(name, h.Root)
		if !strings.Contains(text, "sha512") {
			a.ask(fmt.Sprintf("%s:%d: %s", short, line, text), "see that its group includes sha512, p, u, g, acl and xattrs")
			return
		}
		a.seen(fmt.Sprintf("%s:%d: %s", short, line, text))
		a.seen("when AIDE runs and who reads its report was not looked at")
		return
	}
	a.gap(fmt.Sprintf("none of %d files of AIDE's configuration has a line for %s", len(files), binary), set)
}

// aideLine finds the line whose pattern is the path, or an expression that matches all of it; its
// number and its text. A file that cannot be read, or is larger than a MiB, has none.
func aideLine(name, path string) (number int, text string) {
	data, err := config.ReadRegular(name)
	if err != nil {
		return 0, ""
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(words[0], "/") {
			continue // a comment, a setting, or a line that leaves something out
		}
		pattern, err := regexp.Compile("^" + words[0]) // as AIDE has it (aide.conf(5))
		if err == nil && pattern.FindString(path) == path {
			return n, strings.Join(words, " ")
		}
	}
	return 0, ""
}

// program is the file of the program.
func (h *Host) program() string { return cmp.Or(h.Binary, host.DefaultBinary) }

// auditTools are the programs of auditd that the STIGs name.
var auditTools = []string{"auditctl", "auditd", "augenrules", "aureport", "ausearch", "autrace"}

// permissions: the tools of auditd and its log, the program, its configuration, and what it writes.
func permissions(h *Host, a *Answer) {
	h.auditFiles(a)
	h.closed(a, h.program(), 0o022, chmod(h.program(), "0755"))
	if h.Config == nil {
		h.configKnown(a)
		return
	}
	if h.Config.File != "" {
		h.closed(a, h.Config.File, 0o022, chmod(h.Config.File, "0640"))
	}

	h.stateDir(a)
	for i := range h.Config.Sinks {
		name := h.Config.Sinks[i].Name
		c, ok := h.Config.Sinks[i].Settings.(*file.Config)
		if !ok {
			continue
		}
		// Others may need the directory, as they do /var/log: its mode is not for us to propose.
		h.closed(a, filepath.Dir(c.Path), 0o027, fmt.Sprintf("give sinks.%s a path in a directory of its own, of root and mode 0750", name))
		if c.Mode&0o137 != 0 {
			a.gap(fmt.Sprintf("sinks.%s: mode = %04o", name, c.Mode), `set mode = "0600"`)
		} else if c.Mode&0o077 != 0 {
			a.ask(fmt.Sprintf("sinks.%s: mode = %04o, group %s can read the records", name, c.Mode, c.Group), `set mode = "0600", or have the group accepted`)
		} else {
			a.seen(fmt.Sprintf("sinks.%s: mode = %04o", name, c.Mode))
		}
	}
}

// stateDir: state_dir belongs to root or, where a worker parses the records, to the worker's user; then root does not get it back.
func (h *Host) stateDir(a *Answer) {
	dir := h.Config.StateDir
	info, err := os.Stat(h.path(dir))
	if err != nil || !broker.IsWorker(int(runnable.OwnerOf(info))) {
		h.closed(a, dir, 0o027, chmod(dir, "0700"))
		return
	}
	line := fmt.Sprintf("%s: mode %04o, uid %d (%s, the user that parses records)", dir, info.Mode().Perm(), runnable.OwnerOf(info), broker.User)
	if info.Mode().Perm()&0o027 != 0 {
		a.gap(line, "chmod 0700 "+dir)
		return
	}
	a.seen(line)
}

// auditFiles looks at auditd's tools, where they are, and its log with the directory.
func (h *Host) auditFiles(a *Answer) {
	for _, tool := range auditTools {
		for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
			if _, err := os.Stat(h.path(dir + tool)); err == nil {
				h.closed(a, dir+tool, 0o022, chmod(dir+tool, "0755"))
				break
			}
		}
	}

	log := h.Auditd.Conf.LogFile
	if log == "" {
		a.ask("auditd's log is not known", "see that it has mode 0600, and its directory 0750 at most")
		return
	}
	h.closed(a, filepath.Dir(log), 0o027, chmod(filepath.Dir(log), "0700"))
	info, err := os.Stat(h.path(log))
	if err == nil && info.Mode().Perm()&0o177 == 0o040 {
		a.ask(fmt.Sprintf("%s: mode 0640, its group can read the records", log), "have the group (log_group) accepted, or set log_group = root")
		return
	}
	h.closed(a, log, 0o177, chmod(log, "0600"))
}

// chmod is what to do about the mode of a file of our own, or of auditd's.
func chmod(path, mode string) string {
	return fmt.Sprintf("chown root %s && chmod %s %s", path, mode, path)
}

// closed looks at owner and mode of a file or directory: root's, with none of the bits; set is what to
// do otherwise.
func (h *Host) closed(a *Answer, path string, bits fs.FileMode, set string) {
	info, err := os.Stat(h.path(path))
	if err != nil {
		a.ask(fmt.Sprintf("%s was not looked at: %v", path, host.Pathless(err)), "see that it is there, and run this as root")
		return
	}
	uid, perm := runnable.OwnerOf(info), info.Mode().Perm()
	line := fmt.Sprintf("%s: mode %04o, uid %d", path, perm, uid)
	if uid != 0 || perm&bits != 0 {
		a.gap(line, set)
		return
	}
	a.seen(line)
}

// fips: the running relay and this program use a validated module.
func fips(h *Host, a *Answer) {
	judgeModule(a, "this program", h.FIPSModule)
	if h.Relay == nil {
		a.ask(fmt.Sprintf("the relay cannot be asked: %v", h.RelayErr), "start it, and run this again")
	} else {
		judgeModule(a, "the running relay", h.Relay.FIPS)
	}
	a.ask("whether the module has a certificate was not looked at", "compare its version with NIST's list of validated modules")

	if h.KernelFIPS {
		a.seen("/proc/sys/crypto/fips_enabled is 1")
	} else {
		a.gap("/proc/sys/crypto/fips_enabled is not 1: the kernel is not in FIPS mode", "fips-mode-setup --enable, or the distribution's way, and boot")
	}
}

// judgeModule judges the cryptographic module of a program, as plugin.FIPSModule gives it.
func judgeModule(a *Answer, program, module string) {
	const set = "install the package audisp-relay-fips, or build with make build-fips, and run audisp-relay install"
	switch module {
	case "":
		a.gap(program+" does not run in FIPS mode", set)
	case "latest":
		a.gap(program+" runs in FIPS mode, with a cryptographic module that is not validated", set)
	default:
		a.seen(fmt.Sprintf("%s runs the Go Cryptographic Module %s in FIPS mode", program, module))
	}
}
