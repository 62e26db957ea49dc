package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/plugin/replay"
	"audisp-relay/plugin/top"
)

// topOptions are the flags of top.
type topOptions struct {
	client        plugin.Client
	by            string
	rows          int
	asJSON, watch bool
}

func newTopCmd() *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top [FILE...]",
		Short: "Show which keys, programs, users and types make the volume, and a rule against the worst",
		Long: `top asks the running plugin, over the socket in its run_dir, which keys, programs,
users, units and types of records make the volume: in the last minute, and since its
start. With files it counts these instead: logs and captured streams, as replay reads
them. Below the tables are a rule and a filter against what makes a tenth or more, and
what the rule hides besides. It changes nothing.`,
		Args: anyArgs,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := o.check(files); err != nil {
				return usageError{err}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if len(files) > 0 {
				return topFiles(ctx, files, o)
			}
			return topLive(ctx, cmd.ErrOrStderr(), o)
		},
	}

	cmd.Flags().StringVar(&o.by, "by", "", "show only this `KIND`: "+strings.Join(top.By[:], ", "))
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.Flags().IntVarP(&o.rows, "rows", "n", 0, "show so many rows (default 5, with --by 20)")
	cmd.Flags().StringVar(&o.client.RunDir, "run-dir", "", "run_dir, a `DIR`, of the plugin's configuration (default: that of the plugin that runs)")
	cmd.Flags().BoolVar(&o.watch, "watch", false, "print again every two seconds")
	return cmd
}

func (o *topOptions) check(files []string) error {
	switch {
	case o.by != "" && !slices.Contains(top.By[:], o.by):
		return fmt.Errorf("--by %q: there are %s", o.by, strings.Join(top.By[:], ", "))
	case o.rows < 0:
		return errors.New("-n wants a number from 1 up")
	case o.watch && len(files) > 0:
		return errors.New("--watch goes with the running plugin, not with files")
	case o.rows == 0 && o.by != "":
		o.rows = 20
	case o.rows == 0:
		o.rows = 5
	}
	return nil
}

// topFiles counts stored streams.
func topFiles(ctx context.Context, files []string, o topOptions) error {
	exe, _ := os.Executable() // unknown: nothing is taken for the relay's own
	r, in, err := replay.Top(ctx, oldestFirst(files), exe)
	if err != nil {
		return err
	}
	if in.NoID > 0 {
		fmt.Fprintf(safe(os.Stderr), "%d records without id\n", in.NoID)
	}
	return showTop(r, o)
}

// topLive asks the running plugin, with --watch until ctx ends, also while it is away.
func topLive(ctx context.Context, notes io.Writer, o topOptions) error {
	locked, lockErr := host.RulesLocked()
	for {
		r, err := o.client.Top()
		switch {
		case err == nil:
			if lockErr == nil {
				r.LockRules(locked)
			}
			r.DropMissing(isFile)
			if err := showTop(r, o); err != nil {
				return err
			}
		case !o.watch && errors.Is(err, plugin.ErrNotRunning):
			fmt.Fprintf(notes, "audisp-relay: %v\n", err)
			return exitError{exitNotRunning}
		case !o.watch:
			return err
		default:
			fmt.Fprintf(notes, "audisp-relay: %v\n", err)
		}
		if !o.watch {
			return nil
		}

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

// isFile reports whether there is a file at path. It mounts nothing, and asks no server where the
// kernel knows the answer: any program may have chosen the path.
func isFile(path string) bool {
	var st unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// showTop prints what was asked for of a report.
func showTop(r *top.Report, o topOptions) error {
	for kind, rows := range r.By {
		if o.by != "" && kind != o.by {
			delete(r.By, kind)
			continue
		}
		if o.rows < len(rows) {
			r.By[kind] = rows[:o.rows]
		}
	}

	if o.by != "" {
		r.Remedies = slices.DeleteFunc(r.Remedies, func(m top.Remedy) bool { return m.By != o.by })
	}
	if o.asJSON {
		enc := json.NewEncoder(safe(os.Stdout))
		if !o.watch {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(r)
	}

	text := ""
	if o.watch && isTerminal(os.Stdout) && hasCursor() {
		text = topScreen(r, terminalWidth(), terminalHeight())
		fmt.Print("\x1b[H\x1b[2J")
	} else {
		text = topText(r)
	}
	_, err := io.WriteString(safe(os.Stdout), text)
	return err
}
