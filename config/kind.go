package config

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// Kind is a type of sink as the configuration knows it: what a table [sinks.NAME] of that
// type may hold.
type Kind struct {
	Name string // the value of the key type
	Text bool   // the sink carries text only, so format cannot be binary
	// Server: the sink always delivers to a server, and has the key network_failure_action.
	Server bool
	// Format is what the key format is where it is not set; "" means "string".
	Format string
	// Frames is what the key frames is where it is not set; a sink with "" has no such key.
	Frames string
	// Read reads the keys that only this type has. Of s it sets what others have to know.
	Read func(t *Table, s *Sink) Settings
}

// Settings are what a sink has in the keys of its type.
type Settings interface {
	// Survey looks for what the sink needs on this machine.
	Survey(*Surveyor)
}

// Advisor may be implemented by Settings that can be allowed and unwise: Advise returns a
// warning, "" for none, and the key that it is about.
type Advisor interface{ Advise() (key, text string) }

// kinds are written while packages are initialised only, so that no lock guards them.
var kinds = make(map[string]Kind)

// Register adds a type of sink. Packages of sinks call it when they are initialised.
func Register(k Kind) {
	if _, there := kinds[k.Name]; there {
		panic("two types of sink are called " + k.Name)
	}
	kinds[k.Name] = k
}

// Kinds returns the names of all types of sink, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// KeysOf returns the keys of a table [sinks.NAME]: those that sinks of all types have, and those
// of one type besides.
func KeysOf(kind string) (common, own []string) {
	all, particular := &Table{doc: new(document)}, &Table{doc: new(document)}
	all.Str("type", new(string), nil)
	all.policy(new(int), new(Size), new(string), new(string), &Spool{})
	all.diskFull(&Sink{})
	if k, known := kinds[kind]; known {
		k.read(particular, &Sink{})
	}
	return all.known, particular.known
}

// read reads the keys of a sink that depend on its type.
func (k *Kind) read(t *Table, s *Sink) {
	s.Format = cmp.Or(k.Format, s.Format)
	t.events(s, k.Text)
	t.node(s)
	t.order(s)
	t.dataStream(s)
	if k.Frames != "" {
		t.frames(s, k.Frames)
	}
	if k.Server {
		t.NetworkFailure(s)
	}
	s.Settings = k.Read(t, s)
	if s.Output != "" {
		s.Output = filepath.Clean(s.Output)
	}
}

// readMade gives s the settings in vals, the keys and values of a table that no file has.
func readMade(s *Sink, vals map[string]any) error {
	k, known := kinds[s.Type]
	if !known {
		return fmt.Errorf("this program has no sink of type %q, only of %q", s.Type, Kinds())
	}
	t := &Table{doc: new(document), vals: vals}
	k.read(t, s)
	if errs := t.doc.errs; len(errs) > 0 {
		return fmt.Errorf("%s: %s", errs[0].Key, errs[0].Msg)
	}
	return nil
}
