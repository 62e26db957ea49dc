package bundle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/host"
	"audisp-relay/host/runnable"
	"audisp-relay/plugin"
	"audisp-relay/sinks/syslog"
)

// Facts are what a bundle is made of. What is zero is left out.
type Facts struct {
	Version   string // of this program
	File      string // the configuration
	Config    *config.Config
	ConfigErr error
	Auditd    host.Auditd
	AuditdErr error
	Plugins   []host.PluginFile
	Relay     *plugin.Report
	RelayErr  error
	Doctor    *doctor.Report
	Unit      map[string]string // [Service] of auditd.service, for where systemd does not answer

	root string // before paths that are read, "" but in tests
}

// New returns what a bundle is made of, from facts about this machine and what was found in them. file is
// the configuration.
func New(file string, f *doctor.Facts, found *doctor.Report) *Facts {
	b := &Facts{
		Version: f.Version, File: file, Config: f.Config.Value, ConfigErr: f.Config.Err, Auditd: f.Auditd.Value, AuditdErr: f.Auditd.Err,
		Plugins: f.Plugins.Value, RelayErr: f.Report.Err, Doctor: found,
	}
	if f.ConfError != nil {
		b.AuditdErr = errors.Join(b.AuditdErr, f.ConfError)
	}
	if f.Report.Known() {
		b.Relay = f.Report.Value
	}
	if f.Unit.Known() {
		b.Unit = f.Unit.Value
	}
	return b
}

// toolTime bounds a program that is asked for something.
const toolTime = 10 * time.Second

// learn has names that are known to be this host's, its users' and its configuration's replaced everywhere.
func (f *Facts) learn(r *redactor) {
	if name, err := os.Hostname(); err == nil {
		r.hide("host", name)
		short, _, _ := strings.Cut(name, ".")
		r.hide("host", short)
	}
	f.learnUsers(r)
	if f.Config == nil {
		return
	}

	r.hide("host", f.Config.Name)
	for i := range f.Config.Sinks {
		s := &f.Config.Sinks[i]
		if !isWords(s.Name) {
			r.hide("sink", s.Name)
		}
		for _, name := range serverNames(s.Settings) {
			if !isAddress(name) { // those are known by what they look like
				r.hide("host", name)
			}
		}
	}
}

// serverNames are those of the server that a sink of any type sends to, none for one of this machine.
func serverNames(settings any) (names []string) {
	if s, ok := settings.(interface {
		Server() (network, address string)
	}); ok {
		if network, address := s.Server(); network != "unix" && network != "" {
			names = append(names, hostOf(address))
		}
	}
	if c, ok := settings.(*syslog.Config); ok && c.ServerName != "" {
		names = append(names, c.ServerName)
	}
	if s, ok := settings.(interface{ Hosts() []string }); ok {
		names = append(names, s.Hosts()...)
	}
	return names
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// learnUsers reads the names of people from the list of users.
func (f *Facts) learnUsers(r *redactor) {
	const firstPerson = 1000
	if me, err := user.Current(); err == nil {
		r.hide("user", me.Username)
	}
	text, err := config.ReadRegular(filepath.Join(f.root, "/etc/passwd"))
	if err != nil {
		return // larger than a MiB, or none
	}

	for line := range strings.Lines(string(text)) {
		fields := strings.Split(line, ":")
		if len(fields) < 3 {
			continue
		}
		if uid, err := strconv.ParseUint(fields[2], 10, 32); err == nil && uid >= firstPerson {
			r.hide("user", fields[0])
		}
	}
}

// build is this program: versions and settings of the build.
func (f *Facts) build(*redactor) ([]byte, error) {
	all := map[string]any{"version": f.Version, "go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		modules, settings := make(map[string]string), make(map[string]string)
		for _, m := range info.Deps {
			modules[m.Path] = m.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "GOOS", "GOARCH", "GOAMD64", "CGO_ENABLED", "GOFIPS140", "vcs.revision", "vcs.time", "vcs.modified", "-race", "-buildmode":
				settings[s.Key] = s.Value
			}
		}
		all["settings"], all["modules"] = settings, modules
	}
	return marshal(all) // nothing of this host is in it
}

// system is the kernel, the distribution and auditd.
func (f *Facts) system(r *redactor) ([]byte, error) {
	all := map[string]any{"arch": runtime.GOARCH, "cpus": runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		all["kernel"] = unix.ByteSliceToString(u.Release[:])
	}

	release := make(map[string]string)
	text, _ := config.ReadRegular(filepath.Join(f.root, "/etc/os-release"))
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ID", "ID_LIKE", "VERSION_ID", "PLATFORM_ID":
			release[key] = strings.Trim(value, `"'`)
		}
	}
	all["distribution"] = release
	all["auditd"] = map[string]any{"version": f.Auditd.Version, "runs": f.Auditd.PID != 0, "error": r.Text(errorText(f.AuditdErr))}
	return marshal(all)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// configuration is the file, and what is wrong with it.
func (f *Facts) configuration(r *redactor) ([]byte, error) {
	all := map[string]any{"error": r.Text(errorText(f.ConfigErr))}
	text, err := config.ReadRegular(filepath.Join(f.root, f.File))
	switch {
	case err != nil:
		all["unread"] = r.Text(err.Error())
	case f.Config == nil: // it may have been refused before it was parsed, for good reason
		all["unread"] = "not parsed"
	default:
		var doc map[string]any
		if err := toml.Unmarshal(text, &doc); err != nil {
			all["unread"] = r.Text(err.Error())
		}
		all["config"] = r.config(doc, maxDepth)
	}
	return marshal(all)
}

