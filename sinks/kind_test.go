package sinks

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
)

// TestUnknownKindIsDegraded: a sink of a type that this program lacks is degraded and says so, before there
// is anything to deliver.
func TestUnknownKindIsDegraded(t *testing.T) {
	s := New(config.Sink{Name: "k", Type: "kafka"}, format.Encoder{}, zap.NewNop())
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	q := queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}, Name: "k"})
	s.Run(ctx, q)
	if st := s.Status(); !st.Degraded || !strings.Contains(st.Error, `no sink of type "kafka"`) {
		t.Errorf("%+v", st)
	}
}

// kindOfTest is registered once for all runs of the test, as a kind cannot be taken back.
var kindOfTest = Kind{Kind: config.Kind{Name: "test", Text: true, Read: func(t *config.Table, s *config.Sink) config.Settings {
	t.Str("place", &s.Output, config.FilePath)
	return nil
}}}

func init() { Register(kindOfTest) }

// TestRegisterRefusesATakenName: a kind is known to the configuration, too, and its name is its own.
func TestRegisterRefusesATakenName(t *testing.T) {
	if _, own := config.KeysOf("test"); strings.Join(own, " ") != "format filter node order data_stream place" {
		t.Errorf("keys %q", own)
	}
	if _, err := config.Parse("t.toml", []byte("[sinks.a]\ntype = 'test'\nformat = 'binary'\nplace = 'x'\n")); err == nil ||
		strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), `"x" is not absolute`) {
		t.Errorf("%v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("two types of one name")
		}
	}()
	Register(kindOfTest)
}
