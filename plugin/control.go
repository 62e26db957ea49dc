package plugin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/state"
)

// Names within run_dir.
const (
	controlName = "control.sock"
	stateName   = "state"
)

// controlTimeout is how long a client of the control socket may take. Only tests
// change it.
var controlTimeout = 2 * time.Second

// maxAnswer bounds what is read of an answer: a report of a thousand sinks has some megabytes.
const maxAnswer = 64 << 20

// controlEvery is how often the control socket is checked to be still there.
const controlEvery = time.Second

// control is the socket through which status, top and an upgrade ask: one line, "status" or "top", answered
// with the Report of the plugin or of its meter as JSON, or "renew" (see AskRenew). Only root may connect. It is made again when it
// was removed, and as soon as an earlier relay that has it is gone.
type control struct {
	path string
	item string          // for the monitor; "": this process makes the socket itself
	ctx  context.Context // ends with the plugin, which waits for no client
	end  context.CancelFunc
	wg   sync.WaitGroup

	// Of the goroutine that watches it, and after that of close.
	ln     *net.UnixListener
	file   os.FileInfo // what ln made at path
	failed lastError
}

// makeDir makes run_dir where it is missing. An existing one keeps its mode, but is refused
// where another user could put a socket or a report of his own there.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return os.Chmod(dir, 0o755) // whatever the umask was
	case !errors.Is(err, os.ErrExist):
		return fmt.Errorf("run_dir: %w", err)
	}
	if err := config.CheckRunDir(dir); err != nil {
		return fmt.Errorf("run_dir %s: %w", dir, err)
	}
	return nil
}

// startControl opens the control socket and watches over it. Without one the plugin
// works, but status cannot ask it.
func (p *Plugin) startControl() *control {
	c := &control{path: filepath.Join(p.cfg.RunDir, controlName), item: controlItem}
	c.ctx, c.end = context.WithCancel(context.Background())
	p.openControl(c)
	c.wg.Go(func() {
		every(controlEvery, c.ctx.Done(), func(time.Time) {
			p.safely("control socket", func() { p.checkControl(c) })
		})
	})
	return c
}

// checkControl opens the socket again where it is gone.
func (p *Plugin) checkControl(c *control) {
	if !c.there() {
		c.drop()
		p.openControl(c)
	}
}

// openControl opens the socket, and logs when it cannot, and when it can again.
func (p *Plugin) openControl(c *control) {
	err := c.listen()
	switch changed := c.failed.replace(err); {
	case changed && err != nil:
		p.log.Warn("no control socket: status will not work until there is one", zap.Error(err))
	case changed:
		p.log.Info("control socket is there again", zap.String("path", c.path))
	}
	if err != nil {
		return
	}
	ln := c.ln
	c.wg.Go(func() { p.serve(c.ctx, ln) })
}

// serve answers one client at a time until ln is closed or ctx ends.
func (p *Plugin) serve(ctx context.Context, ln *net.UnixListener) {
	defer context.AfterFunc(ctx, func() { ln.SetDeadline(time.Unix(1, 0)) })()
	for ctx.Err() == nil {
		conn, err := ln.Accept()
		if err == nil {
			p.safely("control", func() { p.answer(ctx, conn) })
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		awaitFor(100*time.Millisecond, ctx.Done())
	}
}

// listen opens the socket, or has the monitor do it.
func (c *control) listen() (err error) {
	if m := c.monitor(); m != nil {
		ln, err := askListener(m, c.item)
		if err != nil {
			return err
		}
		c.ln = ln.(*net.UnixListener)
		return nil
	}
	if err := makeDir(filepath.Dir(c.path)); err != nil {
		return err
	}
	c.ln, c.file, err = listenControl(c.path)
	return err
}

// monitor returns the monitor if that made the socket, nil if this process did.
func (c *control) monitor() *broker.Client {
	if c.item == "" {
		return nil
	}
	return broker.Monitor()
}

// askListener has the monitor open a socket.
func askListener(m *broker.Client, item string) (net.Listener, error) {
	fd, err := m.Open(item, opListen, nil, nil)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), item)
	defer f.Close()
	return net.FileListener(f)
}

// there reports whether path leads to the socket.
func (c *control) there() bool {
	if c.ln == nil {
		return false
	}
	if m := c.monitor(); m != nil {
		var there bool
		return m.Do(c.item, opThere, nil, &there) != nil || there // a monitor that has gone ends this process
	}
	now, err := os.Lstat(c.path)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
	}
	return os.SameFile(now, c.file)
}

