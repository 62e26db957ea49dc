package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"audisp-relay/plugin"
)

// fipsText says in one line whether this program runs in FIPS 140-3 mode, and with what.
func fipsText() string {
	if module := plugin.FIPSModule(); module != "" {
		return "FIPS 140-3 mode: on, Go Cryptographic Module " + module + "\n"
	}
	return "FIPS 140-3 mode: off\n"
}

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and whether cryptography is in FIPS mode",
		Args:  noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "audisp-relay %s\n%s", version, fipsText())
		},
	}
}
