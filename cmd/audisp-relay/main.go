// Command audisp-relay is a plugin of the Linux audit daemon: it reads the
// dispatcher stream on stdin and delivers it to sockets, files, syslog and
// child programs.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the build (-ldflags "-X main.version=...").
var version = "dev"

// exitError ends the program with a code when all there is to say has been
// said already.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRootCmd()
	root.SetArgs(args)
	err := root.Execute()
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return code.code
	default:
		fmt.Fprintf(os.Stderr, "audisp-relay: %v\n", err)
		return 1
	}
}

func newRootCmd() *cobra.Command {
	return &cobra.Command{
		Use:           "audisp-relay",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
}
