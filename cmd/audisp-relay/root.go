package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"audisp-relay/host"
	"audisp-relay/metrics"
	"audisp-relay/plugin"
)

// newRootCmd is what auditd starts: without a subcommand the program is the
// plugin.
func newRootCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "audisp-relay",
		Short: "Relay audit records from auditd to sockets, files, syslog and programs",
		Long: `audisp-relay is a plugin of the Linux audit daemon. Without a command it reads
the dispatcher stream on stdin and delivers it to the sinks of its configuration.`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			if pid := host.RelayAbove(); pid != 0 {
				return fmt.Errorf("started by a program sink of audisp-relay (pid %d), which would repeat without end: name another program in path or args of that sink", pid)
			}
			plugin.CloseInherited()
			return plugin.New(plugin.Options{Config: path, Version: version, Metrics: metrics.New}).Run()
		},
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.Flags().StringVarP(&path, "config", "c", "", "`FILE`, or a directory that holds audisp-relay.toml (default /etc/audit/audisp-relay.toml)")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddCommand(newCheckCmd(), newDoctorCmd(), newReplayCmd(), newSpoolCmd(), newStatusCmd(), newTailCmd(), newVerifyCmd(), newInstallCmd(), newUninstallCmd(), newVersionCmd())
	return cmd
}
