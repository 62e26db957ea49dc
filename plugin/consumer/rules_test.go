package consumer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/plugin/nodes"
	"audisp-relay/queue"
)

// rulesOf returns compiled rules.
func rulesOf(t *testing.T, sources map[string]string) *filter.RuleSet {
	t.Helper()
	set, errs, _ := filter.NewRules(sources)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return set
}

// TestEventsCarryTheirRules: in each format that has a place, for as long as there are rules.
func TestEventsCarryTheirRules(t *testing.T) {
	places := map[string]func(map[string]any) any{
		"json":   func(e map[string]any) any { return e["rules"] },
		"laurel": func(e map[string]any) any { return e["RULES"] },
		"ecs": func(e map[string]any) any {
			if rule, ok := e["rule"].(map[string]any); ok {
				return rule["name"]
			}
			return nil
		},
	}
	for name, place := range places {
		kind, err := format.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		var rules Rules
		enc := NewEncoder(kind, Known{}, nodes.Fixed(""), &rules)
		plain := NewEncoder(kind, Known{}, nodes.Fixed(""), nil)
		b := batchOf(t, syscallLine(1, "k"))
		for _, c := range []struct {
			set  *filter.RuleSet
			want any
		}{
			{nil, nil},
			{rulesOf(t, map[string]string{"of k": `key == "k"`, "\"quoted\"\u2028": `key in ["k"]`, "of l": `key == "l"`}), []any{"\"quoted\"\u2028", "of k"}},
			{rulesOf(t, map[string]string{"of l": `key == "l"`}), nil},
			{rulesOf(t, map[string]string{"all": `true`}), []any{"all"}},
			{nil, nil},
		} {
			rules.Store(c.set)
			line := string(enc.Encode(*b).Bytes)
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil || strings.Count(line, "\n") != 1 {
				t.Fatalf("%s: %v: %s", name, err, line)
			}
			if diff := cmp.Diff(c.want, place(event)); diff != "" {
				t.Errorf("%s: (-want +got):\n%s", name, diff)
			}
			if one := string(enc.Append(nil, *b, 0)); one != line {
				t.Errorf("%s: alone it is %s", name, one)
			}
			if without := string(plain.Encode(*b).Bytes); c.want == nil && without != line {
				t.Errorf("%s: without rules %s, where none holds %s", name, without, line)
			}
		}
	}
	kind, _ := format.Parse("string")
	if enc := NewEncoder(kind, Known{}, nodes.Fixed(""), new(Rules)); enc.NewTagger != nil {
		t.Error("lines have no place for rules")
	}
}

// TestReloadExchangesRules: in the filter and in the events, without another sink.
func TestReloadExchangesRules(t *testing.T) {
	before, after := rulesOf(t, map[string]string{"a": `key == "k"`}), rulesOf(t, map[string]string{"a": `key == "l"`})
	cfg := config.Sink{Name: "x", Format: "json", Filter: `"a" in rules`, Rules: before}
	bounds := queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}
	c := New(Options{Config: cfg, Log: zap.NewNop(), Queue: queue.New(queue.Options{Config: bounds})})
	first := c.Intake.next.Load()

	cfg.Rules = rulesOf(t, map[string]string{"a": `key == "k"`})
	if c.Apply(cfg, bounds) || c.Intake.next.Load() != first || c.rules.Load() != before {
		t.Error("the same rules were exchanged")
	}
	cfg.Rules = after
	if c.Apply(cfg, bounds) {
		t.Error("other rules replace the sink")
	}
	if c.Intake.next.Load() == first || c.rules.Load() != after {
		t.Error("the filter or the encoder have the rules of before")
	}
	cfg.Rules, cfg.Filter = nil, ""
	if c.Apply(cfg, bounds) || c.rules.Load() != nil {
		t.Error("the rules stay")
	}
}

// TestListsAreReadAgain: those of the filter and of the rules; what became of that is logged.
func TestListsAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	inFilter, inRules := filepath.Join(dir, "filter"), filepath.Join(dir, "rules")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(inFilter, "a\n")
	write(inRules, "a\n")
	core, logs := observer.New(zap.InfoLevel)
	c := New(Options{
		Config: config.Sink{Name: "x", Format: "json", Filter: `key in file("` + inFilter + `")`, Rules: rulesOf(t, map[string]string{"r": `key in file("` + inRules + `")`})},
		Log:    zap.New(core), Queue: queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20}}),
	})
	c.RefreshLists()
	if n := logs.TakeAll(); len(n) > 0 {
		t.Errorf("nothing has changed: %v", n)
	}
	write(inFilter, "a\nbc\n")
	write(inRules, strings.Repeat("x", 5000))
	c.RefreshLists()
	c.RefreshLists()
	got := logs.TakeAll()
	if len(got) != 2 || got[0].Level != zap.WarnLevel || got[1].Level != zap.InfoLevel || got[1].ContextMap()["values"] != int64(2) {
		t.Errorf("%v", got)
	}
}
