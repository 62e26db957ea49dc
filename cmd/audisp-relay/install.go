package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	dropin "audisp-relay/audisp-plugins.d"
	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/host/broker"
	"audisp-relay/packaging"
	"audisp-relay/plugin"
)

// newInstallCmd is `audisp-relay install`.
func newInstallCmd() *cobra.Command {
	var i host.Installer
	var upgrade, imports, prints bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the auditd drop-in and reload auditd",
		Long: `Checks the configuration, or writes one if there is none, puts audisp-relay.conf
into the plugin directory of the running auditd, with the right owner and mode,
makes auditd reload and checks that it really runs the plugin, once and with the
settings that are asked for. Can be repeated: says "unchanged" if all is as wanted.
Undo it with ` + "`audisp-relay uninstall`" + `.

With --import the configuration that it writes does what auditd's other plugins are
configured to do. What cannot be carried over is said.

Exit code 0 when all is as wanted, 1 when it is not and the message says why: a
configuration with errors, a second file that starts the relay, something that
others than root can write, an auditd that needs a restart.`,
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&i.Binary, "binary", "", "program that auditd shall start, a `FILE` (default: this one)")
	flags.StringVar(&i.Config, "config", host.DefaultConfig, "the relay's configuration")
	flags.StringVar(&i.Format, "format", "string", "what auditd writes to the plugin: string or binary")
	flags.BoolVar(&upgrade, "upgrade", false, "only make auditd run the program that has taken the place of the running one")
	flags.BoolVar(&imports, "import", false, "take over what auditd's other plugins are configured to do")
	flags.BoolVar(&prints, "print", false, "with --import: print that configuration, and change nothing")
	addAuditdFlags(cmd, &i)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case i.Format != "string" && i.Format != "binary":
			return usageError{fmt.Errorf("--format %q: want string or binary", i.Format)}
		case upgrade && (flags.Changed("config") || flags.Changed("format") || imports):
			return usageError{errors.New("--upgrade keeps configuration and format: leave --config, --format and --import out, or --upgrade")}
		case prints && !imports:
			return usageError{errors.New("--print shows what --import would write: add --import")}
		}
		if err := prepare(cmd, &i); err != nil {
			return err
		}
		if imports {
			i.Import = importer(cmd.ErrOrStderr(), &i, prints)
		}
		if prints {
			i.Say = sayOn(cmd.ErrOrStderr())
			return printImport(cmd.OutOrStdout(), &i)
		}
		i.DropIn, i.Sample = dropin.Relay, packaging.SampleConfig
		i.Check = func(path string) error { return checkBeforeInstall(cmd.ErrOrStderr(), path) }
		i.Received, i.Probe, i.Renew = received, host.Probe, renew
		if upgrade {
			return i.Upgrade(cmd.Context())
		}
		if _, _, err := broker.Account(); err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "what parses records will run as root:", err)
		}
		return i.Install(cmd.Context())
	}
	return cmd
}

// checkBeforeInstall prints what check says of a configuration, and is an error where that is
// one.
func checkBeforeInstall(w io.Writer, path string) error {
	if _, err := checkFile(w, path); err == nil {
		return nil
	}
	return fmt.Errorf("the configuration %s has errors, so nothing was changed: correct it (audisp-relay check %s)", path, path)
}

// received asks the plugin that runs on a configuration which record it has read last.
func received(path string) (host.Stamp, error) {
	cfg, _, err := config.Load(config.FileOf(path))
	if err != nil {
		return host.Stamp{}, err
	}
	r, err := plugin.Query(cfg.RunDir)
	if err != nil {
		return host.Stamp{}, err
	}
	return host.Stamp{At: r.Input.Newest, Serial: r.Input.NewestSerial}, nil
}

// renew asks the plugin that runs on a configuration to execute the program that is at its path now.
func renew(path string) error {
	cfg, _, err := config.Load(config.FileOf(path))
	if err != nil {
		return err
	}
	return plugin.AskRenew(cfg.RunDir)
}

// newUninstallCmd is `audisp-relay uninstall`.
func newUninstallCmd() *cobra.Command {
	var i host.Installer
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take the drop-in away and make auditd stop the plugin",
		Long: `Removes audisp-relay.conf from the plugin directory of the running auditd, makes
auditd reload and checks that the plugin is gone. The configuration, the program
and everything that it wrote stay; what stays is named.`,
		Args: noArgs,
	}
	addAuditdFlags(cmd, &i)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := prepare(cmd, &i); err != nil {
			return err
		}
		return i.Uninstall(cmd.Context())
	}
	return cmd
}

func addAuditdFlags(cmd *cobra.Command, i *host.Installer) {
	cmd.Flags().StringVar(&i.ConfDir, "conf-dir", "", "auditd's configuration directory (default: that of the running auditd)")
	cmd.Flags().BoolVar(&i.NoReload, "no-reload", false, "leave the running auditd alone")
	i.Say = func(format string, args ...any) { sayOn(cmd.OutOrStdout())(format, args...) }
}

func sayOn(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
}

// prepare makes the installer's paths absolute, as auditd runs in another directory. Only root
// gets further.
func prepare(cmd *cobra.Command, i *host.Installer) error {
	if i.Binary == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program's file: %w: name it with --binary", err)
		}
		i.Binary = exe
	}

	for _, path := range []*string{&i.Binary, &i.Config, &i.ConfDir} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("path %s: %w", *path, err)
		}
		*path = abs
	}

	if os.Geteuid() != 0 {
		return errors.New("only root may change what auditd runs: sudo audisp-relay " + cmd.Name())
	}
	return nil
}
