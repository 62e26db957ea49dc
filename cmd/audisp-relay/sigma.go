package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"audisp-relay/config"
	"audisp-relay/sigma"
)

// newSigmaCmd is `audisp-relay sigma`.
func newSigmaCmd() *cobra.Command {
	var asRules bool
	cmd := &cobra.Command{
		Use:   "sigma FILE|DIR...",
		Short: "Convert Sigma rules to filters",
		Long: `sigma reads Sigma rules, of a directory all *.yml and *.yaml below it, and prints the
filter expression for each. With --rules it prints the table [rules] for the
configuration instead, so that events carry the names of the rules that hold.

Converted are rules for Linux of service auditd and of the categories
process_creation, file_event and network_connection. Rules for other log sources are
counted; what else does not convert is listed on stderr with the reason.

Exit code 0 when all rules for these log sources are converted, 1 when one is not, there
is none, or a file cannot be read.`,
		Args: atLeastOne,
	}
	cmd.Flags().BoolVar(&asRules, "rules", false, "print the table [rules] of a configuration")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c := &sigmaConverter{asRules: asRules, out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr()}
		for _, path := range args {
			c.path(path)
		}
		return c.end()
	}
	return cmd
}

// sigmaConverter converts files and counts.
type sigmaConverter struct {
	asRules    bool
	out, notes io.Writer
	section    sigma.Section
	together   sigma.Correlations
	files      []sigmaFile

	converted, refused, elsewhere, unread int
	err                                   error // of the output
}

// sigmaFile is the rules of a file.
type sigmaFile struct {
	path  string
	rules []sigma.Rule
}

// path converts a file, or those below a directory. Links below it are not followed, so that there is an end.
func (c *sigmaConverter) path(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.noteUnread(err)
		return
	case !info.IsDir():
		c.file(path)
		return
	}

	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch ext := filepath.Ext(name); {
		case err != nil:
			c.noteUnread(err)
		case d.Type().IsRegular() && (ext == ".yml" || ext == ".yaml"):
			c.file(name)
		}
		return nil
	})
	if err != nil {
		c.noteUnread(err)
	}
}

func (c *sigmaConverter) noteUnread(err error) {
	c.unread++
	fmt.Fprintln(c.notes, config.OneLine(err.Error()))
}

// file converts the rules of a file.
func (c *sigmaConverter) file(path string) {
	data, err := readSigma(path)
	if err != nil {
		c.noteUnread(err)
		return
	}
	rules, err := c.together.Convert(config.OneLine(path), data)
	c.files = append(c.files, sigmaFile{path, rules}) // a correlation in a later one may be about them
	if err != nil {
		c.noteUnread(fmt.Errorf("%s: %w", path, err))
	}
}

// readSigma reads a file of rules.
func readSigma(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, fmt.Errorf("%s: is a directory", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, sigma.MaxFile+1))
	if err == nil && len(data) > sigma.MaxFile {
		err = fmt.Errorf("%s: file too large (limit %v)", path, config.Size(sigma.MaxFile))
	}
	return data, err
}

// rule prints a rule, or why it has no expression.
func (c *sigmaConverter) rule(path string, r sigma.Rule) {
	switch {
	case errors.Is(r.Err, sigma.ErrElsewhere):
		c.elsewhere++
		return
	case r.Err != nil:
		c.refused++
		fmt.Fprintln(c.notes, config.OneLine(fmt.Sprintf("%s: %s: %v", path, r.Title, r.Err)))
		return
	}
	c.converted++
	if c.asRules {
		c.section.Add(r, filepath.Base(path))
		return
	}
	_, err := fmt.Fprintf(c.out, "# %s: %s\n%s\n\n", config.OneLine(path), config.OneLine(r.Title), r.Expr)
	c.err = errors.Join(c.err, err)
}

// end prints the rules and says how it went.
func (c *sigmaConverter) end() error {
	for _, f := range c.files {
		c.together.Refuse(config.OneLine(f.path), f.rules)
		for _, r := range f.rules {
			c.rule(f.path, r)
		}
	}
	if c.asRules {
		_, err := io.WriteString(c.out, c.section.String())
		c.err = errors.Join(c.err, err)
	}
	if c.err != nil {
		return c.err
	}
	fmt.Fprintf(c.notes, "%s converted, %d not, %d for other log sources\n", count(c.converted, "rule"), c.refused, c.elsewhere)
	if c.refused > 0 || c.unread > 0 || c.converted == 0 {
		return exitError{1}
	}
	return nil
}
