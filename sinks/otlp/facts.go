package otlp

import "net"

// Hosts returns the names that the configuration has of other hosts: the receiver's, the proxy's and
// that of the certificate, as far as they are set.
func (c *Config) Hosts() (names []string) {
	for _, url := range []string{c.URL, c.Proxy} {
		if host, _, err := net.SplitHostPort(address(url)); err == nil && url != "" {
			names = append(names, host)
		}
	}
	if c.ServerName != "" {
		names = append(names, c.ServerName)
	}
	return names
}
