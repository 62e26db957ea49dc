package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Metrics says where the relay's numbers can be read in Prometheus' format.
type Metrics struct {
	Socket   bool   // metrics.sock in RunDir
	TextFile string // absolute path of a file for node_exporter, NAME.prom; "" for none
	Listen   string // IP address and port for TCP, "" for none
	CertFile string // absolute path of the certificate for Listen, in PEM; "" for no TLS
	KeyFile  string
	TLS      bool // false: other hosts may read Listen in clear
}

// metrics reads the table of that name. What is wrong with one place leaves that one out.
func (t *Table) metrics(m *Metrics) {
	t.Boolean("socket", &m.Socket)
	t.Str("text_file", &m.TextFile, EmptyOr(textFile))
	t.Str("listen", &m.Listen, EmptyOr(listenAddress))
	t.Str("cert_file", &m.CertFile, EmptyOr(FilePath))
	t.Str("key_file", &m.KeyFile, EmptyOr(SecretPath))
	t.Boolean("tls", &m.TLS)
	if key, text := m.wrong(); text != "" {
		t.Errorf(key, "%s", text)
		m.Listen = ""
	}
}

// wrong says which key of a server does not go with the others.
func (m *Metrics) wrong() (key, text string) {
	switch {
	case (m.CertFile == "") != (m.KeyFile == ""):
		return "cert_file", "needs key_file, and key_file needs cert_file: set both or neither"
	case !m.TLS && m.CertFile != "":
		return "tls", "is false although there is a certificate: remove tls, or cert_file and key_file"
	case m.Listen == "" || m.CertFile != "" || !m.TLS || isLoopback(m.Listen):
		return "", ""
	}
	return "listen", fmt.Sprintf("%q can be read by other hosts in clear: set cert_file and key_file, or tls = false if that is meant", m.Listen)
}

// metrics looks for what the places need. Of a text file that is a link the link is replaced.
func (s *Surveyor) metrics(m *Metrics) {
	if m.TextFile != "" {
		s.Directory("metrics.text_file", filepath.Dir(m.TextFile), "no numbers are written until it is")
		if info, err := os.Lstat(m.TextFile); err == nil && info.IsDir() {
			s.Errorf("metrics.text_file", "%s is in the way: it is a directory; remove it, or name another path", m.TextFile)
		}
	}
	if m.CertFile != "" && m.KeyFile != "" && m.Listen != "" {
		s.KeyPair("metrics.cert_file", m.CertFile, "metrics.key_file", m.KeyFile, "nothing listens until it is")
	}
}

// textFile accepts what node_exporter's textfile collector reads.
func textFile(s string) error {
	if !strings.HasSuffix(s, ".prom") {
		return fmt.Errorf("%q does not end in .prom, so node_exporter would not read it", s)
	}
	return FilePath(s)
}

// listenAddress accepts an IP address and a port.
func listenAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = netip.ParseAddr(host)
	}
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		return errors.New(strconv.Quote(s) + ` is no address to listen on, must be IP:PORT like "127.0.0.1:9817", "[::1]:9817" or "0.0.0.0:9817"`)
	}
	return nil
}

// isLoopback reports whether only this host can connect to a checked address.
func isLoopback(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().Unmap().IsLoopback()
}
