package laurel

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// TestCapturesAsLaurel: of every capture laurel and we make the same events. Three things are
// set aside: what laurel adds from its table of processes and from /proc, the names of types
// that are newer than it, and the records it refuses; TestRefusedRecordsHaveTheirText looks at those.
func TestCapturesAsLaurel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, name := range captures.Names(t, "*.string.gz") {
		t.Run(name, func(t *testing.T) {
			lines := captures.Read(t, name)
			p := runLaurel(t, lines)
			taken, refused := without(lines, p.refused)
			if refused != len(p.refused) {
				t.Errorf("laurel refused %d lines, %d of them were found", len(p.refused), refused)
			}
			want, added := make(map[string]any), 0
			for _, event := range p.events {
				added += dropContext(event)
				want[nodeID(event)] = event
			}
			if len(want) != len(p.events) || len(want) < 100 {
				t.Fatalf("laurel made %d events with %d ids", len(p.events), len(want))
			}
			got := make(map[string]any)
			for _, event := range decodeAll(t, encode(t, taken)) {
				asLaurelNames(event)
				got[nodeID(event)] = event
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("events (-laurel +ours):\n%.5000s", d)
			}
			t.Logf("%d events; laurel refused %d lines and added %d objects of its own", len(want), refused, added)
		})
	}
}

// asLaurelNames gives types that are newer than laurel the names that it has for them.
func asLaurelNames(event map[string]any) {
	for name, number := range map[string]string{"LANDLOCK_ACCESS": "UNKNOWN[1423]", "LANDLOCK_DOMAIN": "UNKNOWN[1424]"} {
		if v, ok := event[name]; ok {
			delete(event, name)
			event[number] = v
		}
	}
}

// TestRefusedRecordsHaveTheirText: of each record of the captures that laurel refuses our event has the text,
// and of no other.
func TestRefusedRecordsHaveTheirText(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, name := range captures.Names(t, "*.string.gz") {
		t.Run(name, func(t *testing.T) {
			lines := captures.Read(t, name)
			p := runLaurel(t, lines)
			want := make(map[string]int)
			for _, line := range p.refused {
				if strings.HasSuffix(line, " ") || strings.HasSuffix(line, ")") {
					continue // cut after a field or after the id: there is no other text
				}
				_, body, ok := strings.Cut(line, "): ")
				if !ok {
					body = line // cut in its header
				}
				if body = strings.TrimRight(body, " \x00"); body != "" {
					var shown string
					if err := json.Unmarshal(appendString(nil, []byte(body)), &shown); err != nil {
						t.Fatal(err)
					}
					want[shown]++
				}
			}
			got := make(map[string]int)
			out := encode(t, lines)
			checkLines(t, out)
			for _, event := range decodeAll(t, out) {
				countRaw(event, got)
			}
			if d := cmp.Diff(want, got); d != "" || len(want) == 0 {
				t.Errorf("text of refused records (-laurel +ours):\n%.3000s", d)
			}
		})
	}
}

// countRaw counts the texts that stand under RAW in v.
func countRaw(v any, counts map[string]int) {
	switch v := v.(type) {
	case []any:
		for _, v := range v {
			countRaw(v, counts)
		}
	case map[string]any:
		for key, v := range v {
			if text, ok := v.(string); ok && strings.HasPrefix(key, "RAW") {
				counts[text]++
			} else {
				countRaw(v, counts)
			}
		}
	}
}

// TestEventsOfCapturesHaveALine: each event of a capture has a line, with every record of it but the EOE.
func TestEventsOfCapturesHaveALine(t *testing.T) {
	for _, name := range captures.Names(t, "*.string.gz") {
		events := wholeEvents(captures.Read(t, name))
		out := encode(t, captures.Read(t, name))
		checkLines(t, out)
		if n := bytes.Count(out, []byte("\n")); n != len(events) || n < 150 {
			t.Errorf("%s: %d lines for %d events", name, n, len(events))
		}
		for i, event := range decodeAll(t, out) {
			want := make(map[string]int)
			for k := range events[i].Recs {
				if r := &events[i].Recs[k]; r.HasID() && r.Type != record.TypeEOE {
					name := string(record.AppendTypeName(nil, r.Type))
					if want[name]++; r.Type == record.TypeExecve {
						want[name] = 1
					}
				}
			}
			got := make(map[string]int)
			for key, v := range event {
				if list, ok := v.([]any); ok {
					got[key] = len(list)
				} else if _, ok := v.(map[string]any); ok {
					got[key] = 1
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s, %v: records (-stream +ours):\n%s", name, event["ID"], d)
			}
		}
	}
}
