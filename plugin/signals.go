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
}

func listen() *signals {
	s := &signals{}
	for _, x := range []struct {
		ch  *chan os.Signal
		sig os.Signal
	}{
		{&s.hup, unix.SIGHUP}, {&s.usr1, unix.SIGUSR1}, {&s.usr2, unix.SIGUSR2}, {&s.term, unix.SIGTERM},
	} {
		*x.ch = make(chan os.Signal, 1)
		signal.Notify(*x.ch, x.sig)
	}
	// Not ignored, which children would inherit, but kept from killing the plugin
	// when stderr is a closed pipe or a file reaches the limit of its size.
	s.none = make(chan os.Signal, 1)
	signal.Notify(s.none, unix.SIGPIPE, unix.SIGXFSZ)
	return s
}

func (s *signals) close() {
	for _, ch := range []chan os.Signal{s.hup, s.usr1, s.usr2, s.term, s.none} {
		signal.Stop(ch)
	}
}
