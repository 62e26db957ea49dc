package plugin

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// signals are those the plugin obeys. Asking for them also undoes what came
// with exec: auditd 3.x starts plugins with TERM, HUP and others ignored, and
// restarts them with six of them blocked.
type signals struct {
	hup, usr1, usr2, term chan os.Signal
	none                  chan os.Signal // what errors say better
	all                   chan os.Signal // nil: not forwarded
}

func listen() *signals {
	catch := func(caught ...os.Signal) chan os.Signal {
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, caught...)
		return ch
	}
	return &signals{
		hup: catch(unix.SIGHUP), usr1: catch(unix.SIGUSR1), usr2: catch(unix.SIGUSR2), term: catch(unix.SIGTERM),
		// Not ignored, which children would inherit, but kept from killing the plugin
		// when stderr is a closed pipe or a file reaches the limit of its size.
		none: catch(unix.SIGPIPE, unix.SIGXFSZ),
	}
}

// forwarded returns all signals of use, in one channel: the monitor passes them on. It is for a process that does not
// obey them itself.
func (s *signals) forwarded() <-chan os.Signal {
	all := make(chan os.Signal, 16)
	signal.Notify(all, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM)
	s.all = all
	return all
}

// ignore is for a program that is executed next: without a handler, signals would be deadly until it has its own.
func (s *signals) ignore() {
	signal.Ignore(unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM, unix.SIGPIPE, unix.SIGXFSZ)
}

func (s *signals) close() {
	for _, ch := range []chan os.Signal{s.hup, s.usr1, s.usr2, s.term, s.none, s.all} {
		if ch != nil {
			signal.Stop(ch)
		}
	}
}
