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

// TestLongRateOfABurst: a burst of seconds hardly changes the rate that says how long audit.log lasts,
// and a flood of minutes becomes it.
func TestLongRateOfABurst(t *testing.T) {
	p := New(Options{Config: filepath.Join(t.TempDir(), "none.toml")})
	defer p.signals.close()
	now := p.started
	come := func(seconds int, records uint64) (in Input) {
		for range seconds {
			now = now.Add(time.Second)
			p.input.Records += records
			p.sample(now)
		}
		r := Report{Now: now, Input: p.input}
		p.reportFlow(&r)
		return r.Input
	}

	if in := come(600, 100); in.LongRate != 100 {
		t.Errorf("%v records a second in ten minutes of 100", in.LongRate)
	}
	if in := come(10, 10_000); in.Rate < 9000 || in.LongRate > 500 {
		t.Errorf("after ten seconds of 10000: %v in the last seconds, %v in five minutes", in.Rate, in.LongRate)
	}
	if in := come(320, 10_000); in.LongRate != 10_000 {
		t.Errorf("%v records a second after a flood of five minutes", in.LongRate)
	}
	if in := come(320, 0); in.LongRate != 0 || in.LogGrowth() != 0 {
		t.Errorf("%v records a second, %v bytes, after five minutes of nothing", in.LongRate, in.LogGrowth())
	}
}
