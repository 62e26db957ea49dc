package remote

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"audisp-relay/sinks"
)

// DescribeTLS puts into a step of a trial what was agreed upon in a session with host that was
// verified, and with whom.
func (f *Files) DescribeTLS(s *sinks.Step, st *tls.ConnectionState, host string) {
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
	s.Fact("verified_by", "%s", f.verifiedBy(st.VerifiedChains))
	s.Text += fmt.Sprintf("; server authenticated as %q by %s; its certificates are valid for %d days more",
		f.Name(host), f.verifiedBy(st.VerifiedChains), daysTo(end))
	if time.Until(end) < soonExpired {
		s.Doubt("renew the server's certificate", "they end on %s", end.UTC().Format(time.RFC3339))
	}
}

// verifiedBy names the CA that vouched for the server, and the file it was read from.
func (f *Files) verifiedBy(chains [][]*x509.Certificate) string {
	from := "ca_file " + f.CA
	if f.CA == "" {
		from = "the system's CAs"
	}
	if len(chains) == 0 || len(chains[0]) == 0 {
		return from
	}
	root := chains[0][len(chains[0])-1]
	return fmt.Sprintf("%s (%.100q)", from, root.Subject)
}

// DescribeOwn puts into a step of a trial what became of the client's certificate. asked: the server
// wanted to see one; accepted: it has shown that it takes it, instead of not having refused it yet.
func (f *Files) DescribeOwn(s *sinks.Step, asked, accepted bool) error {
	switch {
	case !asked && f.Cert == "":
		s.Text = "the server asks for no client certificate"
		return nil
	case !asked:
		s.Doubt("see the server's configuration: it admits every client", "the server asks for no client certificate, though cert_file has one")
		return nil
	case f.Cert == "":
		s.Text = "the server asked for a client certificate and admitted this host without one"
		return nil
	}

	pair, err := f.Pair()
	if err != nil {
		return Advise(err, "put the client's certificate and its key there, both in PEM")
	}
	s.Fact("subject", "%.200q", pair.Leaf.Subject)
	s.Fact("not_after", "%s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	s.Fact("days_left", "%d", daysTo(pair.Leaf.NotAfter))
	how := "has not refused"
	if accepted {
		how = "has accepted"
	}
	s.Text = fmt.Sprintf("the server %s the certificate of cert_file, %.100q, valid for %d days more", how, pair.Leaf.Subject, daysTo(pair.Leaf.NotAfter))
	if time.Until(pair.Leaf.NotAfter) < soonExpired {
		s.Doubt("renew "+f.Cert, "it ends on %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
