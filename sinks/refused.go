package sinks

import (
	"time"

	"audisp-relay/queue"
)

// Refused is the error of a Write whose place has refused records for good. After those that Write
// reports as delivered, the next Records of the batch are dealt with and not to be written again;
// what of them is lost is Loss, which may be less than all.
type Refused struct {
	Records int
	Loss    queue.Loss
	Err     error // names the place, the reason and what to do
}

func (e *Refused) Error() string { return e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

// Delayed may be implemented by an error of a Write whose place has said how long it is to be left
// alone.
type Delayed interface {
	error
	// RetryAfter is the least pause before the next attempt.
	RetryAfter() time.Duration
}

// Paced may be implemented by a Writer for which many small batches are expensive.
type Paced interface {
	// Pause is how long records may gather in the queue before the next Write. The Pump's
	// goroutine calls it.
	Pause() time.Duration
}
