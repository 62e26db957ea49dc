package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/format"
	"audisp-relay/plugin/top"
	"audisp-relay/sinks/unix"
)

// shells are those that completion writes a script for.
var shells = []string{"bash", "zsh", "fish"}

// newCompletionCmd is `audisp-relay completion`. The scripts ask the program itself what may
// follow, by cobra's hidden command __complete, so they do not change with its options.
func newCompletionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Print a script that completes command lines in a shell",
		Long: `completion prints a script with which bash, zsh or fish completes commands, options,
files and the sinks of the configuration. ` + "`make install`" + ` and packages install it; to
try it in a shell that runs:

  bash: source <(audisp-relay completion bash)   (needs the package bash-completion)
  zsh:  source <(audisp-relay completion zsh)    (after compinit)
  fish: audisp-relay completion fish | source`,
		ValidArgs: shells,
		Args:      oneShell,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			}
			return root.GenFishCompletion(out, true)
		},
	}
}

// oneShell wants the name of a shell.
func oneShell(_ *cobra.Command, args []string) error {
	if len(args) == 1 && slices.Contains(shells, args[0]) {
		return nil
	}
	return usageError{fmt.Errorf("completion: name one shell: %s", strings.Join(shells, ", "))}
}

// completer offers what may stand where the user types; done is what stands there already.
type completer = cobra.CompletionFunc

// Options are completed by their names, which mean the same with each command. Of the others, those that
// end with -dir are followed by a directory, numbers and times by nothing that could be offered, and the rest by a
// file, as the shell has it.
var completedOptions = map[string]completer{
	"by":      cobra.FixedCompletions(top.By[:], cobra.ShellCompDirectiveNoFileComp),
	"config":  completeConfig,
	"filter":  cobra.NoFileCompletions,
	"host":    cobra.NoFileCompletions,
	"listen":  cobra.NoFileCompletions,
	"nats":    cobra.NoFileCompletions,
	"profile": cobra.FixedCompletions([]cobra.Completion{"stig"}, cobra.ShellCompDirectiveNoFileComp),
	"since":   cobra.FixedCompletions([]string{"10m", "1h", "today", "yesterday"}, cobra.ShellCompDirectiveNoFileComp),
	"sink":    completeSink,
	"until":   cobra.NoFileCompletions,
	"user":    cobra.NoFileCompletions,
}

// completedFormats are the values of --format, which differ.
var completedFormats = map[string][]string{
	"doctor":     {string(doctor.Text), string(doctor.JSON), string(doctor.Nagios), string(doctor.Prometheus)},
	"fleet read": append(format.Names(), textFormat),
	"install":    {"string", "binary"},
	"replay":     format.Names(),
}

// completedArguments are what commands are followed by; others take none.
var completedArguments = map[string]completer{
	"check":      completeConfig,
	"completion": nil, // ValidArgs
	"replay":     completeFile,
	"sigma":      completeFile,
	"spool":      completeSpool,
	"tail":       completeTailed,
	"top":        completeFile,
	"verify":     completeFile,
}

// addCompletions gives each command and option of root what completes it, unless it has that.
func addCompletions(root *cobra.Command) {
	all := append(root.Commands(), root)
	for _, cmd := range root.Commands() {
		all = append(all, cmd.Commands()...)
	}
	for _, cmd := range all {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { addCompletion(cmd, f) })
		arguments, takes := completedArguments[wordsOf(cmd)]
		switch {
		case cmd == root, cmd.ValidArgsFunction != nil, takes && arguments == nil:
		case takes:
			cmd.ValidArgsFunction = arguments
		default:
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// wordsOf returns the words of a command after the program's name: "fleet read".
func wordsOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// addCompletion does so for one option.
func addCompletion(cmd *cobra.Command, f *pflag.Flag) {
	if _, has := cmd.GetFlagCompletionFunc(f.Name); has || f.Value.Type() == "bool" {
		return
	}
	complete := completedOptions[f.Name]
	switch {
	case f.Name == "format":
		complete = cobra.FixedCompletions(completedFormats[wordsOf(cmd)], cobra.ShellCompDirectiveNoFileComp)
	case strings.HasSuffix(f.Name, "-dir"):
		complete = completeDir
	case complete == nil && !strings.HasPrefix(f.Value.Type(), "string"): // "stringArray" too
		complete = cobra.NoFileCompletions
	}

	if complete == nil {
		return
	}
	if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
		panic(err) // only for an option that there is not, or twice
	}
}

// configured reads the configuration that the command line names, what is right in it. Nothing
// is printed: a completion has no place for an error.
func configured(cmd *cobra.Command) []config.Sink {
	path := config.DefaultFile
	if f := cmd.Flag("config"); f != nil && f.Value.String() != "" {
		path = f.Value.String()
	}
	c, _, err := config.Load(config.FileOf(path))
	switch {
	case c != nil:
		return c.Sinks
	case errors.Is(err, fs.ErrNotExist) && path == config.DefaultFile:
		return config.Default().Sinks
	}
	return nil
}

func completeSink(cmd *cobra.Command, _ []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	for _, s := range configured(cmd) {
		names = append(names, cobra.CompletionWithDesc(s.Name, "type "+s.Type))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeSpool offers the sinks that are not named yet, or directories once there is a slash.
func completeSpool(cmd *cobra.Command, named []string, done string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if strings.Contains(done, "/") {
		return completeDir(cmd, named, done)
	}
	all, directive := completeSink(cmd, nil, done)
	return slices.DeleteFunc(all, func(c cobra.Completion) bool {
		name, _, _ := strings.Cut(c, "\t")
		return slices.Contains(named, name)
	}), directive
}

// completeTailed offers the sinks that listen on a socket, that socket once there is a slash, and files
// where none of them fits.
func completeTailed(cmd *cobra.Command, named []string, done string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(named) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, s := range configured(cmd) {
		c, isUnix := s.Settings.(*unix.Config)
		switch {
		case !isUnix || c.Connect || !config.Printable(c.Path):
		case strings.Contains(done, "/"):
			words = append(words, cobra.CompletionWithDesc(c.Path, fmt.Sprintf("sink %s, format %s", s.Name, s.Format)))
		default:
			words = append(words, cobra.CompletionWithDesc(s.Name, fmt.Sprintf("%s, format %s", c.Path, s.Format)))
		}
	}
	return words, cobra.ShellCompDirectiveDefault
}

func completeCommand(cmd *cobra.Command, named []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	of, _ := commandOf(cmd.Root(), named)
	if of == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, c := range of.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeConfig offers configurations, and directories, which may hold one.
func completeConfig(_ *cobra.Command, named []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(named) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{"toml"}, cobra.ShellCompDirectiveFilterFileExt
}

func completeFile(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func completeDir(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