// auditd is auditd.conf as far as it is understood.
func (f *Facts) auditd(r *redactor) ([]byte, error) {
	conf := f.Auditd.Conf
	r.hide("host", conf.Name)
	return r.JSON(conf)
}

// plugins are the files of plugins.d, without arguments.
func (f *Facts) plugins(r *redactor) ([]byte, error) {
	type entry struct {
		File     string   `json:"file"`
		Program  string   `json:"program"`
		Mode     string   `json:"mode"`
		UID      uint32   `json:"uid"`
		Active   bool     `json:"active"`
		Loaded   bool     `json:"loaded"`
		Relay    bool     `json:"relay"`
		Format   string   `json:"format"`
		Error    string   `json:"error,omitempty"`
		Problems []string `json:"problems,omitempty"`
	}

	list := make([]entry, 0, len(f.Plugins))
	for i := range f.Plugins {
		p := &f.Plugins[i]
		list = append(list, entry{p.Path, p.Binary, fmt.Sprintf("%04o", p.Mode.Perm()), p.UID, p.Active, p.Loaded, p.Relay, p.Format, errorText(p.Err), p.Problems})
	}
	return r.JSON(list)
}

// status is the report of the running relay.
func (f *Facts) status(r *redactor) ([]byte, error) {
	if f.Relay == nil {
		return marshal(map[string]string{"error": r.Text(errorText(f.RelayErr))})
	}
	return r.JSON(f.Relay)
}

// findings are the doctor's.
func (f *Facts) findings(r *redactor) ([]byte, error) {
	if f.Doctor == nil {
		return nil, errLeftOut
	}
	return r.JSON(struct {
		Time     time.Time
		Took     float64
		Checks   int
		Findings []doctor.Finding
		Hidden   []doctor.Finding
	}{f.Doctor.Time, f.Doctor.Took.Seconds(), f.Doctor.Checks, f.Doctor.Findings, f.Doctor.Hidden})
}

// process is what /proc says of the running relay, apart from its arguments and environment.
func (f *Facts) process(r *redactor) ([]byte, error) {
	if f.Relay == nil || f.Relay.Pid <= 0 {
		return nil, errLeftOut
	}

	dir := filepath.Join(f.root, "/proc", strconv.Itoa(f.Relay.Pid))
	var b strings.Builder
	for _, name := range []string{"limits", "status", "oom_score", "oom_score_adj"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		fmt.Fprintf(&b, "%s: %s\n", name, r.Text(errorText(err)))
		for line := range strings.Lines(string(text)) {
			if name == "status" && !keptStatus(line) {
				continue
			}
			b.WriteString(strings.TrimRight(r.Text(strings.TrimRight(line, "\n")), " ") + "\n")
		}
	}
	return []byte(b.String()), nil
}

// keptStatus are the lines of /proc/PID/status that a bundle has.
func keptStatus(line string) bool {
	key, _, _ := strings.Cut(line, ":")
	switch key {
	case "State", "Uid", "Gid", "FDSize", "VmPeak", "VmSize", "VmLck", "VmHWM", "VmRSS", "VmSwap", "Threads",
		"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn", "SigCgt":
		return true
	}
	return false
}

var errLeftOut = errors.New("not known")

// unitSettings are the properties of auditd's unit that stand in the way of a plugin.
var unitSettings = []string{
	"ActiveState", "SubState", "Result", "NRestarts", "KillMode", "TimeoutStopUSec", "OOMPolicy", "OOMScoreAdjust", "MemoryMax", "MemoryHigh", "TasksMax",
	"LimitNOFILE", "LimitCORE", "LimitMEMLOCK", "LogRateLimitIntervalUSec", "LogRateLimitBurst", "CapabilityBoundingSet",
	"NoNewPrivileges", "ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ProtectControlGroups", "ProtectProc", "PrivateTmp", "PrivateDevices",
	"PrivateNetwork", "PrivateUsers", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "RestrictAddressFamilies", "RestrictNamespaces",
	"MemoryDenyWriteExecute", "LockPersonality", "SystemCallArchitectures", "IPAddressDeny",
}

// unit asks systemd for the settings of auditd's unit, or takes those of its files.
func (f *Facts) unit(r *redactor) ([]byte, error) {
	text, err := f.tool(r, "/usr/bin/systemctl", "show", "auditd.service", "-p", strings.Join(unitSettings, ","))
	if err == nil || len(f.Unit) == 0 {
		return text, err
	}
	kept := map[string]string{"from": "the unit's files"}
	for key, value := range f.Unit {
		if slices.Contains(unitSettings, key) {
			kept[key] = r.Text(value)
		}
	}
	return marshal(kept)
}

// tool runs a program of the system, and redacts what it prints.
func (f *Facts) tool(r *redactor, path string, args ...string) ([]byte, error) {
	if f.root != "" {
		path = filepath.Join(f.root, path)
	}
	if err := runnable.Check(path); err != nil {
		return nil, errLeftOut
	}

	ctx, cancel := context.WithTimeout(context.Background(), toolTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER="}
	cmd.WaitDelay = time.Second
	out := &tail{most: maxLog}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %s", filepath.Base(path), r.Text(err.Error()))
	}
	return r.lines(out.text()), nil
}

// log is the end of the relay's own log.
func (f *Facts) log(r *redactor) ([]byte, error) {
	if f.Config != nil && filepath.IsAbs(f.Config.Log.Output) {
		text, err := doctor.ReadEnd(filepath.Join(f.root, f.Config.Log.Output), maxLog)
		if err != nil {
			return nil, fmt.Errorf("%s", r.Text(err.Error()))
		}
		return r.lines(text), nil
	}
	return f.tool(r, "/usr/bin/journalctl", "-q", "-t", "audisp-relay", "-n", "500", "-o", "short-iso", "--no-pager", "--no-hostname")
}
