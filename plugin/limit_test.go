package plugin

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
)

// failingListener fails with each error, and then is closed.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		a, _ := net.Pipe()
		return a, nil
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

// TestAcceptErrorsAreNotTheEnd: what accept(2) says of one connection, or for a while.
func TestAcceptErrorsAreNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limitConns(&failingListener{errs: []error{syscall.ENETDOWN, syscall.ENOMEM, syscall.EPERM}})
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		l.Listener.(*failingListener).errs = []error{net.ErrClosed}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) || len(l.slots) > 0 {
			t.Errorf("%v, %d slots taken", err, len(l.slots))
		}
	})
}
