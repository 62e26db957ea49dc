// Package nats is the consumer that hands batches of records to a stream of NATS JetStream, each
// acknowledged before the next, so that the stream has every record once: README.md says what is
// promised and what not. What it shares with sinks of other engines is in sinks/engine.
package nats

import (
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/engine"
	"audisp-relay/sinks/remote"
)

// sink is an engine.Sink and the place it delivers to.
type sink struct {
	*engine.Sink
	place *place
}

// New returns the sink that cfg, whose Settings are a *Config, describes. It touches nothing: what
// cannot be reached makes the sink degraded while it runs. enc says how a record becomes text; it
// belongs to the sink from now on.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	return newSink(cfg, enc, engine.ThisHost(), log)
}

func newSink(cfg config.Sink, enc format.Encoder, host engine.Host, log *zap.Logger) *sink {
	c := cfg.Settings.(*Config)
	p := newPlace(c, host, log.With(zap.String("sink", cfg.Name)))
	return &sink{place: p, Sink: engine.New(options(cfg, enc, host, log), p)}
}

// options are what cfg says of batches.
func options(cfg config.Sink, enc format.Encoder, host engine.Host, log *zap.Logger) engine.Options {
	c := cfg.Settings.(*Config)
	return engine.Options{
		Name: cfg.Name, Format: cfg.Format, Encoder: enc, StateDir: cfg.StateDir, Host: host,
		Retain: int64(c.Retain), Age: time.Duration(c.Keep) * time.Minute, Gather: time.Duration(c.Gather) * time.Millisecond,
		Zstd: c.Compression == "zstd", Each: c.Each, Log: log,
	}
}

// Status implements sinks.Sink.
func (s *sink) Status() sinks.Status {
	st := s.Sink.Health.Status()
	d := &Details{Counts: s.Counts(), ConnectionCounts: s.place.connections.Counts()}
	if server := s.place.server.Load(); server != nil {
		d.Server = *server
	}
	if flaw := s.place.flaw.Load(); flaw != nil {
		st.Flaw = *flaw
	}
	st.Details = d
	return st
}

// Details are what the sink has sent, and to which server.
type Details struct {
	engine.Counts
	Server string `json:"server,omitempty"` // name and version of the one that it was connected to last
	remote.ConnectionCounts
}

// EngineRollbacks implements sinks.Rollbacks.
func (d *Details) EngineRollbacks() uint64 { return d.Rollbacks }

// LastCheckpoint implements sinks.Announced.
func (d *Details) LastCheckpoint() time.Time { return d.Announced }

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	line("server", d.Server)
	line("epoch", d.Epoch)
	line("sequence acknowledged", d.Sequence)
	line("batches", d.Batches)
	line("bytes sent", d.Bytes)
	line("acknowledged after", d.Ack)
	line("batch size", d.BatchSize)
	line("records passed over, the engine had them", d.Known)
	line("engine rollbacks", d.Rollbacks)
	line("records lost by the engine, sent again", d.Resent)
	line("records lost by the engine, not retained", d.Lost)
	line("position not found", d.Unmatched)
	line("batches of others on the subject", d.Foreign)
}
