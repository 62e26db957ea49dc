package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/plugin"
)

// newCheckCmd is "audisp-relay check": every error of a config on stderr, one
// line each, and exit code 1; or "FILE: ok" on stdout.
func newCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE|DIR]",
		Short: "Validate a configuration file and report every error",
		Long: "check reads a config file (default " + config.DefaultFile + "; of a directory, the audisp-relay.toml\n" +
			"in it) and prints every error as file:line: key: what is wrong, what is allowed.\n" +
			"It also looks whether what the file names is there and may be used: accounts,\n" +
			"directories, programs, sockets, certificates and keys. What is missing and may still\n" +
			"come is a warning.\n" +
			"Exit code 0 when the file is fine, warnings or not, 1 when it is not.",
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := config.FileOf(strings.Join(args, ""))
			c, err := checkFile(cmd.ErrOrStderr(), path)
			if err != nil {
				return exitError{1}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", path, count(len(c.Sinks), "sink"))
			return nil
		},
	}
}

// checkFile reads a config file, compares it with the machine, and prints what is wrong.
func checkFile(w io.Writer, path string) (*config.Config, error) {
	c, warnings, err := config.Load(path, host.AuditLogs(os.Getppid())...)
	if c != nil { // what Load has found is a list then, too
		more, missing := config.Survey(c)
		warnings = append(warnings, more...)
		if others, ok := errors.AsType[config.Errors](missing); ok {
			errs, _ := errors.AsType[config.Errors](err)
			err = append(errs, others...)
		}
		if why := plugin.NotForWorker(c); why != nil && os.Geteuid() == 0 {
			warnings = append(warnings, fmt.Sprintf("the relay will run in one process, which has root's rights: %v", why))
		}
	}

	for _, text := range warnings {
		fmt.Fprintln(w, "warning:", text)
	}
	if err != nil {
		reportConfigError(w, err)
	}
	return c, err
}

// reportConfigError prints the errors of a file as they are, for editors to
// jump to, and others with the program's name.
func reportConfigError(w io.Writer, err error) {
	errs, ok := errors.AsType[config.Errors](err)
	switch {
	case ok:
		for _, e := range errs {
			fmt.Fprintln(w, e)
			if e.Shown != "" {
				fmt.Fprintln(w, e.Shown)
			}
		}
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(w, "audisp-relay: %v: without it the plugin runs on defaults; `audisp-relay install` writes one\n", err)
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprintf(w, "audisp-relay: %v: run this as root\n", err)
	default:
		fmt.Fprintf(w, "audisp-relay: %v\n", err)
	}
}
