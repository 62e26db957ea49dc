package plugin

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
	"audisp-relay/queue"
)

// overflow notes that a queue is full, and what its policy asks for. The reader's
// goroutine calls it.
func (p *Plugin) overflow(consumer string, a queue.Overflow) {
	select {
	case p.actions <- action{consumer, a}:
	default: // sixty-four are waiting already
	}
}

// act does what auditd does for the same overflow_action (auditd.conf(5)).
func (p *Plugin) act(a action) {
	sink := zap.String("sink", a.consumer)
	switch a.action {
	case queue.Suspend:
		p.log.Error("queue full: consumer suspended, its records are dropped and counted until SIGUSR2", sink)
	case queue.Single, queue.Halt:
		level := initLevel(a.action)
		p.log.Error("queue full: changing the run level as overflow_action asks",
			sink, zap.String("overflow_action", string(a.action)), zap.String("level", level))
		p.changeLevel(a.action, p.log.With(sink))
	}
}

// changeLevel changes the run level as single or halt ask for.
func (p *Plugin) changeLevel(a queue.Overflow, log *zap.Logger) {
	if err := p.opt.Init(initLevel(a)); err != nil {
		log.Error("run level not changed", zap.Error(err))
	}
}

func initLevel(a queue.Overflow) string {
	if a == queue.Halt {
		return "0"
	}
	return "1"
}

// initProgram changes the run level, as for auditd. systemd's does not since version 258, nor is there one in every container: then
// systemctl is asked for the same.
const (
	initProgram = "/sbin/init"
	systemctl   = "/usr/bin/systemctl"
)

// initTime is how long a program may take to say by its status that it does not change the run level. One that takes longer is at it, and
// the main goroutine has waited for long enough.
const initTime = time.Second

// runInit does what auditd does for single and halt.
func runInit(level string) error {
	if m := broker.Monitor(); m != nil {
		return m.Do(initItem, opRun, level, nil)
	}
	word := "rescue"
	if level == initLevel(queue.Halt) {
		word = "poweroff"
	}
	return runFirst([]string{initProgram, level}, []string{systemctl, "--no-block", word})
}

// runFirst runs programs with their arguments until one does not fail. The error says how each has failed.
func runFirst(programs ...[]string) error {
	var all error
	for _, words := range programs {
		err := runBriefly(words[0], words[1:]...)
		switch {
		case err == nil:
			return nil
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// runBriefly runs a program, and returns how it has failed, if that shows soon. It is waited for in any case.
func runBriefly(path string, args ...string) error {
	if err := runnable.MayStart(path); err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{}
	if err := cmd.Start(); err != nil {
		return err
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s: %w: see what it says when it is run by hand", strings.Join(cmd.Args, " "), err)
		}
	case <-time.After(initTime):
	}
	return nil
}

// mayRunInit says why no program that changes the run level may be started, nil where one may.
func mayRunInit() error {
	err := runnable.MayStart(initProgram)
	if err != nil && runnable.MayStart(systemctl) == nil {
		return nil
	}
	return err
}

// warnAction warns at the start, before it is too late, that a full queue of a sink can take the host down.
func (p *Plugin) warnAction(cfg config.Sink) {
	if runsInit(cfg) {
		p.log.Warn("a full queue of this sink will run "+initProgram+" "+initLevel(queue.Overflow(cfg.OverflowAction)), zap.String("sink", cfg.Name),
			zap.String("overflow_action", cfg.OverflowAction), zap.String("from", cfg.Origin))
		if err := mayRunInit(); err != nil {
			p.log.Warn("overflow_action of this sink will have no effect", zap.String("sink", cfg.Name), zap.Error(err))
		}
	}
	p.warnFailureActions(&cfg)
}

// runsInit reports whether a full queue of a sink changes the run level.
func runsInit(cfg config.Sink) bool {
	a := queue.Overflow(cfg.OverflowAction)
	return (a == queue.Single || a == queue.Halt) && cfg.QOS != "lossless"
}

// resume ends every suspension (SIGUSR2).
func (p *Plugin) resume() {
	for _, c := range p.consumers() {
		c.Resume()
		if c.Stopped() {
			p.start(c)
			c.Log.Info("sink started again", zap.String("sink", c.Name))
		}
	}
}
