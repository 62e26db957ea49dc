package file

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
)

// TestTornLineIsEnded: what a killed process has left of a line does not make the next one unreadable, in any format
// that has lines.
func TestTornLineIsEnded(t *testing.T) {
	for name, enc := range map[string]format.Encoder{
		"string": {},
		"events": {Format: format.Events, NewEvents: sinktest.NewEvents},
		"binary": {Format: format.Binary},
	} {
		t.Run(name, func(t *testing.T) {
			const torn = `{"id":1}` + "\n" + `{"id":`
			path := filepath.Join(t.TempDir(), "events.log")
			must(t, os.WriteFile(path, []byte(torn), 0o600))
			w := newWriter(settings(path, nil), enc, zap.NewNop(), &faultFS{})
			defer w.Close()

			b := sinktest.Event(1, 3, 100)
			writeWhole(t, w, b)
			want := torn + "\n"
			if enc.Format == format.Binary {
				want = torn
			}
			own := enc
			if want += string(own.Encode(b).Bytes); content(t, path) != want {
				t.Errorf("the file holds %q, want %q", content(t, path), want)
			}
		})
	}
}

// TestEndOfATornLineCounts: the newline that ends it does not make a file larger than max_size.
func TestEndOfATornLineCounts(t *testing.T) {
	w, _, path := testWriter(t, rotating(3))
	line := sinktest.Lines(0, 1)
	full := make([]byte, testSize-len(line)) // without a newline at its end, and with room for the line alone
	for i := range full {
		full[i] = 'x'
	}
	must(t, os.WriteFile(path, full, 0o600))

	writeWhole(t, w, one(line))
	if old := len(content(t, path+".1")); old > testSize {
		t.Errorf("a file of %d bytes", old)
	}
	if got := content(t, path); got != string(line) {
		t.Errorf("the file holds %q", got)
	}
	if n := w.cuts.times.Load(); n != 0 {
		t.Errorf("%d truncations, of no program", n)
	}
}

// writeWhole writes all of b.
func writeWhole(t *testing.T, w *writer, b record.Batch) {
	t.Helper()
	for len(b.Recs) > 0 {
		n, err := w.Write(context.Background(), b)
		must(t, err)
		if n == 0 {
			t.Fatal("nothing written")
		}
		b.Recs = b.Recs[n:]
	}
}
