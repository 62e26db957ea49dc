package replay

import (
	"bytes"
	"context"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/format"
)

// TestReplaySorts: a sink with an order gets a stored stream in it.
func TestReplaySorts(t *testing.T) {
	one, two, three := audittest.User(1), audittest.User(2), audittest.User(3)
	input := store(t, "in", one+three+two)
	kind, err := format.Parse("string")
	if err != nil {
		t.Fatal(err)
	}
	for serial, want := range map[bool]string{false: one + three + two, true: one + two + three} {
		ctx, fail := context.WithCancelCause(context.Background())
		defer fail(nil)
		var out bytes.Buffer
		to := WriterSink(&out, kind, nil, fail)
		to.Inputs, to.Serial = []string{input}, serial
		if _, err := Run(ctx, to); err != nil || out.String() != want {
			t.Errorf("in the order of serials: %v; %v\n%s", serial, err, out.String())
		}
	}
}
