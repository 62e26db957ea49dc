package syslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/host/sockdiag"
	"audisp-relay/sinks"
	"audisp-relay/sinks/local"
)

// local tries the daemon of this machine.
func (y *trial) local(ctx context.Context) {
	if !y.Do(ctx, "socket", y.findSocket) || !y.Do(ctx, "listener", y.findListener) {
		return
	}
	y.Do(ctx, "acknowledgement", y.deliverLocal)
}

// findSocket looks at the file.
func (y *trial) findSocket(_ context.Context, s *sinks.Step) error {
	path := y.w.cfg.Address
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return advise(fmt.Errorf("%s is not there", path), "start the syslog daemon, or correct address")
	case err != nil:
		return advise(err, "correct address")
	case info.Mode()&fs.ModeSocket == 0:
		return advise(fmt.Errorf("%s is no socket", path), "remove it and restart the syslog daemon, or correct address")
	}

	s.Text = fmt.Sprintf("%s is a socket of mode %04o", path, info.Mode().Perm())
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		s.Text += ", a link to " + real
		s.Fact("path", "%s", real)
	}
	return nil
}

// findListener says which daemon reads, and what journald drops.
func (y *trial) findListener(_ context.Context, s *sinks.Step) error {
	real, err := filepath.EvalSymlinks(y.w.cfg.Address)
	if err != nil {
		return err
	}
	sockets, err := sockdiag.BoundTo(real)
	if err != nil {
		s.Verdict, s.Text = sinks.Unknown, fmt.Sprintf("which process reads it is not known: %v", err)
		return nil
	}
	if len(sockets) == 0 {
		return advise(fmt.Errorf("no process has the socket %s", real), "start the syslog daemon")
	}
	var names []string
	for _, p := range sockdiag.Holders(sockets) {
		names = append(names, p.String())
	}

	if len(names) == 0 {
		s.Verdict, s.Text = sinks.Unknown, "a process has it that may not be looked at: run this as root"
		return nil
	}
	s.Text = "read by " + strings.Join(names, ", ")
	s.Fact("processes", "%s", strings.Join(names, ", "))
	j := &journal{root: y.w.journal.root}
	if l := j.limitOf(y.w.cfg.Address, "auditd.service"); l.Burst > 0 {
		s.Doubt("set LogRateLimitIntervalSec=0 for auditd.service", "journald drops all but %d messages in %v", l.Burst, l.Interval)
	}
	return nil
}

// deliverLocal sends the test message, and waits until the daemon has read it.
func (y *trial) deliverLocal(ctx context.Context, s *sinks.Step) error {
	s.Fact("id", "%s", y.ID)
	c, err := y.w.dialLocal(ctx)
	if err != nil {
		return advise(fmt.Errorf("connect to %s: %w", y.w.cfg.Address, err), "start the syslog daemon or correct address")
	}
	defer c.close(true)
	if _, err = c.send(ctx, y.message()); err == nil {
		err = awaitRead(ctx, c)
	}

	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStalled) {
		return advise(errors.New("the daemon does not read what is sent to it"), "see what the syslog daemon waits for, or restart it")
	}
	if err != nil {
		return advise(fmt.Errorf("send to %s: %w", y.w.cfg.Address, err), "see the syslog daemon's log")
	}
	s.Text = "the daemon has read the test message; what it does with it is its own configuration's: look for id " + y.ID
	return nil
}

// awaitRead waits until the other end of c has read all.
func awaitRead(ctx context.Context, c conn) error {
	d, ok := c.(*datagrams)
	if !ok {
		return nil // of a stream send has waited for that
	}
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	l, err := local.New(fd, "syslog")
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Wait(ctx)
}
