package record_test

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestNodeEnd: node= ends where the header begins that was read, and is no node= anywhere else.
func TestNodeEnd(t *testing.T) {
	const head = "type=CWD msg=audit(1.000:1): node=x y"
	huge := strings.Repeat("n", 1<<16-1)
	for _, tt := range []struct {
		text string
		want string // what follows; "" for the whole text
	}{
		{head, ""},
		{"node=far " + head, head},
		{"node= " + head, head},
		{"node=\xff\x00\x1d\ttype= " + head, head},
		{"node=" + huge + " " + head, head},
		{"node=" + huge + "n " + head, ""},
		{"node=a node=b " + head, ""},
		{"node=a  " + head, ""},
		{"node=far", ""},
		{"node=", ""},
		{"node= ", ""},
		{"node=far garbage", ""},
		{"node=far type=CWD msg=audit(1.000:", ""},
		{"node=far type= msg=audit(1.000:1): ", ""},
		{"Node=far " + head, ""},
	} {
		r := record.Record{Len: uint32(len(tt.text))}
		new(record.HeaderReader).Read(&r, []byte(tt.text))
		b := record.Batch{Buf: []byte(tt.text), Recs: []record.Record{r}}
		want := tt.want
		if want == "" {
			want = tt.text
		}
		if got := tt.text[b.NodeEnd(0):]; got != want {
			t.Errorf("%.80q: what follows is %.80q", tt.text, got)
		}
		b.Recs[0].Flags |= record.Cont
		if b.NodeEnd(0) != 0 {
			t.Errorf("%.80q: a node= in what continues another record", tt.text)
		}
	}
}

// TestNodeEndOfAnyRecord: whatever a record says of itself, as one of a spoilt spool may, what follows is
// the beginning of a header.
func TestNodeEndOfAnyRecord(t *testing.T) {
	const text = "node=far type=CWD msg=audit(1.000:1): node=a type=x\n"
	for size := range len(text) + 1 {
		for nodeLen := range 1 << 8 {
			b := record.Batch{Buf: []byte(text), Recs: []record.Record{{Len: uint32(size), NodeLen: uint16(nodeLen), Type: record.TypeUser}}}
			if end := b.NodeEnd(0); end != 0 && end != len("node=far ") {
				t.Fatalf("%d bytes, a name of %d: %d", size, nodeLen, end)
			}
		}
	}
}
