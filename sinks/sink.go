// Package sinks holds what all kinds of consumers share: the interface, the
// loop that carries records from a queue to a place, and the health they report.
package sinks

import (
	"context"
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
	// Reopen asks for files to be opened and connections to be made anew (SIGHUP).
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
	Restarts uint64    `json:"restarts,omitempty"`
	Pid      int       `json:"pid,omitempty"`
	Clients  []Client  `json:"clients,omitempty"`
	// Refused counts clients that were turned away, Dropped those that were
	// disconnected because they were too slow.
	Refused uint64 `json:"refused,omitempty"`
	Dropped uint64 `json:"dropped,omitempty"`
	// Repeated counts messages that were sent again after a connection broke: they may
	// have come twice. Doubtful counts those that a broken connection had taken and
	// that may not have been read.
	Repeated uint64 `json:"repeated,omitempty"`
	Doubtful uint64 `json:"doubtful,omitempty"`
	// Truncated counts how often others have truncated the file under the sink, TruncatedBytes
	// what it held: some of that may be nowhere.
	Truncated      uint64 `json:"truncated,omitempty"`
	TruncatedBytes uint64 `json:"truncated_bytes,omitempty"`
}

// Client is one connection to a socket sink.
type Client struct {
	Pid       int       `json:"pid"`
	UID       int       `json:"uid"`
	Since     time.Time `json:"since"`
	Delivered uint64    `json:"delivered"` // records
	Lost      uint64    `json:"lost"`      // records it was made to skip
	Pending   int       `json:"pending"`   // records that wait for it
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
	// Reopen lets go of the file or connection; the next Write opens it anew.
	Reopen() error
	// Close lets go of everything. What was written is synced where asked.
	Close() error
}

// Extra may be implemented by a Writer to add to the Status of its sink; it is
// called from any goroutine.
type Extra interface{ Extra(*Status) }

// Steady may be implemented by a Writer whose place can take records and fail all the same:
// only when it reports true does the sink, once degraded, work again.
type Steady interface{ Steady() bool }
