package plugin

import (
	"context"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"audisp-relay/host"
)

// TestKernelLossWhileAuditdWasStopped: what the kernel lost before the run began is no
// loss if auditd had ended in order and the kernel was asked then; what it loses after
// that always is one.
func TestKernelLossWhileAuditdWasStopped(t *testing.T) {
	is := func(ordinary bool) func() (bool, bool) { return func() (bool, bool) { return ordinary, true } }
	tries := 0
	for _, c := range []struct {
		name          string
		seen          int64               // the count when the run before ended
		ordinary      func() (bool, bool) // nil: it was not asked then
		lost, stopped uint64
	}{
		{"in order", 100, is(true), 7, 40},
		{"a crash", 100, is(false), 47, 0},
		{"not asked at the end", 100, nil, 47, 0},
		{"nothing before", 140, is(true), 7, 0},
		{"not known", -1, is(true), 7, 0},
		{"in order, while records are given", 100, func() (bool, bool) { tries++; return tries > 3, tries > 3 }, 7, 40},
		{"nothing but records that are given", 100, func() (bool, bool) { return false, false }, 47, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var reported uint64
			asked := 0
			k := &kernelLoss{log: zap.NewNop(), backlog: new(backlog), records: func() uint64 { return 0 }, report: func(n uint32) { reported += uint64(n) }, ordinary: c.ordinary,
				ask: func() (host.KernelCounts, error) {
					if asked++; asked == 1 {
						return host.KernelCounts{Lost: 140}, nil
					}
					return host.KernelCounts{Lost: 147}, nil
				}}
			k.seen.Store(c.seen)
			ctx, cancel := context.WithTimeout(t.Context(), 3*kernelEvery)
			defer cancel()
			k.run(ctx)
			if k.lost.Load() != c.lost || k.stopped.Load() != c.stopped || reported != c.lost || !k.last.Load() {
				t.Errorf("%s: lost %d, want %d; stopped %d, want %d; reported %d", c.name, k.lost.Load(), c.lost, k.stopped.Load(), c.stopped, reported)
			}
		})
	}
}
