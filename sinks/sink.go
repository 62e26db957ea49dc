// Package sinks holds what all kinds of consumers share: the interface, the
// loop that carries records from a queue to a place, and the health they report.
package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue"
)

// ErrTimeUp is why a sink is ended when the plugin itself has to be gone.
var ErrTimeUp = errors.New("the plugin's time is up")

// Sink delivers the records of one consumer. Making one touches nothing
// outside; a place that is missing, full or dead makes it degraded, never ends it.
type Sink interface {
	// Run takes records from q through cursors of its own and delivers them until
	// ctx ends or until q is closed and all of it is delivered. When it returns,
	// every goroutine, file and child of the sink is gone. It is called once. When
	// the cause of ctx's end is ErrTimeUp there is no time to be polite.
	Run(ctx context.Context, q *queue.Queue)
	// Reopen asks for files to be opened and connections to be made again (SIGHUP).
	// It returns at once and may be called from anywhere.
	Reopen()
	// Status says how the sink is. It may be called from anywhere.
	Status() Status
}

// Status is the state of a sink as status and the state report show it.
type Status struct {
	Degraded bool      `json:"degraded"`
	Error    string    `json:"error,omitempty"` // the last one, kept after recovery
	Since    time.Time `json:"since"`           // of the present state
	Failures uint64    `json:"failures"`        // attempts that failed, in all
	Flaw     string    `json:"flaw,omitempty"`  // what is not as configured although records are delivered
	DiskFull bool      `json:"-"`               // it is degraded because a disk of this host is full
	Details  Details   `json:"-"`               // nil: nothing
}

// Details are what sinks of one type say besides: a pointer to a struct, whose fields
// are those of the status in JSON, too.
type Details interface {
	// WriteText gives the lines of the status in text.
	WriteText(line func(key string, value any))
}

// Connection may be implemented by Details of a sink that connects to a server.
type Connection interface {
	// Reconnects is how often a connection was made, but for the first.
	Reconnects() uint64
	// CertificateEnd is when the first certificate of the connection expires, the server's or the
	// sink's own; zero without TLS, and until there was a connection.
	CertificateEnd() time.Time
}

// Rollbacks may be implemented by Details of a sink whose place can lose what it has acknowledged.
type Rollbacks interface {
	// EngineRollbacks is how often that was noticed.
	EngineRollbacks() uint64
}

// Announced may be implemented by Details of a sink whose place takes checkpoints beside its records.
type Announced interface {
	// LastCheckpoint is the time of the last one that the place has stored; zero until there was one.
	LastCheckpoint() time.Time
}

// MarshalJSON implements json.Marshaler: one object has the fields of both.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status // without this method
	text, err := json.Marshal(plain(s))
	if err != nil || s.Details == nil {
		return text, err
	}
	details, err := json.Marshal(s.Details)
	if err != nil || len(details) == len("{}") {
		return text, err
	}
	text[len(text)-1] = ','
	return append(text, details[1:]...), nil
}

// Writer is a consumer with one destination. All calls come from one goroutine,
// that of the Pump that owns it.
type Writer interface {
	// Write delivers the records of b in order, opening or connecting first where
	// need be, and returns how many were delivered, from the first on. With an
	// error it is called again later with the rest: what it reported as not
	// delivered must not show at the place in part, or must be finished there by
	// the next call. It does not keep b. It blocks no longer than ctx lives, but
	// for file I/O.
	Write(ctx context.Context, b record.Batch) (n int, err error)
	// Tick is called about once a second while there is nothing to write or
	// between writes, to sync or to notice that a peer has gone.
	Tick(ctx context.Context) error
	// Reopen lets go of the file or connection; the next Write opens it again.
	Reopen() error
	// Close lets go of everything. What was written is synced where asked.
	Close() error
}

// Extra may be implemented by a Writer to add to the Status of its sink; it is
// called from any goroutine.
type Extra interface{ Extra(*Status) }

// Patient may be implemented by a Writer whose end can wait for something.
type Patient interface {
	// TakeTime is called before Close where the sink ends and the plugin goes on, as at a reload.
	TakeTime()
}

// EndsAlone reports whether a sink's context has ended, and not because the plugin ends.
func EndsAlone(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrTimeUp)
}

// Steady may be implemented by a Writer whose place can take records and still fail:
// only when it reports true does the sink, once degraded, work again.
type Steady interface{ Steady() bool }