// drop closes the socket. Its file is removed where it is still this socket's.
func (c *control) drop() {
	if c.ln == nil {
		return
	}
	if m := c.monitor(); m != nil {
		_ = m.Do(c.item, opDrop, nil, nil) // as above
	} else if c.there() {
		os.Remove(c.path)
	}
	c.ln.Close()
	c.ln = nil
}

// listenControl takes over a socket that no process listens on.
func listenControl(path string) (*net.UnixListener, os.FileInfo, error) {
	defer state.HoldDir(filepath.Dir(path)).Close()
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, nil, fmt.Errorf("%s is in the way: it is no socket; remove it", path)
		}
		conn, err := net.DialUnix("unix", nil, addr)
		if err == nil {
			conn.Close()
		}
		if err == nil || errors.Is(err, syscall.EAGAIN) { // its backlog is full
			return nil, nil, fmt.Errorf("%s: another audisp-relay answers there: give each its own run_dir", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, nil, err
		}
	}

	ln, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, nil, err
	}
	ln.SetUnlinkOnClose(false) // it may be another's by then
	err = os.Chmod(path, 0o600)
	st, serr := os.Lstat(path)
	if err = errors.Join(err, serr); err != nil {
		ln.Close()
		return nil, nil, err
	}
	return ln, st, nil
}

// answer serves one client. The umask lets only root connect before the
// mode is set, and the peer is read with a limit and a deadline.
func (p *Plugin) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlTimeout))
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	line, err := bufio.NewReaderSize(conn, 64).ReadSlice('\n')
	switch {
	case err == nil && string(line) == "status\n":
		json.NewEncoder(conn).Encode(p.Report())
	case err == nil && string(line) == "top\n":
		p.answerTop(ctx, conn)
	case err == nil && string(line) == "renew\n":
		conn.SetDeadline(time.Now().Add(controlTimeout + renewPatience))
		p.answerRenew(ctx, conn)
	default:
		fmt.Fprintln(conn, `{"error":"the requests there are: status, top, renew"}`)
	}
}

func (c *control) close() {
	c.end()
	c.wg.Wait()
	c.drop()
}

// ErrNotRunning is what Query returns where no plugin listens.
var ErrNotRunning = errors.New("the plugin does not run, or not")

// Query asks the plugin whose run_dir is dir for its report.
func Query(dir string) (*Report, error) {
	r := new(Report)
	if err := ask(dir, "status", r); err != nil {
		return nil, err
	}
	return r, nil
}

// ask makes a request of the plugin whose run_dir is dir, and reads its answer.
func ask(dir, request string, answer any) error {
	path := filepath.Join(dir, controlName)
	conn, err := net.DialTimeout("unix", path, controlTimeout)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: only root may ask the plugin", err)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w with this run_dir (pgrep audisp-relay)", err, ErrNotRunning)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if uid, err := peerUID(conn); err == nil && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%s: a process of uid %d answers there, not the plugin: see who with `ss -xlp`, and choose another run_dir", path, uid)
	}

	conn.SetDeadline(time.Now().Add(2*controlTimeout + renewPatience))
	if _, err := conn.Write([]byte(request + "\n")); err != nil {
		return err
	}
	if err := json.NewDecoder(io.LimitReader(conn, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("%s: answer not understood: %w", path, err)
	}
	return nil
}

// peerUID returns the user that the process at the other end of conn runs as.
func peerUID(conn net.Conn) (int, error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, cerr); err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}

// writeState writes run_dir/state (SIGUSR1, and at the end).
func (p *Plugin) writeState() {
	m := broker.Monitor()
	if m == nil {
		if err := makeDir(p.cfg.RunDir); err != nil {
			p.log.Warn("no state report", zap.Error(err))
			return
		}
	}

	var text bytes.Buffer
	p.Report().WriteText(&text) // a buffer takes it
	var err error
	if m != nil {
		err = askPut(m, reportItem, text.Bytes())
	} else {
		err = state.ReplaceFile(filepath.Join(p.cfg.RunDir, stateName), text.Bytes(), 0o640)
	}
	if err != nil {
		p.log.Warn("state report: " + err.Error())
	}
}

// askPut has the monitor replace a file of the relay's own.
func askPut(m *broker.Client, item string, text []byte) error {
	fd, err := config.InMemory(text)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = m.Call(item, opPut, nil, nil, 0, fd)
	return err
}
