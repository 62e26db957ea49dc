package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/config"
	_ "audisp-relay/sinks/all"
)

func TestCorpusHasFreshEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "corpus")
	c := makeCorpus(t, path, 2000)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines = lines[:len(lines)-1]
	if c.records != len(lines) || c.records < 2000 {
		t.Errorf("corpus %+v, but the file has %d lines", c, len(lines))
	}
	seen := map[string]bool{}
	for _, line := range lines {
		if bytes.HasPrefix(line, []byte("type=EXECVE")) {
			t.Fatalf("an exec: %q", line)
		}
		if seen[string(line)] {
			t.Fatalf("twice: %q", line)
		}
		seen[string(line)] = true
	}
}

func TestShiftMovesTimeSerialAndSession(t *testing.T) {
	own := serials{of: map[string]uint32{"4": 70}, next: firstSerial + 2*perMilli, start: 7299_998}
	got, err := shift([]byte("node=n type=A msg=audit(100.007:5): ses=1 x msg=audit(1.1:1)\n"), 2, &own)
	want := "node=n type=A msg=audit(7300.000:1000600): ses=3 x msg=audit(1.1:1)\n"
	if err != nil || string(got) != want {
		t.Errorf("shift = %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{"", "type=A", "msg=audit(1.1", "msg=audit(1.1:1"} {
		if got, err := shift([]byte(bad), 1, &own); err == nil {
			t.Errorf("shift(%q) = %q, want an error", bad, got)
		}
	}
}

// A configuration the relay refuses would be measured as the relay's fault.
func TestRelayConfigsAreValid(t *testing.T) {
	b := &bench{dir: t.TempDir(), options: options{relay: "/bin/true"}}
	check := func(t *scope, argv []string) {
		if _, _, err := config.Load(argv[len(argv)-1]); err != nil {
			t.Errorf("%v", err)
		}
	}
	for _, bc := range b.bulkCases() {
		if !bc.relay {
			continue
		}
		if err := inScope(bc.who, func(t *scope) { check(t, bc.setup(t, b.caseDir(t)).argv) }); err != nil {
			t.Errorf("%s: %v", bc.who, err)
		}
	}
	for _, p := range b.restingPrograms() {
		if !p.relay {
			continue
		}
		if err := inScope(p.who, func(t *scope) { check(t, p.argv(t, b.caseDir(t))) }); err != nil {
			t.Errorf("%s: %v", p.who, err)
		}
	}
	if err := inScope("two sinks", func(t *scope) { check(t, []string{b.deadConf(t, b.caseDir(t), []string{"/tmp/a", "/tmp/b"})}) }); err != nil {
		t.Error(err)
	}
}

func TestScopeCleansUp(t *testing.T) {
	var order []string
	err := inScope("test", func(t *scope) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() {
			order = append(order, "second")
			t.Fatalf("in a clean-up")
		})
		t.Errorf("continues")
		t.Fatalf("stops")
		order = append(order, "not reached")
	})
	if diff := cmp.Diff([]string{"second", "first"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for _, want := range []string{"continues", "stops", "in a clean-up"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if err := inScope("panic", func(*scope) { panic(errors.New("boom")) }); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("panic came back as %v", err)
	}
}
