package plugin

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
