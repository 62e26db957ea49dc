// Package engine is what sinks of engines have in common: places that keep batches under
// numbers, acknowledge each, and can say which one of a host they have last (NATS JetStream;
// Kafka is alike). It makes the batches and their headers (fleet/wire), keeps one in flight,
// lets their size follow the time that an acknowledgement takes, and finds its place again after
// whatever has ended: README.md says how. A Place is all that an engine has of its own.
package engine

import (
	"context"
	"errors"
	"time"

	"audisp-relay/fleet/wire"
)

// ErrMoved is what a Place returns when it has another last batch than it had: the sink asks
// for that before it sends more.
var ErrMoved = errors.New("the engine has another last batch than was expected")

// Batch is what is sent at once and acknowledged as one.
type Batch struct {
	Header wire.Header
	Body   []byte // encoded as the header says

	ids  []uint64 // of its records, see idOf
	next uint64   // number in the queue after its last record
}

// Tail is the last batch that an engine has of this host.
type Tail struct {
	wire.Header
	// Number is that of the message in the engine, which never falls unless the engine loses
	// messages.
	Number uint64
}

// next is the number of the first record that the engine lacks of the epoch of t.
func (t *Tail) next() uint64 {
	if t.Part.K < t.Part.N {
		return t.Seq // a batch whose last parts are missing
	}
	return t.Next()
}

// Place is an engine. All calls come from one goroutine, but for Moved and Flaw.
type Place interface {
	// Last returns the last batch that the engine has of this host, nil where it has none,
	// connecting first where need be. It may be an older one than the last: then Send finds it out.
	Last(ctx context.Context) (*Tail, error)
	// Send has the engine store b after what Last, or the call of Send before, has shown, and
	// returns when the engine has acknowledged that. After any error it is not known whether
	// the batch was stored; ErrMoved says that the engine had something else there.
	Send(ctx context.Context, b *Batch) error
	// Keeps returns how long the engine keeps a batch, 0 for ever. known is false where that
	// is not known, or not certain because it also goes by size.
	Keeps() (d time.Duration, known bool)
	// Moved reports whether the connection was made again since Last was called, so that the
	// engine may be another one.
	Moved() bool
	// Tick is called about once a second.
	Tick(ctx context.Context) error
	// Reopen lets go of the connection and of what was read of files; the next Last makes it again.
	Reopen() error
	// Close lets go of everything.
	Close() error
}
