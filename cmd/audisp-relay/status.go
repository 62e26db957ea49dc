package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/config"
	"audisp-relay/plugin"
)

// Exit codes of status besides 0 and 1. 3 is what init scripts say of a service that does
// not run (LSB).
const (
	exitNotRunning = 3
	exitDegraded   = 4
)

func newStatusCmd() *cobra.Command {
	var asJSON, watch bool
	var dir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask the running plugin for its state and its balance of records",
		Long: `status asks the running plugin, over the socket in its run_dir, for its state and
its balance of records.

Exit code 0 when it runs and all is well; 3 when it does not run; 4 when it runs and
something needs attention: a sink is degraded or suspended, the configuration has
errors, or its own log cannot be written. With --json it is 0 when the plugin answers:
"degraded" lists what needs attention. --watch continues while the plugin is away.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for {
				r, err := plugin.Query(dir)
				switch {
				case err == nil:
					err = printReport(r, asJSON, watch)
				case watch:
					fmt.Fprintf(cmd.ErrOrStderr(), "audisp-relay: %v\n", err)
					err = nil
				case errors.Is(err, plugin.ErrNotRunning):
					fmt.Fprintf(cmd.ErrOrStderr(), "audisp-relay: %v\n", err)
					return exitError{exitNotRunning}
				}
				switch {
				case err != nil:
					return err
				case watch:
					time.Sleep(2 * time.Second)
				case !asJSON && len(r.Degraded) > 0:
					return exitError{exitDegraded}
				default:
					return nil
				}
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "print again every two seconds")
	cmd.Flags().StringVar(&dir, "run-dir", config.DefaultRunDir, "run_dir of the plugin's configuration")
	return cmd
}

func printReport(r *plugin.Report, asJSON, watch bool) error {
	out := safe(os.Stdout)
	if asJSON {
		enc := json.NewEncoder(out)
		if !watch {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(r)
	}
	if watch {
		fmt.Print("\x1b[H\x1b[2J")
	}
	return r.WriteText(out)
}

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		Run:   func(*cobra.Command, []string) { fmt.Println("audisp-relay", version) },
	}
}
