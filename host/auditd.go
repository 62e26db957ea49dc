package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
)

// Auditd is an audit daemon that runs, or one that could be started.
type Auditd struct {
	PID     int    // 0 when it does not run
	Exe     string // the file it executes; empty when the process may not be looked at
	ConfDir string // the directory of its auditd.conf
	Version string // as in "3.0.9"; empty when unknown
	Conf    AuditdConf
}

// FindAuditd finds the audit daemon of this machine and reads its
// configuration. The kernel says which process it is; where we may
// not ask it, the processes called auditd are looked through. ErrNoAuditd when
// there is none. A mistake in auditd.conf is a *ConfError, with everything else
// filled in.
func (m Machine) FindAuditd() (Auditd, error) {
	pid, err := m.findPID()
	if err != nil {
		return Auditd{}, err
	}
	p, err := m.readProcess(pid)
	if err != nil {
		return Auditd{}, fmt.Errorf("look at auditd (pid %d): %w", pid, err)
	}
	a := Auditd{PID: pid, ConfDir: p.options().dir()}
	a.Exe, _ = os.Readlink(m.procPath(pid, "exe"))
	if !filepath.IsAbs(a.ConfDir) {
		return a, fmt.Errorf("auditd (pid %d) was started with the relative directory -c %s: name it with --conf-dir", pid, a.ConfDir)
	}
	a.Version = m.version(a.Exe)
	a.Conf, err = m.ReadAuditdConf(a.ConfDir)
	return a, err
}

// StoppedAuditd describes the auditd that would run on the configuration in
// confDir. That there is no auditd.conf is not an error: then the values are
// the defaults.
func (m Machine) StoppedAuditd(confDir string) (Auditd, error) {
	a := Auditd{ConfDir: confDir, Version: m.version("")}
	var err error
	if a.Conf, err = m.ReadAuditdConf(confDir); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return a, err
}

// findPID finds the process that is auditd.
func (m Machine) findPID() (int, error) {
	ask := m.KernelPID
	if ask == nil {
		ask = AuditPID
	}
	pid, err := ask()
	switch {
	case err != nil && notAllowed(err):
		return m.scanForAuditd()
	case err != nil:
		return 0, err
	case pid == 0:
		return 0, ErrNoAuditd
	}

	comm, err := m.comm(pid)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		// It was killed: the kernel notices that with the next record (kauditd_send_skb).
		return 0, fmt.Errorf("%w: the process that had the audit pid %d has ended", ErrNoAuditd, pid)
	}
	if err != nil {
		return 0, fmt.Errorf("look at the process that holds the audit pid %d: %w", pid, err)
	}
	if comm != "auditd" {
		return 0, otherHolder{comm, pid}
	}
	return pid, nil
}

// scanForAuditd looks for a process called auditd. More than one is not for us
// to choose from: containers with auditds of their own are seen from the host. Those of other users are none: anybody
// can give a process that name, and say by its arguments which directories root reads and writes.
func (m Machine) scanForAuditd() (int, error) {
	all, err := m.processes(func(p process) bool { return p.Comm == "auditd" && m.isOurs(p.PID) })
	if err != nil {
		return 0, fmt.Errorf("look for auditd: %w", err)
	}
	var pids []string
	for _, p := range all {
		// A forked child that has not executed its plugin yet is called auditd too.
		if len(p.Cmdline) > 0 && !isChildOf(p, all, "auditd") {
			pids = append(pids, strconv.Itoa(p.PID))
		}
	}

	switch len(pids) {
	case 0:
		return 0, ErrNoAuditd
	case 1:
		return strconv.Atoi(pids[0])
	}
	slices.Sort(pids)
	return 0, fmt.Errorf("several processes are called auditd (%s) and the kernel does not say which one it uses: run this as root", strings.Join(pids, ", "))
}

func isChildOf(p process, all []process, comm string) bool {
	return slices.ContainsFunc(all, func(other process) bool { return other.PID == p.PPID && other.Comm == comm })
}

// options are those of auditd(8) that matter here.
type options struct {
	confDir    string // -c, "" where it is not there
	foreground bool   // -f: it prints its records instead of writing its log
}

// dir is the directory of the configuration that auditd reads. It is relative
// where -c was.
func (o options) dir() string {
	return filepath.Clean(cmp.Or(o.confDir, DefaultConfDir)) // it is compared with --conf-dir
}

// options reads auditd's arguments as getopt(3) does: -cDIR and -nc DIR are the
// same; -s takes a value as well.
func (p process) options() (o options) {
	argv := p.Cmdline
	for i := 1; i < len(argv); i++ {
		arg := argv[i]
		if arg == "--" {
			break
		}
		if len(arg) < 2 || arg[0] != '-' || arg[1] == '-' {
			continue
		}
		for j := 1; j < len(arg); j++ {
			if arg[j] == 'f' {
				o.foreground = true
			}
			if arg[j] != 'c' && arg[j] != 's' {
				continue
			}
			value := arg[j+1:]
			if value == "" && i+1 < len(argv) {
				i++
				value = argv[i]
			}
			if arg[j] == 'c' {
				o.confDir = value
			}
			break
		}
	}
	return o
}

