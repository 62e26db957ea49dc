package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/host"
	sinkunix "audisp-relay/sinks/unix"
	"audisp-relay/suggest"
)

// tailed is what tail reads.
type tailed struct {
	socket string
	filter string // of the sink, where it has to be known
	rules  *filter.RuleSet
}

// findTailed returns what a word means: the name of a sink, or a path. The filter is
// looked up where it is wanted, as far as the configuration can be read.
func findTailed(word, file string, wantFilter bool) (tailed, error) {
	isPath := strings.Contains(word, "/") || word == "-"
	if isPath && !wantFilter {
		return tailed{socket: word}, nil
	}

	file = config.FileOf(file)
	cfg, _, err := config.Load(file, host.AuditLogs(os.Getppid())...)
	if errors.Is(err, fs.ErrNotExist) {
		cfg, err = config.Default(), nil
	}
	if isPath {
		src, rules := filterOf(cfg, word)
		return tailed{word, src, rules}, nil
	}

	if cfg != nil {
		for _, s := range cfg.Sinks {
			if s.Name == word {
				return tailedSink(&s)
			}
		}
	}
	if _, missing := os.Stat(word); missing == nil { // a path after all
		return tailed{socket: word}, nil
	}
	if err != nil {
		return tailed{}, fmt.Errorf("look up sink %s: %w: correct that, run this as root, or name the socket by its path", word, err)
	}
	return tailed{}, unknownSink(cfg, word, file)
}

// filterOf returns the filter of the sink with that socket, and the rules that it can ask for.
func filterOf(cfg *config.Config, socket string) (src string, rules *filter.RuleSet) {
	if cfg != nil {
		for _, s := range cfg.Sinks {
			if s.Output == socket {
				return s.Filter, s.Rules
			}
		}
	}
	return "", nil
}

// tailedSink returns the socket of a sink that has one to connect to.
func tailedSink(s *config.Sink) (tailed, error) {
	socket, ok := s.Settings.(*sinkunix.Config)
	switch {
	case !ok:
		return tailed{}, fmt.Errorf("sink %s is of type %s: tail follows sinks of type unix, whose socket it connects to", s.Name, s.Type)
	case socket.Connect:
		return tailed{}, fmt.Errorf("sink %s has listen = false: its socket is a collector's, and tail is none", s.Name)
	}
	return tailed{socket: socket.Path, filter: s.Filter, rules: s.Rules}, nil
}

// unknownSink says which sinks there are.
func unknownSink(cfg *config.Config, word, file string) error {
	var names []string
	for _, s := range cfg.Sinks {
		if c, ok := s.Settings.(*sinkunix.Config); ok && !c.Connect {
			names = append(names, s.Name)
		}
	}
	hint := "it has none to connect to"
	if len(names) > 0 {
		hint = "there is " + strings.Join(names, ", ")
	}
	if near := suggest.Nearest(word, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return fmt.Errorf("no sink %s in %s: %s; a socket in this directory is ./%s", word, file, hint, word)
}
