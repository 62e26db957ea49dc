package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"audisp-relay/host"
	"audisp-relay/metrics"
	"audisp-relay/plugin"
	"audisp-relay/plugin/monitor"
)

// newRootCmd is what auditd starts: without a subcommand the program is the
// plugin.
func newRootCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "audisp-relay",
		Short: "Relay audit records from auditd to sockets, files, programs and servers",
		Long: `audisp-relay is a plugin of the Linux audit daemon. Without a command it reads
the dispatcher stream on stdin and delivers it to the sinks of its configuration.`,
		Version:       version,
		Args:          knownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			if pid := host.RelayAbove(); pid != 0 && !monitor.IsWorker() {
				return fmt.Errorf("started by a program sink of audisp-relay (pid %d), which would repeat without end: name another program in path or args of that sink", pid)
			}
			plugin.CloseInherited()
			p := plugin.New(plugin.Options{Config: path, Version: version, Binary: ownPath(), Metrics: metrics.New})
			err := p.Run()
			if errors.Is(err, plugin.ErrRenew) {
				return p.Renew()
			}
			return err
		},
	}

	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n" + fipsText())
	cmd.CompletionOptions.DisableDefaultCmd = true // ours lacks shells that Linux does not have
	cmd.Flags().StringVarP(&path, "config", "c", "", "`FILE`, or a directory that holds audisp-relay.toml (default /etc/audit/audisp-relay.toml)")
	cmd.SetFlagErrorFunc(wrongFlag)
	cmd.SetHelpCommand(newHelpCmd())
	cmd.AddCommand(newCheckCmd(), newDoctorCmd(), newFleetCmd(), newReplayCmd(), newSigmaCmd(), newSpoolCmd(), newStatusCmd(), newTailCmd(), newTopCmd(), newVerifyCmd(), newInstallCmd(), newUninstallCmd(), newVersionCmd(), newCompletionCmd())
	addCompletions(cmd)
	return cmd
}

// ownPath is where a newer version of this program will be: auditd starts plugins by their path, which may be
// a link that an upgrade changes. It is empty where that is not known; then only an upgrade is less smooth.
func ownPath() string {
	if filepath.IsAbs(os.Args[0]) {
		return os.Args[0]
	}
	path, _ := os.Executable()
	return path
}
