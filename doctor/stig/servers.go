package stig

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strings"

	"audisp-relay/config"
	"audisp-relay/sinks/nats"
	"audisp-relay/sinks/otlp"
	"audisp-relay/sinks/syslog"
)

// server is what a sink of a type that delivers to servers is configured to do.
type server struct {
	speaks string   // "syslog over tls"
	names  []string // of the hosts, or their addresses: at least one
	where  string   // the same for people, with ports
	tls    bool
	caFile string // "": every CA that this host trusts can vouch for the server
	name   string // name that the server's certificate is for
	set    string // what encrypts the connection
	acks   bool   // the server acknowledges records
}

// serverOf returns nil for a sink that delivers to no server.
func serverOf(s *config.Sink) *server {
	switch c := s.Settings.(type) {
	case *syslog.Config:
		if c.Transport == "local" {
			return nil
		}
		host, _, _ := net.SplitHostPort(c.Address) // the configuration was checked
		return &server{
			speaks: "syslog over " + c.Transport, names: []string{host}, where: c.Address, tls: c.TLS(), caFile: c.CAFile,
			name: cmp.Or(c.ServerName, host), set: `set transport = "tls", or for relp ca_file`, acks: c.Transport == "relp",
		}
	case *otlp.Config:
		host := hostOf(c.URL)
		return &server{
			speaks: "OTLP", names: []string{host}, where: c.URL, tls: strings.HasPrefix(c.URL, "https:"), caFile: c.CAFile,
			name: cmp.Or(c.ServerName, host), set: "begin url with https", acks: true,
		}
	case *nats.Config:
		names := c.Hosts()
		return &server{
			speaks: "NATS", names: names, where: strings.Join(c.Servers, " "), tls: c.TLS(), caFile: c.CAFile,
			name: strings.Join(names, " or "), set: "begin each of servers with tls", acks: true,
		}
	}
	return nil
}

// hostOf returns the host of a URL that was checked.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Hostname()
}

// isHere reports whether a name or an address is one of this host's own. Names are not resolved.
func (h *Host) isHere(name string) bool {
	ip := net.ParseIP(name)
	if ip == nil {
		return slices.ContainsFunc(h.Names, func(own string) bool { return strings.EqualFold(name, own) })
	}
	return ip.IsLoopback() || slices.ContainsFunc(h.Addresses, ip.Equal)
}

// servers calls each for the sinks that deliver to another host, and returns how many there are.
func (h *Host) servers(each func(s *config.Sink, to *server)) (n int) {
	for i := range h.sinks() {
		s := &h.Config.Sinks[i]
		if at, _ := h.remote(s); at == elsewhere {
			n++
			each(s, serverOf(s))
		}
	}
	return n
}
