package plugin

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/host"
)

// TestAuditdWatch: how long audit.log lasts, and what auditd has said of its queue lately.
func TestAuditdWatch(t *testing.T) {
	const room = 40 << 20
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		type files struct {
			log    host.LogInfo
			state  host.AuditdState
			failed error
		}
		var there atomic.Pointer[files]
		put := func(f files) { there.Store(&f) }
		log := host.LogInfo{Written: true, Room: room}
		put(files{log: log, state: host.AuditdState{Queue: 3, MaxQueue: 40, Depth: 2000, Written: begin.Add(90 * time.Second)}})
		w := &auditdWatch{
			logOf: func() (host.LogInfo, error) { f := there.Load(); return f.log, f.failed },
			state: func() (host.AuditdState, error) { f := there.Load(); return f.state, f.failed },
			since: begin,
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := inBackground(func() { w.run(ctx) })
		now := func(pause time.Duration) (in Input) {
			time.Sleep(pause)
			synctest.Wait()
			in.Records, in.Bytes, in.LongRate = 100, 20_000, 100
			w.report(&in)
			return in
		}

		if in := now(auditdFirst - 1); in.LogReach != 0 || in.AuditdQueue != nil {
			t.Errorf("before the first look: %+v", in)
		}
		if in := now(1); in.LogReach != room/(100*200.0) {
			t.Errorf("at the first look: %+v", in)
		}
		if in := now(2 * time.Minute); in.LogReach != room/(100*200.0) || in.AuditdQueue == nil || in.AuditdQueue.MaxDepth != 40 {
			t.Errorf("after two minutes: reach %v, queue %+v", in.LogReach, in.AuditdQueue)
		}
		put(files{state: there.Load().state})
		if in := now(6 * time.Minute); in.LogReach != 0 || in.AuditdQueue != nil {
			t.Errorf("without a log, with an old report: reach %v, queue %+v", in.LogReach, in.AuditdQueue)
		}
		put(files{log: log, state: host.AuditdState{Queue: 3, Written: time.Now()}})
		if in := now(time.Minute); in.LogReach == 0 || in.AuditdQueue != nil {
			t.Errorf("with a part of a report: reach %v, queue %+v", in.LogReach, in.AuditdQueue)
		}
		put(files{failed: errors.New("no auditd")})
		if in := now(time.Minute); in.LogReach != 0 || in.AuditdQueue != nil {
			t.Errorf("without auditd: reach %v, queue %+v", in.LogReach, in.AuditdQueue)
		}
		cancel()
		<-ended
	})
}

// TestReportOfAnEarlierAuditd: what was written before auditd was started is of another one.
func TestReportOfAnEarlierAuditd(t *testing.T) {
	now := time.Now()
	w := &auditdWatch{
		logOf: func() (host.LogInfo, error) { return host.LogInfo{}, nil }, since: now.Add(-time.Minute),
		state: func() (host.AuditdState, error) {
			return host.AuditdState{Depth: 2000, Written: now.Add(-2 * time.Minute)}, nil
		},
	}
	w.look(now)
	var in Input
	if w.report(&in); in.AuditdQueue != nil {
		t.Errorf("queue %+v", in.AuditdQueue)
	}
}
