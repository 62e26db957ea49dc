package format_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/json"
	"audisp-relay/host/athand"
)

// watched is an encoder, and a tagger, that say what is at hand while they work.
type watched struct {
	memory *os.File
	seen   []string
}

func (w *watched) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	seen := []athand.ID(nil)
	if b.Recs[i].Serial != 6 { // which stays noted, as far as this knows
		seen = athand.Collect(w.memory)
	}
	w.seen = append(w.seen, fmt.Sprintf("%d %v", b.Recs[i].Serial, seen))
	if b.Recs[i].Serial == 4 {
		panic("four")
	}
	return fmt.Appendf(dst, "%d}\n", b.Recs[i].Serial)
}

// TestPoisonIsNotEncoded: an event that has ended the process is given raw without having been given to the encoder, nor to rules; all
// others are noted while they are written, also one that is panicked over, and none is afterwards.
func TestPoisonIsNotEncoded(t *testing.T) {
	b := batchOf(t, event(3, 1)+event(4, 1)+event(5, 1)+event(6, 1))
	poison := athand.ID{Millis: 1795298317824, Serial: 5}
	memory, page := audittest.AtHand(t, poison)
	w := &watched{memory: memory}
	var tagged []uint32
	var faults []string
	enc := format.Encoder{
		Format: format.Events, Raw: json.Kind.Raw, NewEvents: func() format.EventEncoder { return w }, AddRules: json.Kind.AddRules, AtHand: page,
		NewTagger: func() format.Tagger {
			return func(b *record.Batch, i, j int) []string { tagged = append(tagged, b.Recs[i].Serial); return nil }
		},
		Panicked: func(b *record.Batch, i, j int, fault any) {
			faults = append(faults, fmt.Sprintf("%d %d %v", b.Recs[i].Serial, j-i, fault))
		},
	}
	check := func(how, out string) {
		t.Helper()
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(lines) != 4 || lines[0] != "3}" || lines[3] != "6}" || strings.Count(lines[2], `"raw":`) != 6 || !strings.Contains(lines[2], `"id":"1795298317.824:5"`) {
			t.Errorf("%s: %s", how, out)
		}
		at := func(serial int) string { return fmt.Sprintf("%d [1795298317.824:%d]", serial, serial) }
		if want := []string{at(3), at(4), "6 []"}; !slices.Equal(w.seen, want) {
			t.Errorf("%s: the encoder has got %v, want %v", how, w.seen, want)
		}
		if want := []string{"4 6 four", "5 6 " + athand.ErrPoison.Error()}; !slices.Equal(faults, want) {
			t.Errorf("%s: reported %q, want %q", how, faults, want)
		}
		if !slices.Equal(tagged, []uint32{3, 6}) {
			t.Errorf("%s: rules were asked for %v", how, tagged)
		}
		if ids := athand.Collect(memory); len(ids) != 0 {
			t.Errorf("%s: %v is still at hand", how, ids)
		}
		w.seen, faults, tagged = nil, nil, nil
	}
	check("Encode", string(enc.Encode(b).Bytes))
	var out []byte
	for i := range b.Recs {
		out = enc.Append(out, b, i)
	}
	check("Append", string(out))
}