// The daemon has no option that prints its version. auditctl is of the same
// package and has one.
var versionLine = regexp.MustCompile(`^auditctl version ([0-9]+\.[0-9][0-9A-Za-z.~+-]*)`)

// version is the version of the auditd at exe, as its auditctl says it. It is
// unknown, "", when there is no auditctl or when the file was replaced while
// auditd runs: then auditctl may be newer than the running daemon.
func (m Machine) version(exe string) string {
	if m.auditdVersion != "" {
		return m.auditdVersion
	}
	if known := installed.Load(); known != nil && exe == "" && m.Root == "" {
		return *known
	}
	if strings.HasSuffix(exe, " (deleted)") {
		return ""
	}
	dirs := []string{"/usr/sbin", "/sbin"}
	if exe != "" {
		dirs = append([]string{filepath.Dir(exe)}, dirs...)
	}

	for _, dir := range dirs {
		if (runnable.In{Root: m.Root}).Check(dir+"/auditctl") != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		cmd := exec.CommandContext(ctx, m.path(dir+"/auditctl"), "-v")
		cmd.Env = []string{"LC_ALL=C"}
		out, err := cmd.Output()
		cancel()
		if err != nil {
			continue
		}
		if match := versionLine.FindSubmatch(out); match != nil {
			return string(match[1])
		}
	}
	return ""
}

// installed is the version that LearnVersion has found, nil before that.
var installed atomic.Pointer[string]

// LearnVersion finds out which version of auditd is installed, unless it is known already, for a process
// that can start no program later: PaddedFrames("") knows it from then on.
func LearnVersion(known string) {
	if known == "" {
		known = Machine{}.version("")
	}
	installed.Store(&known)
}

// LearnedVersion is what LearnVersion has found, "" before that.
func LearnedVersion() string {
	if known := installed.Load(); known != nil {
		return *known
	}
	return ""
}

// AtLeast compares the version, of two or three parts; an unknown one is less than any.
func (a Auditd) AtLeast(version ...int) bool {
	var own [3]int
	fmt.Sscanf(a.Version, "%d.%d.%d", &own[0], &own[1], &own[2])
	return slices.Compare(own[:], version) >= 0
}

// PaddedFrames reports whether the auditd of this machine writes binary frames of one length,
// 16 + 8970 bytes, and so whether a program that was made to be its plugin reads such: 2.8 (audispd)
// to 4.1.0 do. It goes by the package that program is of, where an auditctl lies beside it. The
// version is "" where it is not known; then frames are taken for exact ones.
func PaddedFrames(program string) (padded bool, version string) {
	if m := broker.Monitor(); m != nil {
		a, _ := ask[paddedAnswer](m, opPadded, program) // a monitor that has gone ends the worker
		return a.Padded, a.Version
	}
	return Machine{}.paddedFrames(program)
}

func (m Machine) paddedFrames(program string) (padded bool, version string) {
	a := Auditd{Version: m.version(program)}
	first := a.Version == "4.1" || strings.HasPrefix(a.Version, "4.1.0")
	return a.Version != "" && (first || !a.AtLeast(4, 1)), a.Version
}

// OneDispatcher says that this is an auditd 2.x: it has no plugins, it feeds
// the one program named by dispatcher= (normally audispd, which has the
// plugins). Without a version the configuration decides; later versions still
// accept dispatcher= but ignore it.
func (a Auditd) OneDispatcher() bool {
	if a.Version != "" {
		return !a.AtLeast(3, 0)
	}
	return a.Conf.Dispatcher != ""
}

// name is how messages about a 2.x call it.
func (a Auditd) name() string {
	if a.Version == "" {
		return "auditd 2.x"
	}
	return "auditd " + a.Version
}

// PluginDir is the directory that holds the plugins' files: plugin_dir of
// auditd.conf, and for 2.x that of audispd.conf.
func (m Machine) PluginDir(a Auditd) string {
	if !a.OneDispatcher() {
		return a.Conf.PluginDir
	}
	data, err := readRegular(m.path(audispdConf))
	if err != nil {
		return audispdPluginsDir
	}
	settings, _ := parseConf(audispdConf, data)
	dir := audispdPluginsDir
	for _, s := range settings {
		if s.Key == "plugin_dir" {
			// A relative path leaves the default, as it is no use to audispd either.
			_ = setPath(&dir, s.Value())
		}
	}
	return dir
}
