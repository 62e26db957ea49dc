package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audisp-relay/suggest"
)

// usageError is a command line that cannot be understood: exit code 2.
type usageError struct{ error }

// usageLine returns the line that is printed for such an error. It ends with the command that shows the usage.
func usageLine(cmd *cobra.Command, err error) string {
	if cmd.Name() == "help" {
		cmd = cmd.Root()
	}
	return fmt.Sprintf("%s; see %s --help", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " "), cmd.CommandPath())
}

// wrongFlag makes a usageError of what the parser of options says: with the nearest option where there is none of that name,
// and with the kind of value that the option takes.
func wrongFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := suggest.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			err = fmt.Errorf("%w: did you mean --%s?", err, near)
		}
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		want := map[string]string{"int": "a whole number", "int64": "a whole number", "duration": "a time like 10s, 5m or 1h30m", "bool": "true or false"}
		if text, known := want[wrong.GetFlag().Value.Type()]; known {
			err = fmt.Errorf("--%s %q: want %s", wrong.GetFlag().Name, wrong.GetValue(), text)
		}
	}
	return usageError{err}
}

// emptyOption is what is wrong where an option has an empty value, as of a variable of a shell that is not set: without the sink,
// the file or the inventory that was meant a command would look at less, or at nothing, and say that all is well. An empty filter
// keeps all events, as in the configuration.
func emptyOption(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		empty := f.Value.String() == ""
		if list, isList := f.Value.(pflag.SliceValue); isList {
			empty = slices.Contains(list.GetSlice(), "")
		}
		if empty && f.Name != "filter" && err == nil {
			err = usageError{fmt.Errorf("--%s is empty: give it a value, or leave it out", f.Name)}
		}
	})
	return err
}

// anyArgs is for commands that any arguments may follow. As the others below it looks at the options, too.
func anyArgs(cmd *cobra.Command, _ []string) error { return emptyOption(cmd) }

// noArgs is for commands that nothing follows but options.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return emptyOption(cmd)
	}
	return usageError{fmt.Errorf("%s takes no argument, not %q", wordsOf(cmd), args[0])}
}

// atMostOne is for commands that one argument may follow.
func atMostOne(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return usageError{fmt.Errorf("%s takes one argument at most, and %q is the second", wordsOf(cmd), args[1])}
	case len(args) == 1 && args[0] == "":
		return usageError{fmt.Errorf("%s: the argument is empty: name what is meant, or leave it out", wordsOf(cmd))}
	}
	return emptyOption(cmd)
}

// atLeastOne is for commands that need an argument to work on. It takes the name of the argument from Use.
func atLeastOne(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return emptyOption(cmd)
	}
	_, what, _ := strings.Cut(cmd.Use, " ")
	return usageError{fmt.Errorf("%s: name a %s", wordsOf(cmd), strings.TrimSuffix(what, "..."))}
}

// knownCommand refuses arguments of a command that only has subcommands: cobra passes the name of an unknown one as an argument.
func knownCommand(parent *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	near := suggest.Nearest(args[0], names)
	if near == "" {
		if i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, args[0]) }); i >= 0 {
			near = names[i]
		}
	}
	if parent.HasParent() && near != "" {
		near = wordsOf(parent) + " " + near
	}

	switch {
	case len(names) == 0:
		return usageError{fmt.Errorf("%s has no command %q", wordsOf(parent), args[0])}
	case slices.Contains(names, args[0]):
		return usageError{fmt.Errorf("%q is a command, which has to come before options and --", args[0])}
	case near == "":
		return usageError{fmt.Errorf("unknown command %q, there are %s", args[0], strings.Join(names, ", "))}
	}
	return usageError{fmt.Errorf("unknown command %q: did you mean %s?", args[0], near)}
}

// commandOf returns the command that words name below root, nil where there is none, and the deepest one of them that exists.
func commandOf(root *cobra.Command, words []string) (cmd, last *cobra.Command) {
	for last = root; len(words) > 0; words = words[1:] {
		all := last.Commands()
		i := slices.IndexFunc(all, func(c *cobra.Command) bool { return c.Name() == words[0] })
		if i < 0 {
			return nil, last
		}
		last = all[i]
	}
	return last, last
}

// newHelpCmd is `audisp-relay help`. Unlike cobra's it fails where there is no such command.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Show the help of a command",

		ValidArgsFunction: completeCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, last := commandOf(cmd.Root(), args)
			if about == nil {
				found := 0 // how many of args name commands
				for c := last; c.HasParent(); c = c.Parent() {
					found++
				}
				return knownCommand(last, args[found:])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
