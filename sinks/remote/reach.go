package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks"
)

// maxAddrs is how many addresses of one name are tried.
const maxAddrs = 8

// LookUp is (*net.Resolver).LookupNetIP, or what a test puts in its place.
type LookUp func(ctx context.Context, network, host string) ([]netip.Addr, error)

// Resolve is a step of a trial: it looks up where address, host:port, leads, and returns that in
// the order of the resolver. key is what the configuration calls the address.
func Resolve(ctx context.Context, s *sinks.Step, address, key string, lookUp LookUp) (addrs []netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, Advise(err, "correct %s", key)
	}
	p, _ := net.LookupPort("tcp", port) // the configuration was checked
	if addr, err := netip.ParseAddr(host); err == nil {
		s.Text = host + " is an address"
		return []netip.AddrPort{netip.AddrPortFrom(addr, uint16(p))}, nil
	}

	found, err := lookUp(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return nil, explainLookUp(host, key, err)
	}
	var text []string
	for _, a := range found[:min(len(found), maxAddrs)] {
		addrs = append(addrs, netip.AddrPortFrom(a.Unmap(), uint16(p)))
		text = append(text, a.Unmap().String())
	}
	s.Text = host + " is " + strings.Join(text, ", ")
	s.Fact("addresses", "%s", strings.Join(text, " "))
	return addrs, nil
}

// explainLookUp says why a name has no address.
func explainLookUp(host, key string, err error) error {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil, ok && dns.IsNotFound:
		return Advise(fmt.Errorf("the name %s has no address", host), "correct the host in %s, or add it to the DNS or /etc/hosts", key)
	case ok && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return Advise(fmt.Errorf("no name server answers the question for %s", host), "see /etc/resolv.conf and the way to its name servers, or use the server's address")
	}
	return Advise(fmt.Errorf("look up %s: %w", host, err), "see /etc/resolv.conf and /etc/nsswitch.conf")
}

// Connect is a step of a trial: it tries one address after the other, each for its part of the
// time, with connect, which returns from where it has connected. explain says why an address
// failed, with Advice.
func Connect(ctx context.Context, s *sinks.Step, addrs []netip.AddrPort, timeout time.Duration,
	connect func(ctx context.Context, addr string) (net.Addr, error), explain func(addr string, err error) error) error {
	part := timeout / time.Duration(len(addrs))
	var failures []string
	var last error
	for _, addr := range addrs {
		actx, cancel := context.WithTimeout(ctx, part)
		local, err := connect(actx, addr.String())
		cancel()
		if err == nil {
			s.Text = fmt.Sprintf("%s, from %s", addr, local)
			if len(failures) > 0 {
				s.Doubt("correct the name's addresses or the way to them", "%s", strings.Join(failures, "; "))
			}
			return nil
		}
		last = explain(addr.String(), err)
		failures = append(failures, last.Error())
	}

	if len(failures) > 1 {
		advice, _ := AdviceOf(last)
		return Advise(errors.New(strings.Join(failures, "; ")), "%s", advice)
	}
	return last
}

// ExplainConnect says why no connection was made to addr. key is what the configuration calls the
// address.
func ExplainConnect(addr, key string, err error) error {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return Advise(fmt.Errorf("%s: connection refused: no process listens on this port, or a firewall rejects it", addr),
			"start the server, or correct the port in %s", key)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETDOWN):
		return Advise(fmt.Errorf("%s: no route to it (%w)", addr, rootError(err)), "see `ip route get %s`, and that the network is up", hostOf(addr))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return Advise(fmt.Errorf("%s: no answer to the connection: the host is down, or a firewall drops it", addr),
			"see whether the host is up and which firewall stands between, or correct %s", key)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return Advise(fmt.Errorf("%s: this host does not permit the connection (%w)", addr, rootError(err)), "see the local firewall (nft list ruleset) and SELinux (ausearch -m AVC -ts recent)")
	}
	return Advise(fmt.Errorf("%s: %w", addr, err), "check the server, the way to it and %s", key)
}

// rootError is the error of the system in err.
func rootError(err error) error {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return err
}

// IsLoopback reports whether host, a name or an address, is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
