package stream

import (
	"bytes"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestWhole: another reader may go on only after whole records, with all that belongs to them.
func TestWhole(t *testing.T) {
	line := "type=SYSCALL msg=audit(1.000:1): a=b\n"
	long := "type=SYSCALL msg=audit(1.000:2): a=" + strings.Repeat("b", record.MaxRecord) + "\n"
	frame := string(AppendFrame(nil, 1, 1300, []byte(strings.TrimSuffix(line, "\n"))))
	fixed := frame + strings.Repeat("\x00", MaxPayload-(len(line)-1))
	for _, tt := range []struct {
		name, read string
		whole      bool
	}{
		{"nothing", "", true},
		{"a line", line, true},
		{"part of a line", line + line[:10], false},
		{"the first piece of a long line", long[:record.MaxRecord+10], false},
		{"a long line", long, true},
		{"one frame, after which there may be padding", frame, false},
		{"two exact frames", frame + frame, true},
		{"part of a frame", frame + frame + frame[:5], false},
		{"two fixed frames", fixed + fixed, true},
		{"a fixed frame without all of its padding", fixed + fixed[:len(fixed)-1], false},
		{"no frame", frame + frame + "junk that is longer than a header could be", false},
	} {
		r := NewReader(bytes.NewReader([]byte(tt.read)))
		var b record.Batch
		for read := 0; read < len(tt.read); read = int(r.Counts().Bytes) {
			if err := r.Next(&b); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		if r.Whole() != tt.whole {
			t.Errorf("%s: whole %v, want %v", tt.name, r.Whole(), tt.whole)
		}
	}
}
