package consumer

import (
	"sync/atomic"

	"go.uber.org/zap"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/format"
	_ "audisp-relay/format/all" // every format of events
	"audisp-relay/host"
	"audisp-relay/sinks"
	_ "audisp-relay/sinks/all" // every type of sink
)

// Known is what is known of the host beside the records. All of it may be missing.
type Known struct {
	Users     *users.Users     // the names that auditd has not given
	Processes *process.Current // who has started what
	HostID    string           // machine-id(5)
}

// NewSink makes the sink of a checked configuration. names holds those of this host, rules the present rules, panics counts
// panics.
func NewSink(cfg config.Sink, known Known, names *atomic.Pointer[format.HostNames], rules *Rules, log *zap.Logger, panics *Panics) sinks.Sink {
	kind, err := format.Parse(cfg.Format)
	if err != nil {
		log.Error("format", zap.String("sink", cfg.Name), zap.Error(err))
	}
	enc := newEncoder(kind, format.Options{StripNode: cfg.StripNode, DataStream: cfg.DataStream}, known, names, rules)
	enc.NodeVer0Only, enc.StripNode, enc.DropEOE = cfg.NodeRawOnly, cfg.StripNode, cfg.DropEOE
	if kind.Format.Events() {
		enc.AtHand = panics.atHand
	}
	enc.Panicked = func(b *record.Batch, i, j int, fault any) { panics.Note("format", b, i, j, fault) }
	enc.Padded = padded(cfg, log)
	return sinks.New(cfg, enc, log)
}

// padded returns what says whether the binary frames of a sink are padded, nil where they are not.
func padded(cfg config.Sink, log *zap.Logger) func() bool {
	switch cfg.Frames {
	case "padded":
		return func() bool { return true }
	case "auto":
		return func() bool {
			padded, version := host.PaddedFrames(cfg.Program)
			log.Info("length of binary frames", zap.String("sink", cfg.Name), zap.Bool("padded", padded), zap.String("audit", version))
			return padded
		}
	}
	return nil
}

// NewEncoder returns the encoder of a format, which takes the names of this host from names. rules may be nil.
func NewEncoder(kind format.Kind, known Known, names *atomic.Pointer[format.HostNames], rules *Rules) format.Encoder {
	return newEncoder(kind, format.Options{}, known, names, rules)
}

func newEncoder(kind format.Kind, options format.Options, known Known, names *atomic.Pointer[format.HostNames], rules *Rules) format.Encoder {
	enc := format.Encoder{Format: kind.Format, Raw: kind.Raw, Host: names}
	options.Processes, options.HostID = known.Processes, known.HostID
	if known.Users != nil { // else a nil *users.Users would hide in the interface
		options.Users = known.Users
	}
	enc.NewEvents = func() format.EventEncoder {
		o, now := options, names.Load()
		o.Node, o.Local = now.Node, now.Local
		return kind.New(o)
	}
	if rules != nil && kind.AddRules != nil {
		enc.AddRules = kind.AddRules
		enc.NewTagger = func() format.Tagger {
			return (&tagger{now: rules, users: options.Users, processes: options.Processes, names: names}).match
		}
	}
	return enc
}
