package consumer

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
)

// TestHungSinkHoldsUpItsOwnOnly: a sink that was removed and does not end, as on a disk that hangs, does not keep another one from
// beginning for long; one that is to be replaced does, and the status says so.
func TestHungSinkHoldsUpItsOwnOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}})
		defer q.Shutdown()
		c := New(Options{Config: config.Sink{Name: "x", Type: "none", Format: "string"}, Log: zap.NewNop(), Queue: q})
		names := new(atomic.Pointer[format.HostNames])
		names.Store(new(format.HostNames))
		after := func(d time.Duration) (runs bool) {
			time.Sleep(d)
			synctest.Wait()
			return q.Counts().Cursors == 1
		}

		never := make(chan struct{})
		c.Start([]*Consumer{{Ended: never}}, names)
		if after(endTime - time.Second) {
			t.Error("it runs beside one that may have its path")
		}
		if !after(2 * time.Second) {
			t.Error("one that was removed keeps it from beginning")
		}
		c.Cancel(nil)
		<-c.Ended

		hung := make(chan struct{})
		c.Ended = hung
		c.Start(nil, names)
		if after(10 * endTime) {
			t.Error("it runs beside the one before it")
		}
		if s := c.Report().Sink; !s.Degraded || !strings.Contains(s.Error, "has not ended") {
			t.Errorf("meanwhile: %+v", s)
		}
		close(hung)
		if !after(2 * time.Second) {
			t.Error("it does not begin when the one before has ended")
		}
		if s := c.Report().Sink; strings.Contains(s.Error, "has not ended") {
			t.Errorf("after that: %+v", s)
		}
		c.Cancel(nil)
		<-c.Ended
	})
}
