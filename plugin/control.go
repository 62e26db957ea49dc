package plugin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Names within run_dir.
const (
	controlName = "control.sock"
	stateName   = "state"
)

// controlTimeout is how long a client of the control socket may take. Only tests
// change it.
var controlTimeout = 2 * time.Second

// control is the socket through which status asks: one line "status", answered
// with the Report as JSON. Only root may connect.
type control struct {
	ln   *net.UnixListener
	wg   sync.WaitGroup
	path string
	ctx  context.Context // ends with the plugin, which waits for no client
	end  context.CancelFunc
}

// prepare gives the process its place on the host. What is refused is said
// once, and the plugin goes on without.
func (p *Plugin) prepare() {
	for _, err := range []error{
		boost(p.cfg.PriorityBoost),
		setOOMScore(p.cfg.OOMScoreAdj),
		makeDir(p.cfg.RunDir),
	} {
		if err != nil {
			p.log.Warn("start: " + err.Error())
		}
	}
}

func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return os.Chmod(dir, 0o755) // whatever the umask was
	case errors.Is(err, os.ErrExist):
		return nil // somebody else's, with the mode they want
	}
	return fmt.Errorf("run_dir: %w", err)
}

// startControl opens the control socket. Without one the plugin works, but
// status cannot ask it.
func (p *Plugin) startControl() *control {
	c := &control{path: filepath.Join(p.cfg.RunDir, controlName)}
	ln, err := listenControl(c.path)
	if err != nil {
		p.log.Warn("no control socket: status will not work", zap.Error(err))
		return c
	}
	c.ln = ln
	c.ctx, c.end = context.WithCancel(context.Background())
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		for {
			conn, err := ln.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				time.Sleep(100 * time.Millisecond)
				continue
			}
			p.answer(c.ctx, conn)
		}
	}()
	return c
}

// listenControl takes over a socket that nobody listens on.
func listenControl(path string) (*net.UnixListener, error) {
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is in the way: it is no socket; remove it", path)
		}
		if conn, err := net.DialUnix("unix", nil, addr); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s: another audisp-relay answers there: give each its own run_dir", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// answer serves one client. The umask lets nobody but root connect before the
// mode is set, and the peer is read with a limit and a deadline.
func (p *Plugin) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlTimeout))
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	line, err := bufio.NewReaderSize(conn, 64).ReadSlice('\n')
	if err != nil || string(line) != "status\n" {
		fmt.Fprintln(conn, `{"error":"the one request there is: status"}`)
		return
	}
	json.NewEncoder(conn).Encode(p.Report())
}

func (c *control) close() {
	if c.ln == nil {
		return
	}
	c.end()
	c.ln.Close() // removes the path
	c.wg.Wait()
}

// Query asks the plugin whose run_dir is dir for its report.
func Query(dir string) (*Report, error) {
	path := filepath.Join(dir, controlName)
	conn, err := net.DialTimeout("unix", path, controlTimeout)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: only root may ask the plugin", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: is the plugin running, with this run_dir? (pgrep audisp-relay)", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * controlTimeout))
	if _, err := conn.Write([]byte("status\n")); err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.NewDecoder(conn).Decode(r); err != nil {
		return nil, fmt.Errorf("%s: answer not understood: %w", path, err)
	}
	return r, nil
}

// writeState writes run_dir/state (SIGUSR1, and at the end).
func (p *Plugin) writeState() {
	if err := p.Report().writeFile(filepath.Join(p.cfg.RunDir, stateName)); err != nil {
		p.log.Warn(err.Error())
	}
}
