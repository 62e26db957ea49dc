package live

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"audisp-relay/plugin"
	"audisp-relay/plugin/overview"
	_ "audisp-relay/sinks/all"
)

// sgr is a sequence that sets colours and the like.
var sgr = regexp.MustCompile(`\x1b\[[0-9;]*m`)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("charm.land/bubbletea/v2.Tick.func1")) // ends within a second
}

// start is the time of the view's clock at first, that of the report.
var start = time.Date(2026, 11, 28, 6, 13, 0, 0, time.UTC)

func readReport(t testing.TB) *plugin.Report {
	t.Helper()
	text, err := os.ReadFile("../overview/testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	r := new(plugin.Report)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// view is a model and its clock.
type view struct {
	*model
	t   testing.TB
	now time.Time
}

func newView(t testing.TB) *view {
	v := &view{t: t, now: start}
	v.model = newModel(nil, func() time.Time { return v.now })
	return v
}

// fill gives the view a minute of reports whose rate and queues rise and fall.
func (v *view) fill() *view {
	for i := range 60 {
		r := readReport(v.t)
		r.Input.Rate *= float64(i%20+1) / 20
		r.Consumers[0].Queued = uint64(i * i)
		v.Update(answer{report: r})
	}
	v.Update(answer{report: readReport(v.t)})
	return v
}

// press sends keys: letters, or names of others in brackets.
func (v *view) press(keys ...string) *view {
	named := map[string]rune{"<down>": tea.KeyDown, "<up>": tea.KeyUp, "<esc>": tea.KeyEscape, "<enter>": tea.KeyEnter, "<backspace>": tea.KeyBackspace, "<space>": tea.KeySpace}
	for _, key := range keys {
		if code, special := named[key]; special {
			v.Update(tea.KeyPressMsg{Code: code})
			continue
		}
		for _, r := range key {
			v.Update(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return v
}

// plain is what the screen shows, without its styles.
func (v *view) plain() string {
	var b strings.Builder
	for _, line := range v.screen() {
		b.WriteString(strings.TrimRight(ansi.Strip(line), " ") + "\n")
	}
	return b.String()
}

// names lists the sinks in the order of the rows.
func (v *view) names() string {
	var names []string
	for _, r := range v.rows() {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// TestScreens compares what is shown at 80x24 and at other sizes with what it looked like.
func TestScreens(t *testing.T) {
	gone := fmt.Errorf("dial unix /run/audisp-relay/control.sock: connect: no such file or directory: %w with this run_dir", plugin.ErrNotRunning)
	for name, v := range map[string]*view{
		"start":    newView(t),
		"losing":   newView(t).fill(),
		"selected": newView(t).fill().press("<down>"),
		"filter":   newView(t).fill().press("/", "ag", "ex", "<backspace>", "<backspace>"),
		"help":     newView(t).fill().press("?"),
		"paused":   newView(t).fill().press("s", "s", "r", "p"),
		"down": func() *view {
			v := newView(t).fill()
			v.Update(answer{err: gone})
			v.now = v.now.Add(12 * time.Second)
			return v
		}(),
		"never": func() *view { v := newView(t); v.Update(answer{err: gone}); return v }(),
		"wide":  func() *view { v := newView(t).fill(); v.Update(tea.WindowSizeMsg{Width: 130, Height: 30}); return v }(),
		"small": func() *view { v := newView(t).fill(); v.Update(tea.WindowSizeMsg{Width: 40, Height: 8}); return v }(),
		"tiny":  func() *view { v := newView(t).fill(); v.Update(tea.WindowSizeMsg{Width: 20, Height: 5}); return v }(),
	} {
		path := "testdata/" + name + ".txt"
		got := v.plain()
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestWhatHasNoRoomIsCounted: sinks, and lines below them.
func TestWhatHasNoRoomIsCounted(t *testing.T) {
	v := newView(t)
	r := readReport(t)
	for n := range 30 {
		c := r.Consumers[1]
		c.Name = fmt.Sprintf("sink%02d", n)
		r.Consumers = append(r.Consumers, c)
	}
	v.Update(answer{report: r})
	for _, height := range []int{5, 12, 24, 50} {
		v.Update(tea.WindowSizeMsg{Width: 80, Height: height})
		rows := 0
		for line := range strings.Lines(v.plain()) {
			if strings.Contains(line, " ok  ") || strings.HasPrefix(line, "loghost ") {
				rows++
			}
		}
		text := v.plain()
		if rows < 34 && !strings.Contains(text, fmt.Sprintf("… %d of 34 sinks", rows)) && !strings.Contains(text, "more lines on a larger terminal") {
			t.Errorf("%d rows at a height of %d:\n%s", rows, height, text)
		}
	}
}

func TestSort(t *testing.T) {
	v := newView(t).fill()
	for _, want := range []string{
		"agent archive live loghost", "loghost agent archive live", "agent archive loghost live", "archive agent live loghost",
		"loghost agent archive live", "loghost agent archive live", "loghost agent archive live", "live agent archive loghost",
		"live agent archive loghost", "live agent archive loghost",
	} {
		if got := v.names(); got != want {
			t.Errorf("by %s: %s, want %s", orders[v.sorted].name, got, want)
		}
		v.press("s")
	}
	if v.sorted != 0 {
		t.Errorf("after the last column comes %s", orders[v.sorted].name)
	}
	if v.press("r"); v.names() != "loghost live archive agent" {
		t.Errorf("reversed: %s", v.names())
	}
	if v.press("S"); orders[v.sorted].name != "lost 24h" {
		t.Errorf("before the first column comes %s", orders[v.sorted].name)
	}
}

func TestFilterKeys(t *testing.T) {
	v := newView(t).fill()
	for _, step := range []struct{ keys, names string }{
		{"/", "agent archive live loghost"}, {"UNIX", "agent live"}, {"<enter>", "agent live"}, {"q", "agent live"}, // q ends it, and is no part of it
		{"<esc>", "agent archive live loghost"}, {"/", "agent archive live loghost"}, {"degraded", "loghost"}, {"<esc>", "agent archive live loghost"},
		{"/", "agent archive live loghost"}, {"\x1b[", ""}, {"<backspace>", "agent archive live loghost"}, {"zz", ""},
	} {
		if v.press(step.keys); v.names() != step.names {
			t.Errorf("after %q: %q, want %q (filter %q)", step.keys, v.names(), step.names, v.filter)
		}
	}
	if v.press(strings.Repeat("z", 1000)); len(v.filter) > maxFilter {
		t.Errorf("a filter of %d bytes", len(v.filter))
	}
}

func TestSelect(t *testing.T) {
	v := newView(t).fill()
	for _, step := range []struct{ key, name string }{
		{"<down>", "agent"}, {"j", "archive"}, {"k", "agent"}, {"<up>", "agent"}, {"<esc>", ""}, {"<up>", "loghost"}, {"j", "loghost"},
	} {
		if v.press(step.key); v.selected != step.name {
			t.Errorf("after %s: %q, want %q", step.key, v.selected, step.name)
		}
	}
	r := readReport(t)
	r.Consumers = r.Consumers[:1]
	if v.Update(answer{report: r}); v.selected != "" || len(v.queued) != 1 {
		t.Errorf("a sink that is gone is selected: %q, and %d series are kept", v.selected, len(v.queued))
	}
}

// TestPause: while it is paused the relay is not asked, and the answer on its way changes nothing.
func TestPause(t *testing.T) {
	v := newView(t).fill()
	asked := 0
	v.ask = func() (*plugin.Report, error) { asked++; return readReport(t), nil }
	before := v.press("p").plain()
	r := readReport(t)
	r.Pid = 99
	v.Update(answer{report: r})
	if after := v.plain(); after != before {
		t.Errorf("the screen changed:\n%s", cmp.Diff(before, after))
	}
	if v.Update(again{}); asked != 0 {
		t.Error("asked while paused")
	}
	v.press("p")
	if _, cmd := v.Update(again{}); cmd == nil {
		t.Error("not asked after the pause")
	} else if v.Update(cmd()); asked != 1 || v.report.Pid == 99 {
		t.Errorf("asked %d times", asked)
	}
}

// TestRestart: what is shown stays while the plugin is away, with the time since when it is, and
// graphs continue when it is back.
func TestRestart(t *testing.T) {
	v := newView(t).fill()
	samples := len(v.input)
	for range 3 {
		v.now = v.now.Add(time.Second)
		v.Update(answer{err: plugin.ErrNotRunning})
	}
	if text := v.plain(); !strings.HasPrefix(text, "down since 06:13:01 (2.0s)") || !strings.Contains(text, "\nloghost ") {
		t.Errorf("while it is away:\n%s", text)
	}
	v.Update(answer{err: errors.New("i/o timeout")})
	if text := v.plain(); !strings.HasPrefix(text, "no answer since 06:13:01") {
		t.Errorf("while it hangs:\n%s", text)
	}
	r := readReport(t)
	r.Pid = 99
	v.Update(answer{report: r})
	if text := v.plain(); !strings.HasPrefix(text, "losing") || !strings.Contains(text, "pid 99") || len(v.input) != samples+1 {
		t.Errorf("when it is back:\n%s", text)
	}
}

func TestQuit(t *testing.T) {
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		v := newView(t)
		_, cmd := v.Update(key)
		if cmd == nil || cmd() != (tea.QuitMsg{}) {
			t.Errorf("%s does not quit", key)
		}
	}
	v := newView(t).press("/")
	if _, cmd := v.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}); cmd == nil {
		t.Error("ctrl+c does not quit while the filter is typed")
	}
}

// TestScreenIsSafe: whatever the report and the error hold, and whatever keys come, there are as
// many lines as the terminal has, none wider than it, and no sequence but colours.
func TestScreenIsSafe(t *testing.T) {
	base := readReport(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\x1b[2J\x1b]0;x\x07", "\u202e\u009b", "漢字漢字漢字", "a\nb\tc", "\xff", strings.Repeat("x", 500)}))
		v := newView(t)
		v.Update(tea.WindowSizeMsg{Width: rapid.IntRange(0, 200).Draw(rt, "width"), Height: rapid.IntRange(0, 60).Draw(rt, "height")})
		r := *base
		r.Why = rapid.SliceOfN(text, 0, 5).Draw(rt, "why")
		r.Consumers = append(r.Consumers[:0:0], base.Consumers...)
		r.Consumers[0].Name, r.Version = text.Draw(rt, "name"), text.Draw(rt, "version")
		r.Input.Rate = rapid.Float64().Draw(rt, "rate")
		v.Update(answer{report: &r})
		for _, key := range rapid.SliceOfN(rapid.SampledFrom([]string{"s", "r", "/", "j", "?", "p", "<esc>", "<enter>", "\x1b", "漢", "<up>"}), 0, 8).Draw(rt, "keys") {
			v.press(key)
		}
		if rapid.Bool().Draw(rt, "fails") {
			v.Update(answer{err: errors.New(text.Draw(rt, "error"))})
		}
		lines := v.screen()
		if v.width > 0 && v.height > 0 && len(lines) != v.height {
			rt.Fatalf("%d lines at a height of %d", len(lines), v.height)
		}
		for _, line := range lines {
			if n := ansi.StringWidth(line); n > v.width {
				rt.Fatalf("%d columns at a width of %d: %q", n, v.width, line)
			}
			bare := sgr.ReplaceAllString(line, "")
			if overview.Clean(bare) != strings.ReplaceAll(bare, `\`, `\\`) {
				rt.Fatalf("not safe: %q", line)
			}
		}
	})
}

func TestGraph(t *testing.T) {
	var s series
	for _, value := range []float64{0, 1, 7, -1} {
		s.add(value)
	}
	for width, want := range map[int]string{0: "", 2: "█▁", 4: "▁▂█▁", 6: "  ▁▂█▁"} {
		if got := s.graph(width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	for i := range 3 * maxSamples {
		s.add(float64(i))
	}
	if len(s) != maxSamples || s[len(s)-1] != 3*maxSamples-1 {
		t.Errorf("%d samples are kept", len(s))
	}
}
