package sinks

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestHealthSaysWhatLasts: what comes right after a recovery is not said at
// once, but the log does not keep saying that the sink works.
func TestHealthSaysWhatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		h := NewHealth("x", zap.New(core))
		broken := errors.New("broken")
		h.Fail(broken)
		h.OK()
		for range 3 * 60 { // three minutes
			h.Fail(broken)
			time.Sleep(time.Second)
		}
		var at []time.Duration
		first := logs.All()[0].Time
		for _, e := range logs.All() {
			at = append(at, e.Time.Sub(first).Round(time.Second))
		}
		// Degraded, works again, degraded 10 s later and then once a minute.
		want := []time.Duration{0, 0, settleTime, settleTime + complainEvery, settleTime + 2*complainEvery}
		if len(at) != len(want) {
			t.Fatalf("said at %v, want %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("said at %v, want %v", at, want)
			}
		}
	})
}
