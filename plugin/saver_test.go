package plugin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/plugin/consumer"
)

// TestFirstRecordsAreSavedAtOnce: not only when it is time, as a first run that is killed before that
// would leave nothing from which the next could continue.
func TestFirstRecordsAreSavedAtOnce(t *testing.T) {
	for name, keys := range map[string]string{"records": "", "events": "filter = \"serial > 0\"\n"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "relay.toml")
			config := strings.ReplaceAll("run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\npriority_boost = 0\noom_score_adj = 0\nlog.output = \"DIR/log\"\n"+
				"recovery.enabled = false\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n"+keys, "DIR", dir)
			if err := os.WriteFile(file, []byte(config), 0o640); err != nil {
				t.Fatal(err)
			}
			in, out := io.Pipe()
			p := New(Options{Config: file, In: in})
			p.saveEvery = time.Hour
			ended := make(chan error, 1)
			go func() { ended <- p.Run() }()
			fmt.Fprint(out, lines(1, 5))

			wait(t, "a position is saved", func() bool {
				data, err := os.ReadFile(filepath.Join(dir, "state/state.json"))
				return err == nil && strings.Contains(string(data), `"has_id":true`)
			})
			out.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFaultsOfSpoolsAreOne: each sink has one at most, and one that is gone has none.
func TestFaultsOfSpoolsAreOne(t *testing.T) {
	k := new(stateSaver)
	k.setFault(errors.New("no room"))
	k.noteSpool("a", errors.New("in use"))
	k.noteSpool("gone", errors.New("in use"))
	sinks := []consumer.Report{{Name: "a", SpoolFault: "x"}, {Name: "b", SpoolFault: "input/output error"}, {Name: "c"}}
	if got, want := k.shownFault(sinks), "no room; sinks.a has no spool: in use; the spool of sinks.b takes nothing: input/output error"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	k.setFault(nil)
	k.noteSpool("a", nil)
	if got := k.shownFault(sinks[2:]); got != "" {
		t.Errorf("%q", got)
	}
}

// TestStateThatIsNotKeptShows: the report says why positions, or the spool of one sink, cannot be kept, for as long as that is so.
func TestStateThatIsNotKeptShows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ inTheWay, want string }{
		"state_dir": {"state", "not a directory"},
		"spool":     {"state/spool/f", "sinks.f has no spool: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "relay.toml")
			config := strings.ReplaceAll("run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\npriority_boost = 0\noom_score_adj = 0\nlog.output = \"DIR/log\"\n"+
				"recovery.enabled = false\n[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n[sinks.g]\ntype = \"file\"\npath = \"DIR/g\"\n", "DIR", dir)
			blocked := filepath.Join(dir, test.inTheWay)
			err := errors.Join(os.WriteFile(file, []byte(config), 0o640), os.MkdirAll(filepath.Dir(blocked), 0o700), os.WriteFile(blocked, nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}

			p, w, end := runFile(t, file)
			defer end()
			fmt.Fprint(w, lines(1, 1)) // once that is read there is a report
			wait(t, "the fault shows", func() bool { return strings.Contains(p.Report().StateFault, test.want) })
			r := p.Report()
			if r.State != StateDegraded || len(r.Why) != 1 || !slices.Equal(r.Degraded, []string{"state_dir"}) {
				t.Errorf("%s: %q, degraded %q", r.State, r.Why, r.Degraded)
			}
			if name != "state_dir" {
				return
			}
			if err := os.Remove(blocked); err != nil {
				t.Fatal(err)
			}
			wait(t, "it is over", func() bool { r := p.Report(); return r.StateFault == "" && r.State == StateOK })
		})
	}
}
