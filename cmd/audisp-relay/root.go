package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"audisp-relay/host"
	"audisp-relay/metrics"
	"audisp-relay/plugin"
	"audisp-relay/plugin/monitor"
	"audisp-relay/suggest"
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
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
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

// knownCommand refuses the name of a command that there is not: cobra gives the root what is
// none as an argument.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	near := suggest.Nearest(args[0], names)
	if i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, args[0]) }); near == "" && i >= 0 {
		near = names[i]
	}
	if near == "" {
		return usageError{fmt.Errorf("unknown command %q, there are %s", args[0], strings.Join(names, ", "))}
	}
	return usageError{fmt.Errorf("unknown command %q: did you mean %s?", args[0], near)}
}

// newHelpCmd is `audisp-relay help`. Unlike cobra's it fails for a command that there is not.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		Args:  wrongUsage(cobra.MaximumNArgs(1)),

		ValidArgsFunction: completeCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			if len(args) == 0 {
				return root.Help()
			}
			all := root.Commands()
			if i := slices.IndexFunc(all, func(c *cobra.Command) bool { return c.Name() == args[0] }); i >= 0 {
				all[i].InitDefaultHelpFlag()
				return all[i].Help()
			}
			return knownCommand(root, args)
		},
	}
}
