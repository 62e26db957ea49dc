package overview

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	_ "audisp-relay/sinks/all"
)

var update = flag.Bool("update", false, "write the golden files")

func readReport(t testing.TB) *plugin.Report {
	t.Helper()
	text, err := os.ReadFile("testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	r := new(plugin.Report)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestScreen compares the screen of a report, and of a healthy one, with what they looked like.
func TestScreen(t *testing.T) {
	troubled := readReport(t)
	healthy := readReport(t)
	healthy.State, healthy.Why, healthy.Degraded = plugin.StateOK, []string{}, []string{}
	healthy.Consumers = healthy.Consumers[1:2]
	healthy.Consumers[0].Lost1h, healthy.Consumers[0].Lost24h = nil, nil
	for name, r := range map[string]*plugin.Report{"losing": troubled, "ok": healthy} {
		var got bytes.Buffer
		if err := Write(&got, r, Width); err != nil {
			t.Fatal(err)
		}
		path := "testdata/" + name + ".txt"
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if n := strings.Count(got.String(), "\n"); name == "ok" && n > 24 {
			t.Errorf("%d lines, a screen has 24", n)
		}
	}
}

// TestScreenIsSafe: whatever a report holds, lines fit and nothing in them reaches a terminal
// but printable characters.
func TestScreenIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\x1b[2J", "\u202e\u009b", " \u0300", "a \u0300b", "漢字漢字漢字漢字漢字漢字", "a\nb\tc", "\xff\xfe", strings.Repeat("x", 300)}))
		number := rapid.Float64()
		r := &plugin.Report{Version: text.Draw(t, "version"), Config: text.Draw(t, "config"), State: text.Draw(t, "state"), Why: rapid.SliceOfN(text, 0, 9).Draw(t, "why")}
		r.Input.Rate = number.Draw(t, "rate")
		for range rapid.IntRange(0, 3).Draw(t, "sinks") {
			c := consumer.Report{Name: text.Draw(t, "name"), Queued: rapid.Uint64().Draw(t, "queued"), SpoolSize: rapid.Int64().Draw(t, "size"), RateIn: number.Draw(t, "in"),
				Oldest:   time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "oldest"), 0),
				Delivery: &consumer.DeliveryReport{P99: number.Draw(t, "p99")},
				Lost24h:  map[string]uint64{text.Draw(t, "cause"): rapid.Uint64().Draw(t, "lost")}}
			c.Sink.Flaw = text.Draw(t, "flaw")
			r.Consumers = append(r.Consumers, c)
		}
		width := rapid.IntRange(40, 200).Draw(t, "width")
		var out bytes.Buffer
		if err := Write(&out, r, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if Clean(line) != strings.ReplaceAll(line, `\`, `\\`) {
				t.Fatalf("not safe: %q", line)
			}
			if n := ansi.StringWidth(line); n > width {
				t.Fatalf("%d columns, want at most %d: %q", n, width, line)
			}
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(9999), "9999"}, {Count(10_000), "10.0k"}, {Count(99_950), "100k"}, {Count(999_499), "999k"}, {Count(999_500), "1.00M"},
		{Count(123_456_789), "123M"}, {Count(1<<64 - 1), "18.4E"},
		{Rate(0), "0"}, {Rate(-1), "0"}, {Rate(0.04), "0.0"}, {Rate(9.4), "9.4"}, {Rate(9.96), "10"}, {Rate(1234.4), "1234"}, {Rate(1e30), "?"},
		{Bytes(-5), "0"}, {Bytes(1023), "1023"}, {Bytes(1024), "1.00K"}, {Bytes(256 << 20), "256M"}, {Bytes(1023 << 10), "1.00M"}, {Bytes(1<<63 - 1), "8.00E"},
		{Age(-time.Second), "0s"}, {Age(time.Microsecond), "<1ms"}, {Age(999 * time.Millisecond), "999ms"}, {Age(9949 * time.Millisecond), "9.9s"},
		{Age(99 * time.Second), "99s"}, {Age(99 * time.Minute), "99m"}, {Age(47 * time.Hour), "47h"}, {Age(50 * time.Hour), "2d"}, {Age(1<<63 - 1), "106751d"},
		{seconds(0), "-"}, {seconds(1e300), "-"}, {seconds(0.0123), "12ms"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text string
		most int
		want []string
	}{
		{"", 3, nil},
		{"one two", 3, []string{"one two"}},
		{"one two three four five", 3, []string{"one two three", "  four five"}},
		{"one two three four five six seven", 2, []string{"one two three", "  four five s…"}},
		{"0123456789abcdefgh x", 3, []string{"0123456789abc…", "  x"}},
	} {
		if diff := cmp.Diff(test.want, Wrap(test.text, 14, 2, test.most)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

// TestCleanText: letters stay, and what can hide, or covers the lines above and below, is shown.
func TestCleanText(t *testing.T) {
	for text, want := range map[string]string{
		"é 漢 \"x\"": "é 漢 \"x\"", "a\\b": `a\\b`, "a\n\x1b\xff": `a\x0a\x1b\xff`, "\u202e": `\xe2\x80\xae`,
		"e\u0301" + strings.Repeat("\u0301", 3): "e\u0301\u0301\u0301" + `\xcc\x81`, "\u3164": `\xe3\x85\xa4`,
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestEachCauseHasARemedy: of all causes that there are, and of no others.
func TestEachCauseHasARemedy(t *testing.T) {
	for cause := range queue.NumCauses {
		if remedies[cause.String()] == "" {
			t.Errorf("%s has no remedy", cause)
		}
	}
	if len(remedies) != int(queue.NumCauses) {
		t.Errorf("%d remedies for %d causes", len(remedies), queue.NumCauses)
	}
}

// TestEarlierReports: a plugin from before a report had a state is judged by what it lists.
func TestEarlierReports(t *testing.T) {
	r := &plugin.Report{Degraded: []string{"sinks.a"}}
	if got := Headline(r); got != "degraded: sinks.a" {
		t.Error(got)
	}
	if got := Headline(&plugin.Report{}); got != "ok: 0 sinks, nothing lost within a day" {
		t.Error(got)
	}
}
