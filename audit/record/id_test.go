package record_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// identity is what ID and Text say of one record.
type identity struct {
	ID   record.ID
	Text string
}

// identities reads a capture; EOE records, which logs lack, are left out, and so
// are records of auditd itself when only those of the kernel are wanted.
func identities(t *testing.T, name string) (list []identity) {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(captures.Read(t, name)))
	var b record.Batch
	for {
		err := r.Next(&b)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Recs {
			if b.Recs[i].Type != record.TypeEOE {
				list = append(list, identity{b.ID(i), string(b.Text(i))})
			}
		}
	}
}

// TestIDIsTheSameInEveryForm: string stream, binary stream and log of one run
// hold the same records.
func TestIDIsTheSameInEveryForm(t *testing.T) {
	for _, name := range captures.Names(t, "*.log.gz") {
		if strings.HasPrefix(name, "audit-4.2.1-raw") {
			continue // its stream lacks 16 bytes a record
		}
		log := identities(t, name)
		forms := 0
		for _, form := range []string{".string.gz", ".binary.gz"} {
			twin := strings.Replace(name, ".log.gz", form, 1)
			if twin == "audit-2.8.5-direct.string.gz" {
				continue // there is none
			}
			forms++
			if d := cmp.Diff(log, identities(t, twin)); d != "" {
				t.Errorf("%s and %s differ (-log +stream):\n%.2000s", name, twin, d)
			}
		}
		if len(log) < 500 || forms == 0 {
			t.Errorf("%s: %d records, %d streams", name, len(log), forms)
		}
	}
}

// TestIDsDiffer: within a capture only records with the same text have the same.
func TestIDsDiffer(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		seen := make(map[record.ID]string)
		for _, x := range identities(t, name) {
			if text, ok := seen[x.ID]; ok && text != x.Text {
				t.Errorf("%s: one id for two records:\n%s\n%s", name, text, x.Text)
			}
			seen[x.ID] = x.Text
		}
		if len(seen) < 500 {
			t.Errorf("%s: %d different records", name, len(seen))
		}
	}
}

// TestTextLeavesOutWhatFormsDifferIn takes each of these for one record, and the
// last for another.
func TestTextLeavesOutWhatFormsDifferIn(t *testing.T) {
	const text = "audit(1000.123:5): a=(b) msg='audit(x' c"
	first := record.ID{}
	for i, c := range []struct {
		line, text string
		same       bool
	}{
		{"type=USER msg=" + text + "\n", text, true},
		{"type=USER msg=" + text + " \n", text, true},
		{"type=USER msg=" + text + "\x00\n", text, true},
		{"node=a(udit( type=USER msg=" + text + "\n", text, true},
		{"node=audit(1 type=USER msg=" + text + "\n", text, true},
		{"type=USER msg=" + text + "d\n", text + "d", false},
		{"type=USER_CMD msg=" + text + "\n", text, false},
		{"junk " + text + " \n", "junk " + text, false},
	} {
		r := stream.NewReader(strings.NewReader(c.line))
		var b record.Batch
		if err := r.Next(&b); err != nil || len(b.Recs) != 1 {
			t.Fatalf("%q: %d records, %v", c.line, len(b.Recs), err)
		}
		if got := string(b.Text(0)); got != c.text {
			t.Errorf("%q: text %q", c.line, got)
		}
		if i == 0 {
			first = b.ID(0)
			if first.Millis != 1000123 || first.Serial != 5 || first.Type != 1005 {
				t.Errorf("%+v", first)
			}
		}
		if same := b.ID(0) == first; same != c.same {
			t.Errorf("%q: same id: %v", c.line, same)
		}
	}
}

// TestNewlineCountsAsBlank: auditd hands newlines on in frames and makes blanks
// of them in lines (auditd-event.c, format_raw).
func TestNewlineCountsAsBlank(t *testing.T) {
	read := func(in []byte) record.ID {
		r := stream.NewReader(bytes.NewReader(in))
		var b record.Batch
		if err := r.Next(&b); err != nil || len(b.Recs) != 1 {
			t.Fatalf("%q: %d records, %v", in, len(b.Recs), err)
		}
		return b.ID(0)
	}
	frame := read(stream.AppendFrame(nil, 0, 1005, []byte("audit(1000.123:5): a\nb\n")))
	line := read([]byte("type=USER msg=audit(1000.123:5): a b\n"))
	if frame != line {
		t.Errorf("%+v and %+v", frame, line)
	}
}

func FuzzID(f *testing.F) {
	f.Add([]byte("node=x type=USER msg=audit(1000.123:5): a=(b)\n"))
	f.Add(stream.AppendFrame(nil, 0, 1005, []byte("audit(1000.123:5): a\nb\n")))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := stream.NewReader(bytes.NewReader(in))
		var b record.Batch
		for r.Next(&b) == nil {
			for i := range b.Recs {
				text := b.Text(i)
				if !bytes.Contains(b.Bytes(i), text) {
					t.Fatalf("text %q is not of %q", text, b.Bytes(i))
				}
				if b.Recs[i].HasID() && !bytes.HasPrefix(text, []byte("audit(")) {
					t.Fatalf("text %q of a record with an id", text)
				}
				b.ID(i)
			}
		}
	})
}
