package plugin

import (
	"path/filepath"
	"testing"
	"time"
)

// TestRateHasTheFirstSecond: records that came before the first tick of the clock are in the rate.
func TestRateHasTheFirstSecond(t *testing.T) {
	p := New(Options{Config: filepath.Join(t.TempDir(), "none.toml")})
	defer p.signals.close()
	p.input.Records = 600
	p.sample(p.started.Add(time.Second))

	r := Report{Now: p.started.Add(2 * time.Second), Input: p.input}
	p.reportFlow(&r)
	if r.Input.Rate != 300 {
		t.Errorf("%v records a second, want 600 in two seconds", r.Input.Rate)
	}
}
