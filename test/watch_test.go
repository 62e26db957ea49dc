package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// screen is a terminal of tmux, with a shell in it.
type screen struct {
	t      *testing.T
	socket string
}

func openScreen(t *testing.T, dir string, width, height int) *screen {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	s := &screen{t, filepath.Join(dir, "tmux.sock")}
	s.tmux("new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), "env", "PS1=$ ", "ENV=", "/bin/sh")
	t.Cleanup(func() { s.tmux("kill-server") })
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-f", "/dev/null", "-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=screen-256color", "NO_COLOR=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// text is what the terminal shows.
func (s *screen) text() string { return s.tmux("capture-pane", "-p") }

// shows waits until the terminal shows text.
func (s *screen) shows(text string) {
	s.t.Helper()
	s.matches(regexp.QuoteMeta(text))
}

func (s *screen) matches(pattern string) {
	s.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	shown := ""
	eventually(s.t, "the terminal", func() error {
		if shown = s.text(); !re.MatchString(shown) {
			return fmt.Errorf("it does not show %q:\n%s", pattern, shown)
		}
		return nil
	})
}

// press sends keys, as tmux names them.
func (s *screen) press(keys ...string) { s.tmux(append([]string{"send-keys"}, keys...)...) }

// enter types a command line.
func (s *screen) enter(line string) {
	s.tmux("send-keys", "-l", line)
	s.press("Enter")
}

// programRecords returns events of one whole record each, of which nothing looks truncated.
func programRecords(first, events int) []byte {
	var b bytes.Buffer
	for serial := first; serial < first+events; serial++ {
		fmt.Fprintf(&b, "type=USER_CMD msg=audit(%d.000:%d): pid=1 uid=0 auid=0 ses=1 msg='op=x res=success'\n", time.Now().Unix(), serial)
	}
	return b.Bytes()
}

// TestWatchOnATerminal: `status --watch` at 80x24 shows a relay at work, follows keys and a
// resized terminal, survives a restart of the relay and names that are hostile to a terminal, and
// gives the terminal back when a signal ends it.
func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	const config = "[recovery]\nenabled = false\n[sinks.archive]\ntype = \"file\"\npath = \"DIR/out\"\n[sinks.live]\ntype = \"unix\"\npath = \"DIR/events.sock\"\n"
	r := start(t, dir, config, nil)
	r.report()
	s := openScreen(t, dir, 80, 24)
	s.enter("stty -g > " + dir + "/before")
	s.enter(binary + " status --watch --run-dir " + dir + "/run; echo ended with $?")
	s.matches(`^ok: 2 sinks, nothing lost within a day$`)
	s.matches(`^SINK +STATE +IN/S OUT/S QUEUED OLDEST SPOOLED ACK P99 LOST 1H +24H$`)
	serial := 1
	until(t, "a graph of the input", func() bool {
		r.write(programRecords(serial, 20))
		serial += 20
		shown := s.text()
		return regexp.MustCompile(`(?m)^archive +ok +[1-9]`).MatchString(shown) && regexp.MustCompile(`(?m)^input .*█`).MatchString(shown)
	})

	s.press("s")
	s.shows("by state ↓")
	s.press("/", "a", "r", "c", "Enter")
	until(t, "the filter leaves one row", func() bool { return !regexp.MustCompile(`(?m)^live `).MatchString(s.text()) })
	s.press("Escape")
	s.matches(`^live `)
	s.press("?")
	s.shows("99 of 100 records")
	s.press("?")

	s.showsHostileClient(dir)

	s.tmux("resize-window", "-x", "120", "-y", "30")
	until(t, "30 lines", func() bool {
		shown := strings.Split(strings.TrimSuffix(s.text(), "\n"), "\n")
		return len(shown) == 30 && strings.Contains(shown[29], "q quit")
	})

	r.end()
	s.matches(`^down since `)
	s.matches(`^archive `)
	r = start(t, dir, config, nil)
	s.matches(fmt.Sprintf(`^relay +pid %d `, r.report().Pid))
	s.matches(`^ok: 2 sinks`)

	s.tmux("resize-window", "-x", "80", "-y", "24")
	killWatch(t, dir)
	s.shows("ended with 0")
	s.shows("stty -g") // what stood there before
	s.enter("stty -g > " + dir + "/after; echo compa''red")
	s.shows("compared")
	sameFile(t, dir+"/after", mustRead(t, dir+"/before"))
	r.end()
}

// showsHostileClient connects a client whose name would clear the screen, and waits for it to be
// listed.
func (s *screen) showsHostileClient(dir string) {
	t := s.t
	t.Helper()
	hostile := filepath.Join(dir, "a\x1b[2Jb")
	if err := os.Symlink(binary, hostile); err != nil {
		t.Fatal(err)
	}
	client := exec.Command(hostile, "tail", dir+"/events.sock")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	s.shows(`a\x1b[2Jb`)
	client.Process.Kill()
	client.Wait()
}

// killWatch sends SIGTERM to the status that watches the relay in dir.
func killWatch(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		cmdline, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(cmdline), "\x00status\x00--watch\x00--run-dir\x00"+dir+"/run\x00") {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(name, "/proc/%d/cmdline", &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no status --watch runs")
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestWatchWithoutATerminal: into a pipe, and on a terminal that cannot move its cursor, there is
// report after report without escape sequences; and status finds a relay whose run_dir is not the
// default one, or says which there are.
func TestWatchWithoutATerminal(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, "[recovery]\nenabled = false\n[sinks.archive]\ntype = \"file\"\npath = \"DIR/out\"\n", nil)
	r.report()
	eventually(t, "status without --run-dir", func() error { // another test's relay may end while it is looked at
		out, err := exec.Command(binary, "status").CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil && strings.HasPrefix(string(out), "ok: 1 sink"):
		case errors.As(err, &exit) && exit.ExitCode() == 1 && strings.Contains(string(out), "--run-dir "+dir+"/run"): // another test's runs, too
		default:
			if conn, err := net.Dial("unix", "/run/audisp-relay/control.sock"); err == nil { // this machine's own comes first
				conn.Close()
				break
			}
			return fmt.Errorf("%v\n%s", err, out)
		}
		return nil
	})

	s := openScreen(t, dir, 80, 40)
	s.enter("TERM=dumb " + binary + " status --watch --run-dir " + dir + "/run")
	s.matches(`(?s)^ok: 1 sink.*^archive .*^ok: 1 sink.*^archive `)
	s.press("C-c")
	s.enter(binary + " status --watch --run-dir " + dir + "/run > " + dir + "/piped")
	until(t, "two reports", func() bool {
		data, err := os.ReadFile(dir + "/piped")
		return err == nil && strings.Count(string(data), "ok: 1 sink") >= 2
	})
	s.press("C-c")
	if data := mustRead(t, dir+"/piped"); strings.ContainsRune(string(data), '\x1b') {
		t.Errorf("escape sequences in a pipe: %q", data)
	}
	r.end()
}
