package sinks

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host/broker"
)

// Kind is a type of sink: what the configuration may say of one, and how one is made.
type Kind struct {
	config.Kind
	// New makes the sink of a checked configuration, whose Settings are what Read returned.
	// enc belongs to it from then on.
	New func(cfg config.Sink, enc format.Encoder, log *zap.Logger) Sink
	// Details returns a pointer to the zero value of what is in the Status of the sink.
	Details func() Details
	// Warden makes what does in the monitor what sinks of this type may not do in the worker; nil where they
	// may do all. It has to be configured first.
	Warden func() Warden
	// Try tries whether a sink could deliver; nil where there is nothing to try.
	Try func(ctx context.Context, t *Trial)
}

// kinds are written while packages are initialised only, so that no lock guards them.
var kinds = make(map[string]Kind)

// Register makes a type of sink known, to the configuration as well. Each package of a sink
// calls it when it is initialised; package sinks/all imports them.
func Register(k Kind) {
	config.Register(k.Kind)
	kinds[k.Name] = k
}

// New makes the sink of a checked configuration. One of a type that this program lacks is
// degraded and delivers nothing.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) Sink {
	k, known := kinds[cfg.Type]
	if !known || cfg.Settings == nil {
		return NewPump(cfg.Name, lacking(cfg.Type), log)
	}
	return k.New(cfg, enc, log)
}

// NewDetails returns the zero value of the details of a type of sink, nil where it has none.
func NewDetails(kind string) Details {
	if k := kinds[kind]; k.Details != nil {
		return k.Details()
	}
	return nil
}

// Warden does in the relay's monitor, for the sinks of one type and name, what they may not do in the worker. The
// worker only names what it wants; which file or program that is the Warden knows from the configuration. Serve is
// called by several goroutines, the other methods by one.
type Warden interface {
	// Configure gives the Warden the sink as the configuration has it now. What was opened before stays.
	Configure(config.Sink)
	// Retire says that the configuration no longer has the sink: no program is started for it, and it connects to nothing.
	// What it has it may bring to its end.
	Retire()
	// Serve does what the worker asks for. What it gets is not to be trusted.
	Serve(*broker.Call) (broker.Answer, error)
	// Close lets go of everything: the worker has gone.
	Close()
}

// WardenSettings are the settings of a sink, of type C, for its Warden. A Warden that embeds them has Configure and
// Retire, which wait for nothing that Serve does, such as a disk that hangs.
type WardenSettings[C any] struct{ now atomic.Pointer[C] }

// Configure implements Warden.
func (w *WardenSettings[C]) Configure(cfg config.Sink) {
	now := *any(cfg.Settings).(*C)
	w.now.Store(&now)
}

// Retire implements Warden.
func (w *WardenSettings[C]) Retire() { w.now.Store(nil) }

// Settings returns the settings as they are now, the zero value where the configuration does not have the sink. They are not to be
// changed.
func (w *WardenSettings[C]) Settings() *C {
	if now := w.now.Load(); now != nil {
		return now
	}
	return new(C)
}

// NewWarden returns a Warden for a type of sink, nil where it needs none.
func NewWarden(kind string) Warden {
	if k := kinds[kind]; k.Warden != nil {
		return k.Warden()
	}
	return nil
}

// Item is what a worker calls the sink when it asks its monitor for something.
func Item(cfg *config.Sink) string { return cfg.Type + "/" + cfg.Name }

// lacking is the Writer of a sink whose type this program does not have.
type lacking string

func (kind lacking) Write(context.Context, record.Batch) (int, error) {
	return 0, fmt.Errorf("this program has no sink of type %q, only of %q: correct type", string(kind), config.Kinds())
}

func (kind lacking) Tick(ctx context.Context) error {
	_, err := kind.Write(ctx, record.Batch{})
	return err
}

func (kind lacking) Reopen() error { return nil }
func (kind lacking) Close() error  { return nil }
