package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"audisp-relay/sinks"
)

// soonExpired is how long before its end a certificate is reported.
const soonExpired = 14 * 24 * time.Hour

// startTLS makes the session, and notes what was agreed upon and with whom.
func (y *trial) startTLS(ctx context.Context, s *sinks.Step) error {
	if err := y.w.startTLS(ctx, y.link); err != nil {
		return err
	}
	st := y.link.tls.ConnectionState()
	s.Fact("version", "%s", tls.VersionName(st.Version))
	s.Fact("cipher", "%s", tls.CipherSuiteName(st.CipherSuite))
	s.Text = tls.VersionName(st.Version)
	if st.CurveID != 0 {
		s.Fact("group", "%v", st.CurveID)
		s.Text += fmt.Sprintf(", group %v", st.CurveID)
	}

	leaf := st.PeerCertificates[0] // a session that was verified has one
	end := firstEnd(st.VerifiedChains)
	s.Fact("subject", "%.200q", leaf.Subject)
	s.Fact("names", "%.500q", strings.Join(namesOf(leaf), " "))
	s.Fact("issuer", "%.200q", leaf.Issuer)
	s.Fact("not_after", "%s", end.UTC().Format(time.RFC3339))
	s.Fact("days_left", "%d", daysTo(end))
	s.Fact("verified_by", "%s", y.verifiedBy(st.VerifiedChains))
	s.Text += fmt.Sprintf("; server authenticated as %q by %s; its certificates are valid for %d days more",
		serverName(&y.w.cfg), y.verifiedBy(st.VerifiedChains), daysTo(end))
	if time.Until(end) < soonExpired {
		s.Doubt("renew the server's certificate", "they end on %s", end.UTC().Format(time.RFC3339))
	}
	return nil
}

// verifiedBy names the CA that vouched for the server, and the file it was read from.
func (y *trial) verifiedBy(chains [][]*x509.Certificate) string {
	from := "ca_file " + y.w.cfg.CAFile
	if y.w.cfg.CAFile == "" {
		from = "the system's CAs"
	}
	if len(chains) == 0 || len(chains[0]) == 0 {
		return from
	}
	root := chains[0][len(chains[0])-1]
	return fmt.Sprintf("%s (%.100q)", from, root.Subject)
}

// firstEnd is when the first certificate of a chain ends: the latest such time of all chains.
func firstEnd(chains [][]*x509.Certificate) (end time.Time) {
	for _, chain := range chains {
		var first time.Time
		for _, c := range chain {
			if first.IsZero() || c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	return end
}

// daysTo is how many whole days there are to t, negative after it.
func daysTo(t time.Time) int { return int(time.Until(t) / (24 * time.Hour)) }

// authenticate says what became of the client's certificate, which the handshake has shown.
func (y *trial) authenticate(_ context.Context, s *sinks.Step) error {
	cfg := &y.w.cfg
	switch {
	case !y.link.asked && cfg.CertFile == "":
		s.Text = "the server asks for no client certificate"
		return nil
	case !y.link.asked:
		s.Doubt("see the server's configuration: it admits every client", "the server asks for no client certificate, though cert_file has one")
		return nil
	case cfg.CertFile == "":
		s.Text = "the server asked for a client certificate and admitted this host without one"
		return nil
	}

	pair, err := loadPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return advise(err, "put the client's certificate and its key there, both in PEM")
	}
	s.Fact("subject", "%.200q", pair.Leaf.Subject)
	s.Fact("not_after", "%s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	s.Fact("days_left", "%d", daysTo(pair.Leaf.NotAfter))
	how := "has not refused"
	if y.link.admitted || y.link.tls.ConnectionState().Version < tls.VersionTLS13 {
		how = "has accepted"
	}
	s.Text = fmt.Sprintf("the server %s the certificate of cert_file, %.100q, valid for %d days more", how, pair.Leaf.Subject, daysTo(pair.Leaf.NotAfter))
	if time.Until(pair.Leaf.NotAfter) < soonExpired {
		s.Doubt("renew "+cfg.CertFile, "it ends on %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
