package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/test/lab"
)

// TestCostRows: each rate is compared with that of auditd alone in its own round, so that a machine
// that gets slower changes nothing, and records that were lost are no speed.
func TestCostRows(t *testing.T) {
	chains := []liveChain{{who: noRule, unaudited: true}, {who: noPlugin}, {who: "relay", relay: true}, {who: "peer"}, {who: "away"}}
	round := func(speed, relay float64, lost int) map[string]liveFigure {
		return map[string]liveFigure{
			noRule: {rate: 50 * speed}, noPlugin: {rate: speed}, "relay": {rate: relay * speed, lost: lost}, "peer": {rate: 0.5 * speed, full: 2},
		}
	}
	type brief struct {
		Who   string
		Value float64
		Goal  string
	}
	rowsOf := func(rounds ...map[string]liveFigure) (got []brief) {
		for _, r := range costRows(chains, rounds) {
			got = append(got, brief{r.Who, r.Value, r.verdict()})
		}
		return got
	}

	// The median of its rates is that of auditd alone, as the machine was fast when the relay was slow.
	got := rowsOf(round(8000, 0.75, 0), round(4000, 0.75, 0), round(2000, 2, 0))
	if diff := cmp.Diff([]brief{{noRule, 50, ""}, {noPlugin, 1, ""}, {"relay", 0.75, "MISS"}, {"peer", 0.5, ""}}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := rowsOf(round(8000, 1, 0), round(2000, 1, 0)); got[2].Goal != "ok" {
		t.Errorf("as fast as auditd alone: %+v", got[2])
	}
	for name, got := range map[string][]brief{"slow": rowsOf(round(8000, 0.96, 0)), "loses": rowsOf(round(8000, 1, 1), round(8000, 1, 0))} {
		if got[2].Goal != "MISS" {
			t.Errorf("%s: %+v", name, got[2])
		}
	}

	// Without its measure there are rates, and neither shares nor a goal.
	alone := costRows(chains, []map[string]liveFigure{{"relay": {rate: 7000}}})
	if len(alone) != 1 || alone[0].Unit != "" || alone[0].Met != nil || !strings.Contains(alone[0].Detail, "7000/s") {
		t.Errorf("without auditd alone: %+v", alone)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 10}, 3}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.values, got, tt.want)
		}
	}
}

// TestLaurelOfAnotherSystem is started by its own loader, and found by the lab under its own name. A
// directory without it is left out by a sentence.
func TestLaurelOfAnotherSystem(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	b := &bench{options: options{laurel: root}}
	err := inScope("test", func(t *scope) { b.laurelArgv(t) })
	if err == nil || !strings.Contains(err.Error(), "bench/laurel.sh") {
		t.Errorf("an empty directory: %v", err)
	}

	loader := filepath.Join(root, "usr/lib/x/ld-linux-x.so.2")
	laurel := filepath.Join(root, "usr/sbin/laurel")
	for _, path := range []string{loader, laurel} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var plugin lab.Plugin
	version := ""
	err = inScope("test", func(t *scope) {
		plugin = b.laurelPlugin(t, dir, "conf")
		version = b.laurelVersion(t)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := lab.Plugin{Path: filepath.Join(dir, "laurel"), Args: "--config conf", Becomes: laurel}
	if diff := cmp.Diff(want, plugin); diff != "" {
		t.Errorf("plugin (-want +got):\n%s", diff)
	}
	if want := "--library-path " + filepath.Dir(loader) + " " + laurel + " --version"; version != want {
		t.Errorf("the loader got %q, want %q", version, want)
	}
}
