package queue

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// waitingPut puts b into a lossless queue that has no room for all of it, and
// returns when Put waits; the channel is closed when it has returned.
func waitingPut(q *Queue, b *record.Batch) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Put(b)
	}()
	for q.Counts().StallSince.IsZero() {
		time.Sleep(time.Millisecond)
	}
	return done
}

func TestLosslessWaitsForRoomAndLosesNothing(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Lossless: true, Hold: true}})
	done := make(chan struct{})
	var want strings.Builder
	for i := range 50 {
		want.WriteString(text(*events(i*7, 7, 3)))
	}
	go func() {
		defer close(done)
		for i := range 50 {
			q.Put(events(i*7, 7, 3))
		}
		q.Close()
	}()
	for q.Counts().StallSince.IsZero() { // until the reader really waits
		time.Sleep(time.Millisecond)
	}
	c := q.Cursor()
	defer c.Close()
	var got strings.Builder
	for {
		b, err := c.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		got.WriteString(text(b))
		c.Advance(len(b.Recs))
	}
	<-done
	if got.String() != want.String() {
		t.Errorf("%d bytes of %d", got.Len(), want.Len())
	}
	if n := balance(t, q); n.Stalls == 0 || n.Stalled == 0 || n.LostRecords() != 0 {
		t.Errorf("%+v", n)
	}
}

func TestStopEndsAWaitingPut(t *testing.T) {
	stop := make(chan struct{})
	q := New(Options{Config: Config{Depth: 2, Bytes: 1 << 20, Lossless: true, Hold: true}, Stop: stop})
	done := waitingPut(q, events(1, 5, 1))
	close(stop)
	<-done
	if n := balance(t, q); n.Lost[Shutdown].Records != 3 {
		t.Errorf("%+v", n)
	}
}

func TestCloseEndsAWaitingPut(t *testing.T) {
	q := New(Options{Config: Config{Depth: 2, Bytes: 1 << 20, Lossless: true, Hold: true}})
	done := waitingPut(q, events(1, 5, 1))
	q.Close()
	<-done
	q.Shutdown()
	if n := balance(t, q); n.Lost[Shutdown].Records != 5 {
		t.Errorf("%+v", n)
	}
}

func TestAReloadToLossyEndsAWaitingPut(t *testing.T) {
	cfg := Config{Depth: 2, Bytes: 1 << 20, Lossless: true, Hold: true}
	q := New(Options{Config: cfg})
	done := waitingPut(q, events(1, 5, 1))
	cfg.Lossless = false
	q.SetConfig(cfg)
	<-done
	if n := balance(t, q); n.Queued != 2 || n.Lost[Full].Records != 3 {
		t.Errorf("%+v", n)
	}
}

func TestAReloadToALargerQueueEndsAWaitingPut(t *testing.T) {
	cfg := Config{Depth: 8, Bytes: 1 << 20, Lossless: true, Hold: true}
	q := New(Options{Config: cfg})
	done := waitingPut(q, events(1, 9, 1))
	cfg.Depth = 9 // which is not a quarter free
	q.SetConfig(cfg)
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("Put still waits, though there is room")
		q.Close()
		<-done
	}
	if n := balance(t, q); n.Queued != 9 {
		t.Errorf("%+v", n)
	}
}
