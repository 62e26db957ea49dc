package stream_test

import (
	"bytes"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/testdata/captures"
)

// TestHeadEndsAfterTheID: the header is read once; its end is that of the id, whether it is known
// from then or, as of records from a spool, looked for.
func TestHeadEndsAfterTheID(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		b := audittest.Capture(t, name)
		for i := range b.Recs {
			r := &b.Recs[i]
			if !r.HasID() {
				if r.Head != 0 || b.Body(i) != nil {
					t.Fatalf("%s: %q has a body, but no id", name, b.Bytes(i))
				}
				continue
			}
			text := b.Bytes(i)
			want := bytes.IndexByte(text, ')') + 1 // no node of these has a parenthesis
			if int(r.Head) != want {
				t.Fatalf("%s: the header of %q ends at %d, want %d", name, text, r.Head, want)
			}
			body, common := b.Body(i), b.Text(i)
			if string(body) != string(bytes.TrimRight(text[want:], " \n\x00")) || !bytes.HasPrefix(common, []byte("audit(")) || !bytes.HasSuffix(common, body) {
				t.Fatalf("%s: %q has body %q, text %q", name, text, body, common)
			}
			head := r.Head
			r.Head = 0
			if again := b.Body(i); string(again) != string(body) || string(b.Text(i)) != string(common) {
				t.Fatalf("%s: looked for, the body of %q is %q", name, text, again)
			}
			r.Head = head
		}
	}
}
