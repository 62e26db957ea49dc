package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/fleet"
)

// Exit codes of fleet besides 0, and 2 for a command line that makes no sense.
const (
	exitFinding = 1
	exitBlind   = 3 // nothing could be said: no connection, no permission, no stream
)

const defaultNATS = "nats://127.0.0.1:4222"

// newFleetCmd is `audisp-relay fleet`.
func newFleetCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Verify and read what the relays of many hosts have published to NATS JetStream",
		Long: `fleet works on the streams to which the relays of a fleet publish (sinks of type nats).
It runs anywhere, needs no relay and changes nothing but with init --apply.

  status  says of each host by its last messages whether its trail is complete
  verify  reads the header of every batch for that, too
  read    prints records or events of hosts
  init    shows or makes the streams, and what users have to be permitted`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("fleet: name what to do: status, verify, read or init")}
		},
	}
	cmd.AddCommand(newFleetLookCmd(false), newFleetLookCmd(true), newFleetReadCmd(), newFleetInitCmd())
	return cmd
}

// addAccess adds the options that say how to reach the engine.
func addAccess(cmd *cobra.Command, a *fleet.Access) {
	flags := cmd.Flags()
	flags.StringVar(&a.URL, "nats", defaultNATS, "`URL` of a server, several with commas")
	flags.StringVar(&a.Creds, "creds", "", "credentials `FILE` (JWT and seed)")
	flags.StringVar(&a.NKey, "nkey", "", "`FILE` with an nkey seed")
	flags.StringVar(&a.User, "user", "", "`NAME` of a user")
	flags.StringVar(&a.PasswordFile, "password-file", "", "`FILE` with the password of --user in its first line")
	flags.StringVar(&a.CA, "tls-ca", "", "PEM `FILE` of certificates that sign the server's (default: the system's)")
	flags.StringVar(&a.Cert, "tls-cert", "", "PEM `FILE` with the certificate to show to the server")
	flags.StringVar(&a.Key, "tls-key", "", "PEM `FILE` with its key")
}

// failBlind prints an error that keeps the command from judging anything, and returns its exit code.
func failBlind(cmd *cobra.Command, err error) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "audisp-relay: %v\n", err)
	return exitError{exitBlind}
}

// lookFlags are what the command lines of status and verify say.
type lookFlags struct {
	fleet.Access
	inventory string
	since     string
	behind    time.Duration
	json      bool
	findings  bool
	listen    string
	every     time.Duration
}

// newFleetLookCmd is `audisp-relay fleet status`, or with full `fleet verify`.
func newFleetLookCmd(full bool) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{Use: "status", Short: "Say of each host by its last messages whether its trail is complete"}
	how := `status goes by the last checkpoint and the last batch of each host.`
	if full {
		cmd.Use, cmd.Short = "verify", "Say of each host by all batches whether its trail is complete"
		how = `verify reads the header of every batch in order, not the records, and what the stream
itself counts: it also finds holes, batches that were deleted, and records that came twice.`
	}
	cmd.Long = how + `

A line for each sink of a host says its state: complete, ended, behind, lost, silent,
never seen, state lost, shared id, engine rolled back, hole. All but the first two are
findings. Exit code 0: no finding; 1: one at least; 3: nothing could be said.`
	cmd.Args = noArgs

	addAccess(cmd, &f.Access)
	flags := cmd.Flags()
	flags.StringVar(&f.inventory, "inventory", "", "`FILE` of the hosts that there should be: a machine-id and a name a line, or one of them")
	flags.StringVar(&f.since, "since", "", "leave out what was before `WHEN`: 7d, today, 2026-01-31, or RFC 3339")
	flags.DurationVar(&f.behind, "behind", time.Minute, "`TIME` that the records of a host may wait on it")
	flags.BoolVar(&f.json, "json", false, "an object a line, the last one the summary")
	flags.BoolVar(&f.findings, "findings", false, "leave out hosts without a finding")
	flags.StringVar(&f.listen, "listen", "", "answer Prometheus at this `ADDRESS`, /metrics, until ended")
	flags.DurationVar(&f.every, "every", 0, "look again every `TIME` until ended (1m with --listen)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.listen != "" && f.every == 0 {
			f.every = time.Minute
		}
		if f.every < 0 || (f.every > 0 && f.every < time.Second) || f.behind < 0 {
			return usageError{errors.New("--every wants a second at least, --behind a time from 0 up")}
		}
		options := fleet.Options{Full: full, Behind: f.behind}
		if f.since != "" {
			var err error
			if options.Since, err = parseWhen("--since", f.since, time.Now()); err != nil {
				return usageError{err}
			}
		}
		return f.run(cmd, options)
	}
	return cmd
}

// run looks once, or again and again.
func (f *lookFlags) run(cmd *cobra.Command, options fleet.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.inventory != "" {
		file, err := os.Open(f.inventory)
		if err != nil {
			return failBlind(cmd, fmt.Errorf("--inventory: %w", err))
		}
		defer file.Close()
		if options.Inventory, err = fleet.ReadInventory(f.inventory, file); err != nil {
			return failBlind(cmd, err)
		}
	}
	metrics := fleet.NewMetrics()
	if f.listen != "" {
		end, err := metrics.Serve(f.listen)
		if err != nil {
			return failBlind(cmd, err)
		}
		defer end()
	}

	engine, err := fleet.Dial(f.Access)
	if err != nil {
		return failBlind(cmd, err)
	}
	defer engine.Close()
	v := fleet.NewVerifier(engine, options)
	err = f.look(ctx, cmd, v, metrics)
	for f.every > 0 {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(f.every):
		}
		if next := f.look(ctx, cmd, v, metrics); ctx.Err() == nil {
			err = next
		}
	}
	return err
}

// look looks once and prints it. Its error is the exit code.
func (f *lookFlags) look(ctx context.Context, cmd *cobra.Command, v *fleet.Verifier, metrics *fleet.Metrics) error {
	out := bufio.NewWriterSize(cmd.OutOrStdout(), tailBuffer)
	sum, err := v.Look(ctx, func(h fleet.Host) error {
		metrics.Add(h)
		if f.findings && !h.State.IsFinding() {
			return nil
		}
		return f.write(out, &h)
	})

	metrics.Finish(sum)
	if err == nil {
		err = f.write(out, sum)
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return failBlind(cmd, err)
	}
	if sum.Findings > 0 {
		return exitError{exitFinding}
	}
	return nil
}

// write writes a host or the summary.
func (f *lookFlags) write(out io.Writer, what interface {
	WriteText(io.Writer) error
	WriteJSON(io.Writer) error
}) error {
	if f.json {
		return what.WriteJSON(out)
	}
	return what.WriteText(out)
}
