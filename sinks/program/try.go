package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"audisp-relay/host/runnable"
	"audisp-relay/sinks"
)

// try implements sinks.Kind.Try. It starts nothing: a second child would do a second time what the
// first does.
func try(ctx context.Context, t *sinks.Trial) {
	cfg := t.Sink.Settings.(*Config)
	if !t.Do(ctx, "program", cfg.tryProgram) {
		return
	}
	t.Do(ctx, "user", cfg.tryUser)
}

// tryProgram asks whether the program would be run.
func (c *Config) tryProgram(_ context.Context, s *sinks.Step) error {
	if err := runnable.Check(c.Path); err != nil {
		if known, ok := errors.AsType[*runnable.Error](err); ok {
			return sinks.Advise(err, known.Fix)
		}
		return err
	}
	info, err := os.Stat(c.Path)
	if err != nil {
		return err
	}
	s.Text = fmt.Sprintf("%s may be run: mode %04o, uid %d; with %d arguments", c.Path, info.Mode().Perm(), runnable.OwnerOf(info), len(c.Args))
	return nil
}

// tryUser asks which user it would run as, and whether that user may run it.
func (c *Config) tryUser(_ context.Context, s *sinks.Step) error {
	if c.User == "" {
		s.Text = "it runs as the relay does, without user"
		return nil
	}
	a, err := account(c.User)
	if err != nil {
		return err
	}

	s.Text = fmt.Sprintf("it runs as %s (uid %d, gid %d)", c.User, a.UID, a.GID)
	info, err := os.Stat(c.Path)
	if err != nil {
		return err
	}
	if !mayRun(info, a) {
		return sinks.Advise(fmt.Errorf("user %s may not execute %s (mode %04o)", c.User, c.Path, info.Mode().Perm()), "chmod a+x "+c.Path+", or name another user")
	}
	return nil
}

// mayRun reports what the mode of a file says of a user.
func mayRun(info os.FileInfo, a *runnable.Account) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	perm := info.Mode().Perm()
	switch {
	case a.UID == 0, !ok:
		return perm&0o111 != 0
	case st.Uid == a.UID:
		return perm&0o100 != 0
	case st.Gid == a.GID, slices.Contains(a.Groups, st.Gid):
		return perm&0o010 != 0
	}
	return perm&0o001 != 0
}
