package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/config"
	"audisp-relay/plugin"
)

func newStatusCmd() *cobra.Command {
	var asJSON, watch bool
	var dir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask the running plugin for its state and its balance of records",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			for {
				r, err := plugin.Query(dir)
				if err != nil {
					return err
				}
				if err := printReport(r, asJSON, watch); err != nil || !watch {
					return err
				}
				time.Sleep(2 * time.Second)
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "print again every two seconds")
	cmd.Flags().StringVar(&dir, "run-dir", config.DefaultRunDir, "run_dir of the plugin's configuration")
	return cmd
}

func printReport(r *plugin.Report, asJSON, watch bool) error {
	out := safe(os.Stdout)
	if asJSON {
		enc := json.NewEncoder(out)
		if !watch {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(r)
	}
	if watch {
		fmt.Print("\x1b[H\x1b[2J")
	}
	return r.WriteText(out)
}

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		Run:   func(*cobra.Command, []string) { fmt.Println("audisp-relay", version) },
	}
}
