package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host"
	"audisp-relay/host/runnable"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/queue"
)

// learnTime is how long the version of auditd may take: how long binary frames are depends on it, and the pipe
// from auditd is wide already.
const learnTime = 2 * time.Second

// learn has a program say the version of auditd, in the background, before the sandbox takes the right to start
// programs. It runs even where no sink asks for the version, because a reload may bring one that does. Only a program
// says it exactly: in auditd's file the version is one string among others, its package may be of another build, and
// the record of auditd's start may have been rotated away.
func (p *Plugin) learn() {
	if p.learning == nil {
		p.learning = inBackground(func() { host.LearnVersion(p.inherited.Auditd) })
	}
}

// openInput returns the stream, and what is closed when auditd has closed it.
func (p *Plugin) openInput(buffer int) (in io.Reader, hungUp <-chan struct{}) {
	if p.worker == nil {
		p.keepProcesses(p.cfg) // while the process may look into others
	}
	if p.opt.In != nil {
		return p.opt.In, nil
	}
	hungUp = watchHangup(0)
	p.confine(buffer)
	if p.worker != nil {
		p.begin()
	}
	return p.renew.openStdin(), hungUp
}

// confine gives up for good what the process no longer needs. Whether it keeps the right to start programs is decided
// here, by the configuration of the start. buffer is what the pipe from auditd holds.
func (p *Plugin) confine(buffer int) {
	if p.worker != nil {
		p.sandbox = sandbox.Enter(sandbox.Options{Worker: true, Landlock: p.facts.Landlock})
		p.saySandbox()
		return
	}
	before, inherited := p.inherited, p.inherited != heritage{}
	o := sandbox.Options{Programs: p.programs(), OneProcess: p.alone, NoWorker: p.noWorker}
	switch {
	case before.NoPrograms:
		o.Programs = ""
	case p.cfg.Sandbox == "off" && !inherited:
		o.Off = `sandbox = "off"`
	}
	if p.cfg.Sandbox == "off" && inherited {
		p.sayLater("sandbox")
	}
	if o.Off == "" && o.Programs == "" {
		p.learn()
		awaitFor(learnTime, p.learning)
	}

	if h := (heritage{NoPrograms: o.Off == "" && o.Programs == "", Auditd: host.LearnedVersion(), Buffer: buffer, Worker: before.Worker}); o.Off == "" {
		p.renew.env = h.leave()
	}
	if p.renew.why == "" {
		o.Self = &sandbox.Self{Path: p.renew.program, Args: os.Args, Env: p.renew.env}
	}
	p.sandbox = sandbox.Enter(o)
	if runnable.Refused() != "" && !p.sandbox.Self && p.renew.why == "" {
		p.renew.why = "the sandbox does not allow it: " + p.sandbox.WhyNotSelf
	}
	p.saySandbox()
	if before.NoPrograms {
		p.sayRefused(p.cfg)
	}
}

// saySandbox logs what was given up.
func (p *Plugin) saySandbox() {
	report := zap.Stringer("parts", p.sandbox)
	switch {
	case len(p.sandbox.Failed()) > 0:
		p.log.Warn("sandbox is not complete", report)
	case p.sandbox.On:
		p.log.Info("sandbox is on", report)
	default:
		p.log.Info("sandbox is off", report)
	}
}

// heritage is what a confined program passes on to the one that takes its place (AskRenew), which cannot find it out
// any more.
type heritage struct {
	NoPrograms bool   `json:"no_programs"`
	Auditd     string `json:"auditd"` // see host.LearnVersion
	Buffer     int    `json:"buffer"` // what the pipe from auditd was widened to
	Worker     bool   `json:"worker"` // a worker was confined, see monitor.Options
	Early      int    `json:"early"`  // likewise
}

// heritageEnv is the variable that has it, as JSON.
const heritageEnv = "AUDISP_RELAY_HERITAGE"

// takeHeritage reads what the program before has left; it is zero where there was none, or none that was
// confined.
func takeHeritage() (h heritage) {
	text := os.Getenv(heritageEnv)
	os.Unsetenv(heritageEnv)
	if json.Unmarshal([]byte(text), &h) != nil {
		return heritage{}
	}
	return h
}

// leave returns the environment that has h.
func (h heritage) leave() []string {
	text, _ := json.Marshal(h) // it has nothing that cannot be
	return []string{heritageEnv + "=" + string(text)}
}

// programs says what will start programs, "" if nothing will.
func (p *Plugin) programs() string {
	if p.cfgErr != nil { // a sink with an error is left out, and comes with the reload that corrects it
		return "the configuration has errors: what it is to run is not known"
	}
	return runsPrograms(p.cfg, p.directory())
}

// sayRefused logs that a configuration which was read again would start programs, and that the sandbox does not let
// it.
func (p *Plugin) sayRefused(cfg *config.Config) {
	refused := runnable.Refused()
	if refused == "" {
		return
	}
	if why := runsPrograms(cfg, p.directory()); why != "" {
		p.log.Warn("config: the sandbox does not let programs start", zap.String("for", why), zap.String("why", refused))
	}
}

// runsPrograms says what of a configuration starts programs, "" if nothing does. directory is where this host has
// names of users besides its files, "" for nowhere.
func runsPrograms(cfg *config.Config, directory string) string {
	for _, s := range cfg.Sinks {
		kind, _ := format.Parse(s.Format) // it was checked
		switch {
		case s.Program != "":
			return fmt.Sprintf("sinks.%s runs %s", s.Name, s.Program)
		case actionProgram(&s) != "":
			return fmt.Sprintf("an action of sinks.%s runs %s", s.Name, actionProgram(&s))
		case directory != "" && (kind.Format.Events() || s.Filter != ""):
			return fmt.Sprintf("sinks.%s may need names of users from %s, for which getent is asked", s.Name, directory)
		}
	}
	return ""
}

// actionProgram returns what an action of a sink runs, "" if none runs anything.
func actionProgram(s *config.Sink) string {
	for _, action := range []string{s.NetworkFailureAction, s.DiskFullAction} {
		if a := queue.Overflow(action); a == queue.Single || a == queue.Halt {
			return initProgram
		}
		if path := config.ExecPath(action); path != "" {
			return path
		}
	}
	if runsInit(*s) {
		return initProgram
	}
	return ""
}

// directory returns where this host has names of users, which records do not carry, besides its files; "" for nowhere.
func (p *Plugin) directory() string {
	if node, err := host.NodeOf(p.parent); err == nil && node.Enriched {
		return ""
	}
	return users.Elsewhere()
}
