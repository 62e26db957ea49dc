package plugin

import (
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/host/runnable"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/program"
)

// programTime is how long a program that an action runs may take. It is ended with the relay, too.
const programTime = time.Minute

// programs are those that actions have started, by sink and key: closed when one has ended.
type programs map[string]<-chan struct{}

func (r programs) ended() []<-chan struct{} { return slices.Collect(maps.Values(r)) }

// actOnFailures does what the configuration asks for about failures that last.
func (p *Plugin) actOnFailures(now time.Time) {
	for _, c := range p.consumers() {
		for _, f := range c.Failures(now) {
			p.actOnFailure(c, &f)
		}
	}
}

// actOnFailure does what audisp-remote.conf(5) says of the same words. Where suspend is asked for, a sink
// that does not reach its server stops trying, and one whose disk is full takes no more records.
func (p *Plugin) actOnFailure(c *consumer.Consumer, f *consumer.Failure) {
	log := c.Log.With(zap.String("sink", c.Name), zap.String(f.Key(), f.Action))
	details := []zap.Field{zap.Time("since", f.Since), zap.String("error", f.Error)}
	if f.Disk {
		log.Warn("disk of the sink has been full for the time set by after", details...)
	} else {
		log.Warn("sink has not reached its server for the time set by after", details...)
	}

	switch a := queue.Overflow(f.Action); {
	case config.ExecPath(f.Action) != "":
		p.startProgram(c.Name+" "+f.Key(), config.ExecPath(f.Action), log)
	case a == queue.Suspend && f.Disk:
		log.Error("consumer suspended, its records are dropped and counted until SIGUSR2")
		c.Queue().Suspend()
	case a == queue.Suspend:
		log.Error("sink stopped, its records wait in the queue until SIGUSR2")
		c.Stop()
	case a == queue.Single || a == queue.Halt:
		log.Error("changing the run level", zap.String("level", initLevel(a)))
		p.changeLevel(a, log)
	}
}

// startProgram runs the program of an action in the background, unless the same is running still.
func (p *Plugin) startProgram(of, path string, log *zap.Logger) {
	if ended, before := p.running[of]; before && !sinks.IsClosed(ended) {
		log.Warn("program of the action not started: the previous one is still running")
		return
	}
	run := p.opt.Program
	if run == nil {
		run = func(path string) error { return program.Once(path, programTime, p.stop) }
	}
	if p.running == nil {
		p.running = make(programs)
	}
	p.running[of] = inBackground(func() {
		if err := run(path); err != nil {
			log.Error("program of the action failed", zap.Error(err))
		}
	})
}

// warnFailureActions says at start what an action will do to the host, and what keeps one from being done.
func (p *Plugin) warnFailureActions(cfg *config.Sink) {
	for _, f := range []consumer.Failure{{Action: cfg.NetworkFailureAction}, {Disk: true, Action: cfg.DiskFullAction}} {
		a, path := queue.Overflow(f.Action), config.ExecPath(f.Action)
		log := p.log.With(zap.String("sink", cfg.Name), zap.String(f.Key(), f.Action))
		var err error
		switch {
		case a == queue.Single || a == queue.Halt:
			log.Warn("a failure of this sink that lasts will run "+initProgram+" "+initLevel(a), zap.String("from", cfg.Origin))
			err = mayRunInit()
		case path != "":
			err = runnable.MayStart(path)
		}
		if err != nil {
			log.Warn("this action of the sink will have no effect", zap.Error(err))
		}
	}
}
