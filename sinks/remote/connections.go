package remote

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"time"
)

// Connections counts a sink's connections to its server, and keeps when the certificates of the last TLS session expire. Any
// goroutine may use it.
type Connections struct {
	made    atomic.Uint64
	expires atomic.Int64 // seconds since 1970, 0: not known
}

// Made notes a connection.
func (c *Connections) Made() { c.made.Add(1) }

// Secured notes the certificates of a TLS session: those that the server has shown, and the client's own.
func (c *Connections) Secured(server []*x509.Certificate, own *tls.Certificate) {
	c.expires.Store(firstExpiry(server, own))
}

// Counts returns what the status of a sink says of its connections.
func (c *Connections) Counts() ConnectionCounts {
	counts := ConnectionCounts{Connects: c.made.Load()}
	if end := c.expires.Load(); end != 0 {
		counts.Expires = time.Unix(end, 0)
	}
	return counts
}

// ConnectionCounts are a part of the Details of a sink that connects to a server: they make these a sinks.Connection.
type ConnectionCounts struct {
	// Connects counts connections that were made, in all.
	Connects uint64 `json:"connects,omitempty"`
	// Expires is when the first certificate of the last TLS session does, of the server's chain and the client's own.
	Expires time.Time `json:"certificate_expires,omitzero"`
}

// Reconnects implements sinks.Connection.
func (c *ConnectionCounts) Reconnects() uint64 { return max(c.Connects, 1) - 1 }

// CertificateEnd implements sinks.Connection.
func (c *ConnectionCounts) CertificateEnd() time.Time { return c.Expires }
