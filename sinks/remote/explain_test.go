package remote

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRefusedWithoutCertificate: however the end of the connection shows, a server that had asked for a
// certificate wanted one.
func TestRefusedWithoutCertificate(t *testing.T) {
	for _, err := range []error{
		&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")},
		&net.OpError{Op: "write", Err: net.ErrClosed}, &net.OpError{Op: "read", Err: unix.ECONNRESET},
		unix.EPIPE, io.EOF, io.ErrUnexpectedEOF, ErrClosed, ErrCutOff,
	} {
		for _, asked := range []bool{true, false} {
			advice, _ := AdviceOf(new(Files).ExplainTLS(err, asked, "address"))
			if strings.Contains(advice, "cert_file") != asked {
				t.Errorf("%v, asked %v: %q", err, asked, advice)
			}
		}
	}
}
