package sinktest

import (
	"bytes"
	"testing"

	"audisp-relay/audit/record"
)

// TestPartialNotices: the check for places that lose must not pass everything.
func TestPartialNotices(t *testing.T) {
	want := Lines(0, 10)
	line := func(i int) []byte { return bytes.SplitAfter(want, []byte("\n"))[i] }
	join := func(i ...int) (out []byte) {
		for _, k := range i {
			out = append(out, line(k)...)
		}
		return out
	}
	tests := []struct {
		name           string
		got            []byte
		loses, repeats bool
		ok             bool
	}{
		{"all", want, false, false, true},
		{"one missing", join(0, 1, 2, 4, 5, 6, 7, 8, 9), false, true, false},
		{"one missing, allowed", join(0, 1, 2, 4, 5, 6, 7, 8, 9), true, false, true},
		{"last missing", join(0, 1, 2, 3, 4, 5, 6, 7, 8), false, true, false},
		{"swapped", join(1, 0), true, false, false},
		{"twice", join(0, 1, 1, 2), true, false, false},
		{"twice, allowed", join(0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9), false, true, true},
		{"torn", append(join(0), line(1)[:20]...), true, true, false},
		{"two in one", append(line(0)[:20:20], line(1)...), true, true, false},
		{"nothing", nil, true, false, true},
		{"nothing at all", nil, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := partial(tt.got, want, tt.loses, tt.repeats); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestDiffNotices(t *testing.T) {
	for _, got := range []string{"", "ab", "abcd", "abx"} {
		if diff([]byte(got), []byte("abc")) == "" {
			t.Errorf("%q passes for abc", got)
		}
	}
	if d := diff([]byte("abc"), []byte("abc")); d != "" {
		t.Error(d)
	}
}

// TestBatches: the helper cuts as auditd's reader does and loses nothing.
func TestBatches(t *testing.T) {
	data := LongLine(200 << 10)
	for _, chunk := range []int{1 << 10, 64 << 10, 256 << 10} {
		var got []byte
		batches := Batches(data, chunk)
		for _, b := range batches {
			for i := range b.Recs {
				got = append(got, b.Bytes(i)...)
			}
		}
		if d := diff(got, data); d != "" {
			t.Error(d)
		}
		if n := Records(batches); n != 3 {
			t.Errorf("%d records, want 3", n)
		}
	}
	kinds := make(map[record.Kind]bool)
	for _, b := range Batches(OddFrames(), 512) {
		for i := range b.Recs {
			kinds[b.Recs[i].Kind] = true
		}
	}
	if !kinds[record.Ver0] || !kinds[record.Ver1] || kinds[record.Junk] {
		t.Errorf("odd frames have kinds %v, want versions 0 and 1 only", kinds)
	}
}
