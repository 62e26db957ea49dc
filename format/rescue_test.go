package format

import (
	"bytes"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// TestRescuedFrameIsOneLine: a newline in a frame over which the encoder has panicked begins no record, as it begins none in
// other frames.
func TestRescuedFrameIsOneLine(t *testing.T) {
	var b record.Batch
	frames := stream.AppendFrame(nil, 0, record.TypeCWD, []byte("audit(1.000:1): a\ntype=LOGIN msg=audit(1.000:2): b"))
	for r := stream.NewReader(bytes.NewReader(frames)); len(b.Recs) == 0; {
		if err := r.Next(&b); err != nil {
			t.Fatal(err)
		}
	}
	got := string(new(Encoder).rescue([]byte("before\n"), &b, 0, 1, "fault"))
	if want := "before\naudit(1.000:1): a type=LOGIN msg=audit(1.000:2): b\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
