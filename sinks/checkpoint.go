package sinks

import "audisp-relay/fleet/wire"

// Checkpointer may be implemented by a Sink whose place takes checkpoints beside its records: an
// engine. A Writer of a Pump implements it by the Pump's (see Pump.Checkpoint).
//
// A checkpoint comes every 10 s while records come and every 60 s otherwise, at the start and at
// the end. All fields are set; Epoch and N are kept over restarts, per sink. A sink that numbers
// its records itself sets Epoch and Seq to its own before it sends c: Seq is then the number of
// the last record that the engine has acknowledged, and must not be ahead of that. N stays.
type Checkpointer interface {
	// Checkpoint takes c over. It returns at once and may be called from any goroutine: the sink
	// sends c in its own, and only the newest where it could not send those before. One with
	// wire.ReasonEnd comes before the queue is closed; the sink sends it last, with Seq as it is
	// then, as far as the time of its end allows. A sink of which the user wants no checkpoints
	// does nothing.
	Checkpoint(c wire.Checkpoint)
}

// Checkpointed may be implemented by the Settings of a sink that has checkpoints among its records:
// if it reports true, they are put into its queue as records of type DAEMON_CONFIG.
type Checkpointed interface{ Checkpoints() bool }
