package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/fleet"
	"audisp-relay/fleet/wire"
)

// hostPlaceholder is what a template has in place of a machine-id.
const hostPlaceholder = "MACHINE_ID"

// maxDays is how long records can be kept: a hundred years. From 292 on a time.Duration overflows.
const maxDays = 36500

// newFleetInitCmd is `audisp-relay fleet init`.
func newFleetInitCmd() *cobra.Command {
	var access fleet.Access
	layout := fleet.Layout{Replicas: 3, MaxBytes: -1}
	var days int
	var host string
	var asJSON, apply bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Show, or make, the streams of a fleet and the permissions of its users",
		Long: `init prints the streams, the permissions of a host and those of a reader, for review and
for the configuration of the server; with --json as one object, whose streams
` + "`nats stream add --config FILE`" + ` takes. With --apply it makes the streams that are
missing. It never changes one that is there: exit code 1 where one differs.`,
		Args: noArgs,
	}

	addAccess(cmd, &access)
	flags := cmd.Flags()
	flags.IntVar(&layout.Partitions, "partitions", 0, "spread records over so many streams, `N` (from about 1000 hosts on: 32)")
	flags.IntVar(&layout.Replicas, "replicas", layout.Replicas, "`N` copies of each stream")
	flags.IntVar(&days, "max-age", 90, "keep records for so many `DAYS`")
	flags.Int64Var(&layout.MaxBytes, "max-bytes", layout.MaxBytes, "let a stream of records have so many `BYTES` (-1: what the server has)")
	flags.StringVar(&host, "host", hostPlaceholder, "show the permissions of the host with this machine-`ID`")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.BoolVar(&apply, "apply", false, "make the streams that are missing")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if days < 1 || days > maxDays {
			return usageError{fmt.Errorf("--max-age: want 1 to %d days", maxDays)}
		}
		layout.MaxAge = time.Duration(days) * 24 * time.Hour
		if host != hostPlaceholder && !wire.ValidHost(host) {
			return usageError{errors.New("--host: want a machine-id, 32 hexadecimal digits (cat /etc/machine-id)")}
		}
		if err := layout.Check(); err != nil {
			return usageError{err}
		}
		switch {
		case apply:
			return applyLayout(cmd, access, layout)
		case asJSON:
			return writeLayoutJSON(cmd.OutOrStdout(), layout, host)
		}
		return writeLayout(cmd.OutOrStdout(), layout, host)
	}
	return cmd
}

// applyLayout makes the streams and says which.
func applyLayout(cmd *cobra.Command, access fleet.Access, layout fleet.Layout) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	engine, err := fleet.Dial(access)
	if err != nil {
		return failBlind(cmd, err)
	}
	defer engine.Close()

	made, differ, err := engine.Apply(ctx, layout)
	out := cmd.OutOrStdout()
	for _, name := range made {
		fmt.Fprintf(out, "made stream %s\n", name)
	}
	for _, text := range differ {
		fmt.Fprintf(out, "%s; left as it is\n", text)
	}

	switch {
	case err != nil:
		return failBlind(cmd, err)
	case len(differ) > 0:
		return exitError{exitFinding}
	case len(made) == 0:
		fmt.Fprintln(out, "all streams are there, as wanted")
	}
	return nil
}

// writeLayoutJSON writes streams, mappings and permissions as one object.
func writeLayoutJSON(w io.Writer, layout fleet.Layout, host string) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false) // > is in most permissions
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{
		"streams": layout.Streams(), "mappings": layout.Mappings(),
		"permissions": map[string]fleet.Permission{"host": layout.HostPermission(host), "reader": layout.ReaderPermission()},
	})
}

// writeLayout writes the same as a piece of a server's configuration with comments.
func writeLayout(w io.Writer, layout fleet.Layout, host string) error {
	var b strings.Builder
	b.WriteString("# For the configuration of every nats-server. Its block jetstream has to have\n#   sync_interval: always\n")
	b.WriteString("# since an acknowledgement is worth what the disk has.\n\n")
	for from, to := range layout.Mappings() {
		fmt.Fprintf(&b, "# In the account of the relays: which stream a host's records go to.\nmappings { %q: %q }\n\n", from, to)
	}
	b.WriteString("authorization {\n  users = [\n")
	writePermission(&b, "a host; give each a user, nkey or certificate of its own", host, layout.HostPermission(host))
	writePermission(&b, "whoever runs fleet status, verify and read", "reader", layout.ReaderPermission())
	b.WriteString("  ]\n}\n\n")
	b.WriteString("# The streams: audisp-relay fleet init --apply makes them with the same options, as a user\n# who may; or nats stream add --config FILE, a FILE for each.\n")

	for _, s := range layout.Streams() {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "# %s\n", text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writePermission writes one user.
func writePermission(b *strings.Builder, who, user string, p fleet.Permission) {
	quoted := func(list []string) string {
		var words []string
		for _, s := range list {
			words = append(words, strconv.Quote(s))
		}
		return strings.Join(words, "\n          ")
	}
	fmt.Fprintf(b, "    # %s\n    { user: %q, password: \"$2a$...\", permissions: {\n", who, user)
	fmt.Fprintf(b, "        publish: { allow: [\n          %s\n        ] }\n", quoted(p.Publish))
	fmt.Fprintf(b, "        subscribe: { allow: [\n          %s\n        ] }\n    } }\n", quoted(p.Subscribe))
}
