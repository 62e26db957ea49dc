package syslog

import (
	"context"
	"crypto/tls"

	"audisp-relay/sinks"
)

// startTLS makes the session, and notes what was agreed upon and which server it is.
func (y *trial) startTLS(ctx context.Context, s *sinks.Step) error {
	if err := y.w.startTLS(ctx, y.link); err != nil {
		return err
	}
	st := y.link.tls.ConnectionState()
	y.w.cfg.files().DescribeTLS(s, &st, y.w.cfg.host())
	return nil
}

// authenticate says what became of the client's certificate, which the handshake has shown.
func (y *trial) authenticate(_ context.Context, s *sinks.Step) error {
	accepted := y.link.admitted || y.link.tls.ConnectionState().Version < tls.VersionTLS13
	return y.w.cfg.files().DescribeOwn(s, y.link.asked, accepted)
}
