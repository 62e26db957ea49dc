package recovery

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// TestKeyOfARecordWithNewlines: a frame has them as they are, a line has spaces; it is
// one record that consumers get once.
func TestKeyOfARecordWithNewlines(t *testing.T) {
	for at := range 100 {
		text := []byte("audit(1700000000.000:7): pid=1 " + strings.Repeat("x", 100))
		text[31+at] = '\n'
		spaces := strings.ReplaceAll(string(text), "\n", " ")
		var line, ver0, ver1 record.Batch
		cut := func(b *record.Batch, data []byte) {
			s := stream.NewSplitter()
			s.Cut(b, copy(s.Space(), data))
		}
		cut(&line, []byte("type=USER_LOGIN msg="+spaces+"\n"))
		frame := stream.AppendFrame(nil, 0, 1112, text)
		cut(&ver0, append(frame, frame...))
		frame = stream.AppendFrame(nil, 1, 1112, append([]byte("type=USER_LOGIN msg="), text...))
		cut(&ver1, append(frame, frame...))
		if a, b, c := keyOf(&line, 0), keyOf(&ver0, 0), keyOf(&ver1, 0); a != b || a != c {
			t.Fatalf("newline at %d: keys %v, %v, %v", at, a, b, c)
		}
	}
}
