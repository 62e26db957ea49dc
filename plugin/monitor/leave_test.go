package monitor

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestRenewalsThatFollowEachOther: the first ones go at once, further ones wait for longer and longer, until a program has lived.
func TestRenewalsThatFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		early := 0
		renew := func(began time.Time) time.Duration {
			begin := time.Now()
			m := &monitor{Options: Options{Log: zap.New(core), Early: early, Renewing: func(n int) { early = n }}}
			m.renewing(&worker{began: began})
			return time.Since(begin)
		}
		for n := 1; n <= 200; n++ {
			took, want := renew(time.Now()), maxPause
			if n <= freeRenewals+6 {
				want = []time.Duration{0, 0, 0, 1, 2, 4, 8, 16, 32}[n-1] * minPause
			} else if n == freeRenewals+7 {
				want = 64 * minPause
			}
			if took != want || early != n {
				t.Errorf("number %d: after %v, want %v; %d early", n, took, want, early)
			}
		}
		if n := logs.Len(); n != 200-freeRenewals {
			t.Errorf("%d log lines", n)
		}
		if took := renew(time.Now().Add(-steadyTime)); took != 0 || early != 0 {
			t.Errorf("after one that has lived: %v, %d early", took, early)
		}
	})
}

// TestWorkerThatLeavesIsReplaced: one that has nobody to ask any more does its work no more.
func TestWorkerThatLeavesIsReplaced(t *testing.T) {
	t.Parallel()
	end, s, logs, err := run(t, "leaves", nil)
	said := logs.FilterMessageSnippet("worker has ended").All()
	if end != Ended || err != nil || s.closed != 2 || len(said) != 1 || !strings.Contains(fmt.Sprint(said[0].ContextMap()["error"]), errLeft.Error()) {
		t.Errorf("end %d, %v, %d sessions, said %+v", end, err, s.closed, said)
	}
}
