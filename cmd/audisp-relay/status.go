package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/plugin"
	"audisp-relay/plugin/live"
	"audisp-relay/plugin/overview"
)

// Exit codes of status besides 0 and 1. 3 is what init scripts say of a service that does
// not run (LSB).
const (
	exitNotRunning = 3
	exitDegraded   = 4
	exitLosing     = 5
)

// watchEvery is the time between two reports of --watch without a terminal.
const watchEvery = 2 * time.Second

// status is how the relay's state is asked for and shown.
type status struct {
	plugin.Client
	asJSON, all, watch bool
}

func newStatusCmd() *cobra.Command {
	var s status
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the running plugin is well: rates, queues, losses, clients",
		Long: `status asks the running plugin, over the socket in its run_dir, and says first how
it is:

  ok        everything works                                       exit code 0
  degraded  something needs attention: a sink is degraded or
            suspended, the configuration has errors, the relay's
            own log cannot be written, state_dir cannot be used,
            reading waits for a sink                               exit code 4
  losing    records were lost within the last five minutes         exit code 5
  down      the plugin does not run                                exit code 3

Exit code 1 says that it could not be asked: only root may. Then come the input, a
row for each sink, losses of the last day with what to do, and clients of sockets.

Without --run-dir the plugin is found by itself. With --json the exit code is 0 when
the plugin answers. --watch is a live view on a terminal (? shows its keys), elsewhere
a report every two seconds; it continues while the plugin is away.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.asJSON && s.all {
				return usageError{errors.New("--json has all that --all has: give one of them")}
			}
			if s.watch {
				return s.follow(cmd)
			}
			return s.once(cmd)
		},
	}
	cmd.Flags().BoolVar(&s.all, "all", false, "print every figure, a line key = value each")
	cmd.Flags().BoolVar(&s.asJSON, "json", false, "print JSON (docs/status.md)")
	cmd.Flags().BoolVar(&s.watch, "watch", false, "watch it live")
	cmd.Flags().StringVar(&s.RunDir, "run-dir", "", "run_dir, a `DIR`, of the plugin's configuration (default: that of the plugin that runs)")
	cmd.MarkFlagDirname("run-dir")
	return cmd
}

// once prints one report, and is the exit code of the state.
func (s *status) once(cmd *cobra.Command) error {
	r, err := s.Report()
	switch {
	case errors.Is(err, plugin.ErrNotRunning) && s.asJSON:
		fmt.Fprintf(cmd.ErrOrStderr(), "audisp-relay: %v\n", err)
		return exitError{exitNotRunning}
	case errors.Is(err, plugin.ErrNotRunning):
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", overview.Down, err)
		return exitError{exitNotRunning}
	case err != nil:
		return err
	}
	if err := s.print(cmd, r); err != nil || s.asJSON {
		return err
	}

	switch overview.State(r) {
	case plugin.StateOK:
		return nil
	case plugin.StateLosing:
		return exitError{exitLosing}
	}
	return exitError{exitDegraded}
}

// print writes a report in the form that was asked for.
func (s *status) print(cmd *cobra.Command, r *plugin.Report) error {
	out := cmd.OutOrStdout()
	switch {
	case s.asJSON:
		enc := json.NewEncoder(out)
		if !s.watch {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(r)
	case s.all:
		return r.WriteText(out)
	}
	return overview.Write(out, r, terminalWidth())
}

// follow is --watch: the live view where there is a terminal, else report after report.
func (s *status) follow(cmd *cobra.Command) error {
	terminal := isTerminal(os.Stdout) && isTerminal(os.Stdin) && hasCursor() && isUTF8() // its graphs are no ASCII
	if terminal && !s.asJSON && !s.all {
		return live.Run(cmd.Context(), s.Report, os.Stdin, os.Stdout, os.Getenv("NO_COLOR") == "")
	}

	for first := true; ; first = false {
		if !first {
			time.Sleep(watchEvery)
			if !s.asJSON {
				fmt.Fprintln(cmd.OutOrStdout())
			}
		}
		r, err := s.Report()
		if err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "audisp-relay: %v\n", err)
			continue
		}
		if err := s.print(cmd, r); err != nil {
			return err
		}
	}
}
