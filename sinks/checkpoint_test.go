package sinks

import (
	"testing"

	"go.uber.org/zap"

	"audisp-relay/fleet/wire"
)

// engine is a Writer that takes checkpoints.
type engine struct {
	lacking
	got []wire.Checkpoint
}

func (e *engine) Checkpoint(c wire.Checkpoint) { e.got = append(e.got, c) }

// A Pump passes checkpoints to a Writer that takes them, and says whether it does.
func TestAPumpPassesCheckpointsOn(t *testing.T) {
	e := new(engine)
	p := NewPump("siem", e, zap.NewNop())
	p.Checkpoint(wire.Checkpoint{N: 3})
	if !CarriesCheckpoints(p) || len(e.got) != 1 || e.got[0].N != 3 {
		t.Errorf("%v, %+v", CarriesCheckpoints(p), e.got)
	}
	plain := NewPump("siem", lacking("x"), zap.NewNop())
	plain.Checkpoint(wire.Checkpoint{})
	if CarriesCheckpoints(plain) {
		t.Error("a Writer that takes none carries checkpoints")
	}
}
