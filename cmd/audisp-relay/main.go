// Command audisp-relay is a plugin of the Linux audit daemon: it reads the
// dispatcher stream on stdin and delivers it to sockets, files, syslog and
// child programs.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the build (-ldflags "-X main.version=...").
var version = "dev"

// exitError ends the program with a code when all there is to say has been
// said already.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// usageError is a command line that makes no sense: exit code 2.
type usageError struct{ error }

// wrongUsage makes what check refuses a usageError.
func wrongUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

var noArgs = wrongUsage(cobra.NoArgs)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRootCmd()
	root.SetArgs(args)
	root.SetOut(safe(os.Stdout))
	root.SetErr(safe(os.Stderr))
	err := root.Execute()
	code, exits := errors.AsType[exitError](err)
	_, misused := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return 0
	case exits:
		return code.code
	case misused:
		fmt.Fprintf(safe(os.Stderr), "audisp-relay: %s; see audisp-relay --help\n", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " "))
		return 2
	default:
		fmt.Fprintf(safe(os.Stderr), "audisp-relay: %v\n", err)
		return 1
	}
}
