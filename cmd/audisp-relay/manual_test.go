package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audisp-relay/fleet"
)

const manual = "../../packaging/man/audisp-relay.8"

// TestManualHasAllOptions: the manual's synopsis and its description of each command have the
// options that the command has, and no others.
func TestManualHasAllOptions(t *testing.T) {
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	synopsis, rest, _ := strings.Cut(page, ".Sh DESCRIPTION\n")
	own, _, found := strings.Cut(rest, ".Sh COMMANDS\n")
	if !found {
		t.Fatal("no section DESCRIPTION or COMMANDS")
	}
	root := newRootCmd()
	root.InitDefaultHelpCmd()
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	compareOptions(t, root, "its description", items(own))

	for _, cmd := range root.Commands() {
		_, use, found := strings.Cut(synopsis, "\n.Cm "+cmd.Name()+"\n")
		if !found {
			t.Errorf("the synopsis lacks %s", cmd.Name())
		}
		use, _, _ = strings.Cut(use, "\n.Nm\n")
		compareOptions(t, cmd, "the synopsis", use)

		_, text, found := strings.Cut(page, "\n.It Cm "+cmd.Name())
		if !found {
			t.Errorf("%s does not describe %s", manual, cmd.Name())
		}
		text, _, _ = strings.Cut(text, "\n.It Cm ")
		text, _, _ = strings.Cut(text, "\n.Sh ")
		compareOptions(t, cmd, "its description", items(text))
	}
}

// TestOperatingListsAllCommands: the table of commands has each.
func TestOperatingListsAllCommands(t *testing.T) {
	const operating = "../../docs/operating.md"
	data, err := os.ReadFile(operating)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n## Commands\n")
	table, _, _ = strings.Cut(table, "\n## ")
	root := newRootCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if !strings.Contains(table, "`"+cmd.Name()+" ") && !strings.Contains(table, "`"+cmd.Name()+"`") {
			t.Errorf("%s lacks %s", operating, cmd.Name())
		}
	}
}

const fleetManual = "../../packaging/man/audisp-relay-fleet.8"

// TestFleetManualHasAllOptions: the manual of fleet describes the options of each of its commands,
// those of the connection once for all.
func TestFleetManualHasAllOptions(t *testing.T) {
	data, err := os.ReadFile(fleetManual)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	_, connection, _ := strings.Cut(page, ".Sh CONNECTION\n")
	connection, _, found := strings.Cut(connection, ".Sh COMMANDS\n")
	if !found {
		t.Fatal("no section CONNECTION or COMMANDS")
	}
	commands := newFleetCmd().Commands()
	for _, cmd := range commands {
		_, text, found := strings.Cut(page, "\n.It Cm "+cmd.Name())
		if !found {
			t.Errorf("%s does not describe %s", fleetManual, cmd.Name())
		}
		text, _, _ = strings.Cut(text, "\n.It Cm ")
		text, _, _ = strings.Cut(text, "\n.Sh ")
		compareOptions(t, cmd, "its description", items(connection)+"\n"+items(text))
	}
	if len(commands) != 4 {
		t.Errorf("%d commands", len(commands))
	}
}

// TestFleetManualHasAllStates: the manual describes the states that there are, and no others.
func TestFleetManualHasAllStates(t *testing.T) {
	data, err := os.ReadFile(fleetManual)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), ".Sh STATES\n")
	text, _, _ = strings.Cut(text, "\n.Sh ")
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\.It Li (.*)$`).FindAllStringSubmatch(text, -1) {
		got = append(got, m[1])
	}
	if want := fleet.States(); !slices.Equal(got, want) {
		t.Errorf("%s: states %q, the code has %q", fleetManual, got, want)
	}
}

// items returns the heads of the list of options in a part of the manual.
func items(text string) string {
	return strings.Join(regexp.MustCompile(`(?m)^\.It Fl .*$`).FindAllString(text, -1), "\n")
}

// manFlag is an option, by its letter or its name, another way to say it, and whether an
// argument follows.
var manFlag = regexp.MustCompile(`Fl (-?)([a-z-]+)( , Fl)?( Ar| Cm)?`)

// compareOptions holds the options of a command against those in a part of the manual. That of
// help stands once for all, and a command is described without it.
func compareOptions(t *testing.T, cmd *cobra.Command, where, text string) {
	t.Helper()
	var want, got []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" || !cmd.HasParent() {
			want = append(want, f.Name)
		}
	})
	for _, m := range manFlag.FindAllStringSubmatch(text, -1) {
		f := cmd.Flags().Lookup(m[2])
		if m[1] == "" {
			f = cmd.Flags().ShorthandLookup(m[2])
		}
		if f == nil {
			t.Errorf("%s: %s has the option %s%s, which there is not", cmd.Name(), where, m[1], m[2])
			continue
		}
		got = append(got, f.Name)
		if takes := f.Value.Type() != "bool"; takes != (m[4] != "") && m[3] == "" {
			t.Errorf("%s: %s: --%s is followed by an argument: %v", cmd.Name(), where, f.Name, takes)
		}
	}

	slices.Sort(want)
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%s: %s has the options %v, the command %v", cmd.Name(), where, got, want)
	}
}
