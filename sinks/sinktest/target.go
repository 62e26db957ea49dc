// Package sinktest is one conformance suite for every kind of sink: what a
// consumer may count on whatever it is made of. A sink's own tests call
//
//	sinktest.Run(t, sinktest.Target{Place: newPlace, ...})
//
// and hold goleak in their TestMain.
package sinktest

import (
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// Target is a kind of sink and what it promises.
type Target struct {
	// Place prepares a fresh destination; each test asks for its own. What it
	// sets up it takes down with t.Cleanup.
	Place func(t *testing.T) Place
	// Formats the sink can write; nil means String only.
	Formats []format.Format
	// Expect appends to dst what record i of b looks like in Place.Read; nil
	// means just as enc encodes it.
	Expect func(dst []byte, enc *format.Encoder, b record.Batch, i int) []byte

	// The rest says where the sink promises less than everything. Whatever is
	// set, what arrives is whole, in order, and not twice unless Repeats.

	// BreakLoses: records handed over shortly before the place broke may be missing.
	BreakLoses bool
	// BreakUnseen: the sink cannot notice that the place is broken (UDP).
	BreakUnseen bool
	// RestartLoses: records handed over shortly before Run was cancelled may be missing.
	RestartLoses bool
	// ReopenLoses: records handed over shortly before a Reopen may be missing.
	ReopenLoses bool
	// Repeats: after a break, restart or reopen records may come a second time.
	Repeats bool
	// StallLoses: records may be missing when the consumer does not read (UDP).
	StallLoses bool
	// CutsLong: a line longer than MaxRecord does not arrive in one piece; the
	// test of it is left to the sink.
	CutsLong bool
}

// Place is a destination. Hooks that make no sense for it are nil, and the
// tests that need them are skipped.
type Place struct {
	// New returns a sink that delivers there. It is called again after the
	// sink before has ended, as a reload does.
	New func(enc format.Encoder) sinks.Sink
	// Read returns what has arrived so far, of all files, clients or connections
	// one after another. An unfinished record at the end of a connection that
	// has ended is left out. It is called from the test's goroutine at any time,
	// while the place is broken or stalled too.
	Read func() []byte
	// Finish, when not nil, is called after the last sink has ended and waits
	// until the consumer has read what there is.
	Finish func()
	// Break makes the place fail, also before a sink exists; Repair undoes it.
	Break, Repair func()
	// Stall stops the consumer from reading, once there is a sink; Resume undoes it.
	Stall, Resume func()
	// Queue, when not nil, changes the queue's configuration: by default it is
	// lossless, larger than what the tests put in, and holds for the next cursor.
	Queue func(*queue.Config)
}

func (tg *Target) expect(enc format.Encoder, batches []record.Batch) []byte {
	var out []byte
	for _, b := range batches {
		for i := range b.Recs {
			if tg.Expect != nil {
				out = tg.Expect(out, &enc, b, i)
			} else {
				out = enc.Append(out, b, i)
			}
		}
	}
	return out
}
