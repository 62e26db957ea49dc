package json

import (
	"strings"
	"testing"

	"audisp-relay/stream"
	"audisp-relay/testdata/captures"
)

// FuzzAppendEvent reads bytes as a stream of either framing; every event must be one strict
// line that gives its records back.
func FuzzAppendEvent(f *testing.F) {
	doc := readDoc(f)
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-2.8.5-audispd.string.gz"} {
		lines := strings.SplitAfter(string(captures.Read(f, name)), "\n")
		for i := 0; i+6 < len(lines); i += 6 {
			if data := strings.Join(lines[i:i+6], ""); len(data) < 3000 {
				f.Add([]byte(data))
			}
		}
	}
	head := "type=SYSCALL msg=audit(1.000:1): "
	for _, v := range hostileValues {
		f.Add([]byte(head + "auid=" + v + " comm=" + v + " a0=" + v + " tty=" + v + " msg='op=" + v + " acct=" + v + "' key=" + v + "\n"))
		f.Add([]byte("type=SOCKADDR msg=audit(1.000:1): saddr=" + v + "\n"))
		f.Add(stream.AppendFrame(stream.AppendFrame(nil, 0, 1307, []byte("audit(1.000:1): cwd="+v)), 1, 1327, []byte("type=PROCTITLE msg=audit(1.000:1): proctitle="+v)))
	}
	e := New(Options{Users: fakeUsers{}})
	f.Fuzz(func(t *testing.T, data []byte) {
		events(t, data, func(b *stream.Batch, i, j int) { checkEvent(t, doc, e, b, i, j) })
	})
}
