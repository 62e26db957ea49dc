package stig

import (
	"fmt"
	"net"
	"os"
	"path"
	"strings"

	"audisp-relay/config"
	"audisp-relay/plugin/consumer"
)

// where is what is known of where a sink delivers to.
type where int

const (
	elsewhere where = iota // a server of another host
	perhaps                // a program of this host, which may send it on
	here                   // this host
)

// remote says where a sink delivers to, in words too. With several servers, one of which is on this host, it may
// be that one.
func (h *Host) remote(s *config.Sink) (where, string) {
	to := serverOf(s)
	switch {
	case s.Type == "file":
		return here, "a file of this host"
	case s.Type == "syslog" && to == nil:
		return perhaps, "the local syslog daemon"
	case to == nil:
		return perhaps, "a sink of type " + s.Type + " on this host"
	}

	for _, name := range to.names {
		if h.isHere(name) {
			return perhaps, fmt.Sprintf("%s to %s, where %s is this host", to.speaks, to.where, name)
		}
	}
	if to.tls {
		return elsewhere, fmt.Sprintf("%s with TLS to %s", to.speaks, to.where)
	}
	return elsewhere, fmt.Sprintf("%s without TLS to %s", to.speaks, to.where)
}

// ownNames are those by which a sink may name this host.
func ownNames() []string {
	names := []string{"localhost"}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		names = append(names, name, short)
	}
	return names
}

// ownAddresses are those of its network cards.
func ownAddresses() (list []net.IP) {
	cards, _ := net.InterfaceAddrs() // none: then only loopback is known to be here
	for _, card := range cards {
		if network, ok := card.(*net.IPNet); ok {
			list = append(list, network.IP)
		}
	}
	return list
}

func (h *Host) sinks() []config.Sink {
	if h.Config == nil {
		return nil
	}
	return h.Config.Sinks
}

// consumer is what the running relay says of a sink, nil where it says nothing.
func (h *Host) consumer(name string) *consumer.Report {
	if h.Relay == nil {
		return nil
	}
	return h.Relay.Consumer(name)
}

// configKnown notes that there is no configuration to judge.
func (h *Host) configKnown(a *Answer) bool {
	if h.Config == nil || h.ConfigErr != nil {
		a.ask(fmt.Sprintf("the relay's configuration cannot be judged: %v", h.ConfigErr), "correct what audisp-relay check reports")
	}
	return h.Config != nil
}

const askServer = "ask for the configuration of the server and of what stands between, and see records of this host there"

// offload: at least one sink delivers all records to another host, and the running relay has done so.
func offload(h *Host, a *Answer) {
	if !h.configKnown(a) {
		return
	}
	good := 0
	for i := range h.Config.Sinks {
		s := &h.Config.Sinks[i]
		at, text := h.remote(s)
		line := "sinks." + s.Name + ": " + text
		c := h.consumer(s.Name)
		switch {
		case at != elsewhere:
		case c == nil:
			line += "; no running relay has this sink"
		case c.Sink.Degraded, c.Suspended:
			line += "; it does not deliver: " + c.Sink.Error
		case c.Delivered == 0:
			line += "; it has delivered nothing yet"
		case s.Filter != "":
			line += fmt.Sprintf("; %d records delivered, but its filter leaves some out: %s", c.Delivered, s.Filter)
		default:
			line += fmt.Sprintf("; %d records delivered since %s, %d lost", c.Delivered, h.Relay.Started.UTC().Format("2006-01-02T15:04:05Z"), c.LostTotal)
			if to := serverOf(s); !to.acks {
				line += "; with " + to.speaks + " no server acknowledges that"
			}
			good++
		}
		a.seen(line)
	}

	switch n := h.servers(func(*config.Sink, *server) {}); {
	case good > 0:
	case n > 0:
		a.gap("", "see audisp-relay doctor --sink NAME for each sink that does not deliver")
		if h.Relay == nil {
			a.seen(fmt.Sprintf("no report of the running relay: %v", h.RelayErr))
		}
	case h.hands():
		a.ask("no sink delivers to another host itself", "ask which program takes the records from there and where to; "+askServer)
	default:
		a.gap("no sink delivers to another host", `add a sink of type "syslog" with transport "relp" or "tls", or one of type "otlp" or "nats"`)
	}
}

// hands reports whether a sink hands records to a program that may send them on.
func (h *Host) hands() bool {
	for i := range h.sinks() {
		if at, _ := h.remote(&h.Config.Sinks[i]); at == perhaps {
			return true
		}
	}
	return false
}

// encryption: each sink that delivers to another host uses TLS.
func encryption(h *Host, a *Answer) {
	if !h.configKnown(a) {
		return
	}
	n := h.servers(func(s *config.Sink, to *server) {
		if !to.tls {
			a.gap(fmt.Sprintf("sinks.%s: %s to %s is in clear", s.Name, to.speaks, to.where), to.set)
			return
		}
		a.seen(fmt.Sprintf("sinks.%s: %s to %s uses TLS 1.2 or later", s.Name, to.speaks, to.where))
	})
	if n == 0 {
		a.ask("no sink delivers to another host itself", "ask how the records travel from this host")
	}
	h.programs(a, "ask whether it sends records to another host, and how these are encrypted")
}

// programs notes the sinks that run a program, which may send records where it likes.
func (h *Host) programs(a *Answer, set string) {
	for i := range h.sinks() {
		if s := &h.Config.Sinks[i]; s.Program != "" {
			a.ask(fmt.Sprintf("sinks.%s: runs %s, which was not looked at", s.Name, s.Program), set)
		}
	}
}

// kerberos: only audisp-remote has it, which a sink can run.
func kerberos(h *Host, a *Answer) {
	if !h.configKnown(a) {
		return
	}
	for i := range h.Config.Sinks {
		if s := &h.Config.Sinks[i]; path.Base(s.Program) == "audisp-remote" {
			a.ask("sinks."+s.Name+": runs "+s.Program, "see enable_krb5 = yes in /etc/audit/audisp-remote.conf")
			return
		}
	}
	a.gap("no sink runs audisp-remote, and the relay itself has TLS and no Kerberos",
		"have TLS with verified certificates accepted in place of Kerberos, or add a sink of type program that runs audisp-remote")
}

// authentication: the server proves its name by a certificate. No setting switches that off.
func authentication(h *Host, a *Answer) {
	if !h.configKnown(a) {
		return
	}
	n := h.servers(func(s *config.Sink, to *server) {
		switch {
		case !to.tls:
			a.gap(fmt.Sprintf("sinks.%s: without TLS the server is not authenticated", s.Name), to.set)
		case to.caFile == "":
			a.seen(fmt.Sprintf("sinks.%s: the server's certificate and name are verified, against every CA that this host trusts", s.Name))
			a.ask("", "set ca_file to the one CA that signs the server's certificate, or show that the system's CAs are approved")
		default:
			a.seen(fmt.Sprintf("sinks.%s: the server's certificate is verified against %s and has to be for %q", s.Name, to.caFile, to.name))
		}
	})

	h.programs(a, "ask whether it sends records to another host, and how that is authenticated")
	if n == 0 {
		a.ask("no sink delivers to another host itself", "ask how the server is authenticated where the records leave this host")
		return
	}
	a.seen("no setting switches the verification off; audisp-relay doctor --sink NAME shows the name under which a server is authenticated now")
}
