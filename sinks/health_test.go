package sinks

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
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

// TestHealthKnowsAFullDisk, however the error is wrapped, until it works again or fails otherwise.
func TestHealthKnowsAFullDisk(t *testing.T) {
	h := NewHealth("x", zap.NewNop())
	for _, tt := range []struct {
		err  error // nil: it works
		full bool
	}{
		{errors.New("broken"), false},
		{fmt.Errorf("write /x: %w: free space", unix.ENOSPC), true},
		{errors.Join(errors.New("a"), unix.EDQUOT), true},
		{unix.EIO, false},
		{unix.ENOSPC, true},
		{nil, false},
	} {
		if h.OK(); tt.err != nil {
			h.Fail(tt.err)
		}
		if s := h.Status(); s.DiskFull != tt.full || s.Degraded != (tt.err != nil) {
			t.Errorf("%v: %+v", tt.err, s)
		}
	}
	h.Fail(unix.ENOSPC)
	h.Fail(unix.ECONNREFUSED)
	if s := h.Status(); s.DiskFull || !s.Degraded {
		t.Errorf("%+v", s)
	}
}
