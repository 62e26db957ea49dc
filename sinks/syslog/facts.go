package syslog

// Server returns where a sink sends to: "unix" and the path of a socket of this machine, or "udp" or
// "tcp" and host:port.
func (c *Config) Server() (network, address string) {
	switch c.Transport {
	case "local":
		return "unix", c.Address
	case "udp":
		return "udp", c.Address
	}
	return "tcp", c.Address
}

// Certificates returns the files of the sink's own certificate and of the authorities that it
// trusts, "" for none of its own and for the system's.
func (c *Config) Certificates() (own, authorities string) { return c.CertFile, c.CAFile }
