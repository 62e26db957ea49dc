package unix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	sys "golang.org/x/sys/unix"

	"audisp-relay/host/runnable"
	"audisp-relay/host/sockdiag"
	"audisp-relay/sinks"
	"audisp-relay/sinks/local"
)

// trial is a sinks.Trial of this type of sink.
type trial struct {
	*sinks.Trial
	cfg *Config
	fd  int // connected to a collector, -1 for none
}

// try implements sinks.Kind.Try. A socket that the relay listens on is only looked at: with when_idle =
// "queue" a client that connects would take records that wait for another.
func try(ctx context.Context, t *sinks.Trial) {
	y := &trial{Trial: t, cfg: t.Sink.Settings.(*Config), fd: -1}
	if !y.cfg.Connect {
		if t.Do(ctx, "socket", y.findSocket) && t.Do(ctx, "listener", y.findListener) {
			t.Do(ctx, "access", y.access)
		}
		return
	}
	if t.Do(ctx, "connect", y.connect) {
		t.Do(ctx, "acknowledgement", y.deliver)
	}
}

// findSocket looks at the file, and at the way to it.
func (y *trial) findSocket(_ context.Context, s *sinks.Step) error {
	info, err := os.Lstat(y.cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sinks.Advise(fmt.Errorf("%s is not there", y.cfg.Path), "see whether the relay runs with this configuration: audisp-relay status")
	case err != nil:
		return sinks.Advise(err, "correct path")
	case info.Mode()&fs.ModeSocket == 0:
		return sinks.Advise(fmt.Errorf("%s is %s", y.cfg.Path, kind(info.Mode())), "remove it, or choose another path")
	}

	s.Text = fmt.Sprintf("%s, mode %04o, %s", y.cfg.Path, info.Mode().Perm(), owners(info))
	if info.Mode().Perm() != fs.FileMode(y.cfg.Mode) {
		s.Doubt("send SIGHUP to the relay", "the configured mode is %04o", y.cfg.Mode)
	}
	if uid, gid, err := owner(y.cfg); err != nil {
		s.Doubt("make the account, or correct owner and group", "%v", err)
	} else if runnable.OwnerOf(info) != uint32(uid) || groupOf(info) != uint32(gid) {
		s.Doubt("send SIGHUP to the relay", "the configured owner is %s:%s", y.cfg.Owner, y.cfg.Group)
	}
	return nil
}

// owners names owner and group of a file by number.
func owners(info fs.FileInfo) string {
	return fmt.Sprintf("uid %d, gid %d", runnable.OwnerOf(info), groupOf(info))
}

func groupOf(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Gid
	}
	return 0
}

// findListener says which process listens.
func (y *trial) findListener(_ context.Context, s *sinks.Step) error {
	sockets, err := sockdiag.BoundTo(y.cfg.Path)
	if err != nil {
		s.Verdict, s.Text = sinks.Unknown, fmt.Sprintf("which process listens is not known: %v", err)
		return nil
	}
	if len(sockets) == 0 {
		return sinks.Advise(fmt.Errorf("no process listens on %s: an ended one has left it", y.cfg.Path), "see why the relay does not run: audisp-relay doctor")
	}
	var names []string
	own, relay := ownName(), false
	for _, p := range sockdiag.Holders(sockets) {
		names = append(names, p.String())
		relay = relay || p.Comm == own
	}

	switch {
	case len(names) == 0:
		s.Verdict, s.Text = sinks.Unknown, "a process listens that may not be looked at: run this as root"
	case !relay:
		return sinks.Advise(fmt.Errorf("%s listens there, which is not the relay", strings.Join(names, ", ")), "stop that program (audisp's own af_unix plugin: active = no), or choose another path")
	default:
		s.Text = "listened on by " + strings.Join(names, ", ")
	}
	return nil
}

// ownName is what processes of this program are called.
func ownName() string {
	comm, _ := os.ReadFile("/proc/self/comm") // without /proc no process is known by name
	return strings.TrimSpace(string(comm))
}

// access says who may connect.
func (y *trial) access(_ context.Context, s *sinks.Step) error {
	info, err := os.Stat(y.cfg.Path)
	if err != nil {
		return err
	}
	who := []string{"root"}
	perm := info.Mode().Perm()
	if uid := runnable.OwnerOf(info); perm&0o200 != 0 && uid != 0 {
		who = append(who, fmt.Sprintf("uid %d", uid))
	}
	if gid := groupOf(info); perm&0o020 != 0 && gid != 0 {
		who = append(who, fmt.Sprintf("group %s (gid %d)", y.cfg.Group, gid))
	}

	if perm&0o002 != 0 {
		who = append(who, "every user")
	}
	s.Text = "may connect: " + strings.Join(who, ", ")
	if y.cfg.AllowUIDs != nil {
		s.Text += fmt.Sprintf("; of these allow_uids admits %v", y.cfg.AllowUIDs)
	}
	s.Text += fmt.Sprintf("; at most %d clients", y.cfg.MaxClients)
	if perm&0o002 != 0 && y.cfg.AllowUIDs == nil {
		s.Doubt("set mode = \"0660\" and group, or allow_uids", "every user of this host can read the audit records")
	}
	if shut := shutDirs(y.cfg.Path, groupOf(info)); shut != "" && perm&0o020 != 0 {
		s.Doubt("chgrp "+y.cfg.Group+" "+shut+" && chmod g+x "+shut, "the group may not pass %s", shut)
	}
	return nil
}

// shutDirs returns a directory above path that a group may not pass, as far as mode bits say.
func shutDirs(path string, gid uint32) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return ""
		}
		perm := info.Mode().Perm()
		if perm&0o001 == 0 && (groupOf(info) != gid || perm&0o010 == 0) {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// connect connects to the collector, as the sink does.
func (y *trial) connect(_ context.Context, s *sinks.Step) error {
	fd, err := dial(y.cfg.Path)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", y.cfg.Path, err)
	}
	y.fd = fd
	s.Text = "connected to " + y.cfg.Path
	if cred, err := sys.GetsockoptUcred(fd, sys.SOL_SOCKET, sys.SO_PEERCRED); err == nil && cred.Pid != 0 {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cred.Pid))
		p := sockdiag.Process{PID: int(cred.Pid), UID: int(cred.Uid), Comm: strings.TrimSpace(string(comm))}
		s.Text += ", of " + p.String()
		s.Fact("process", "%v", p)
	}
	return nil
}

// deliver sends the test message, and waits until it was read.
func (y *trial) deliver(ctx context.Context, s *sinks.Step) error {
	c, err := local.New(y.fd, y.cfg.Path)
	if err != nil {
		return err
	}
	defer c.Close()
	if y.Sink.Format == "binary" {
		s.Verdict, s.Text = sinks.Unknown, "nothing was sent: with format binary a test message would be a forged record; --canary sends a real one"
		return nil
	}
	s.Fact("id", "%s", y.ID)
	text := y.Message()
	if !c.Datagram() {
		text += "\n"
	}

	if _, err = c.Write(ctx, []byte(text)); err == nil {
		err = c.Wait(ctx)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return sinks.Advise(errors.New("the collector accepts the connection and does not read"),
			"see what it does; one that serves a single connection at a time serves that of the running relay: then --canary is the test")
	case err != nil:
		return sinks.Advise(err, "see the collector's log")
	}
	s.Text = "the collector has read the test message, id " + y.ID
	return nil
}
