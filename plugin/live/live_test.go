package live

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/plugin"
	"audisp-relay/test/lab"
)

var colours = regexp.MustCompile(`\x1b\[[0-9;]*[34][0-9]m`)

// TestTerminalIsGivenBack: however the view ends, settings and screen of the terminal are as before.
func TestTerminalIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(master *os.File){
		"q":       func(master *os.File) { master.WriteString("q") },
		"ctrl-c":  func(master *os.File) { master.WriteString("\x03") },
		"SIGTERM": func(*os.File) { syscall.Kill(os.Getpid(), syscall.SIGTERM) },
		"SIGINT":  func(*os.File) { syscall.Kill(os.Getpid(), syscall.SIGINT) },
		"SIGHUP":  func(*os.File) { syscall.Kill(os.Getpid(), syscall.SIGHUP) },
		"SIGQUIT": func(*os.File) { syscall.Kill(os.Getpid(), syscall.SIGQUIT) },
	} {
		t.Run(name, func(t *testing.T) {
			master, slave := lab.OpenTerminal(t)
			before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				ended <- Run(context.Background(), func() (*plugin.Report, error) { return readReport(t), nil }, slave, slave, false)
			}()
			shown := readUntil(t, master, "loghost")
			end(master)
			// Read on: the last output may not fit into what the kernel keeps.
			shown = append(shown, readUntil(t, master, "\x1b[?1049l")...)
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it does not end")
			}
			after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("settings were %+v, are %+v, %v", before, after, err)
			}
			if colour := colours.Find(shown); colour != nil {
				t.Errorf("%q although there should be no colours", colour)
			}
		})
	}
}

// readUntil reads what is written to a terminal until that has text.
func readUntil(t *testing.T, master *os.File, text string) (all []byte) {
	t.Helper()
	found := make(chan []byte, 1)
	go func() {
		var all []byte
		buf := make([]byte, 4096)
		for !bytes.Contains(all, []byte(text)) {
			n, err := master.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil {
				break
			}
		}
		found <- all
	}()
	select {
	case all = <-found:
		return all
	case <-time.After(time.Minute):
		t.Fatalf("the terminal does not show %q", text)
		return nil
	}
}
