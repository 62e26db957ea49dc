package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"audisp-relay/config"
	"audisp-relay/host"
)

// importer returns what makes a configuration of auditd's plugins, and says on w what is not
// carried over. What check would refuse is an error, unless the configuration is only printed.
func importer(w io.Writer, i *host.Installer, printed bool) func(host.Auditd, string) ([]byte, []string, error) {
	return func(a host.Auditd, dir string) ([]byte, []string, error) {
		from := config.ImportFrom{PluginDir: dir, Settings: a.Conf.File, Audispd: a.OneDispatcher(), File: i.Config, Self: i.Binary}
		from.AllArgs = a.AtLeast(4, 0, 1) || (a.AtLeast(3, 1, 3) && !a.AtLeast(4))
		if from.Audispd {
			from.Settings = filepath.Join(filepath.Dir(dir), "audispd.conf")
		}
		got, err := config.Import(from)
		if got != nil {
			for _, text := range got.Notes {
				fmt.Fprintln(w, "note:", text)
			}
		}
		switch {
		case errors.Is(err, config.ErrNothingToImport):
			return nil, nil, nil // what that means depends on what is installed
		case err != nil:
			return nil, nil, err
		}

		warns, err := config.Survey(got.Config)
		for _, text := range warns {
			fmt.Fprintln(w, "warning:", text)
		}
		if err != nil {
			reportConfigError(w, err)
			if !printed {
				return nil, nil, errors.New("the imported configuration has errors, so nothing was changed: correct what they name; `audisp-relay install --import --print` shows it")
			}
		}
		return got.Text, got.DropIns, nil
	}
}

// printImport is `audisp-relay install --import --print`.
func printImport(w io.Writer, i *host.Installer) error {
	text, err := i.Imported()
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
