// Package live is the terminal view of `status --watch`: the state, graphs of what comes in and
// of what waits, a row for each sink, losses and clients, asked for once a second.
//
// It needs a terminal that can move its cursor. It takes the whole screen, and gives the
// terminal back as it was, also after a signal or a panic. All goroutines are bubbletea's, which
// waits for them, but for a question that is not answered when the view ends and for the second
// between two questions; the model belongs to its event loop.
package live

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"audisp-relay/plugin"
)

// Ask asks the relay for its report. It is called from one goroutine at a time, and may block
// for some seconds.
type Ask func() (*plugin.Report, error)

// Run shows what ask returns on the terminal out, and reads keys from the terminal in, until q,
// ctrl-c, a signal or the end of ctx ends it. With colour false it uses none, only bold and the
// like.
func Run(ctx context.Context, ask Ask, in, out *os.File, colour bool) error {
	profile := colorprofile.ANSI // not detected: that runs tmux
	if !colour {
		profile = colorprofile.ASCII
	}
	p := tea.NewProgram(newModel(ask, time.Now), tea.WithInput(in), tea.WithOutput(out),
		tea.WithColorProfile(profile), tea.WithFPS(20), tea.WithoutSignalHandler())

	// bubbletea's own handler takes fewer signals, and then does not wait for its goroutines.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	defer context.AfterFunc(ctx, p.Quit)()
	_, err := p.Run()
	return err
}
