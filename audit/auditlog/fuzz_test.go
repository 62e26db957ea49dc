package auditlog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// FuzzLog puts anything into a log and its rotation: what is handed on is what
// stands there, and seeking ends with a place that can be gone to.
func FuzzLog(f *testing.F) {
	f.Add([]byte(logLine(1, 80)+logLine(2, 80)), []byte(logLine(3, 80)+"type=PATH ms"), int64(1_700_000_000_002))
	f.Add([]byte("\x00\x00\x00\x00\x10\x00\x00\x00"), []byte("\x01\x00\x00\x00\x10\x00\x00\x00\n\n"), int64(0))
	f.Add([]byte(strings.Repeat("y", record.MaxRecord)), []byte{}, int64(-1))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, older, newer []byte, millis int64) {
		path := filepath.Join(dir, "audit.log")
		for name, text := range map[string][]byte{path + ".1": older, path: newer} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := New(path)
		defer l.Close()
		l.linear, l.probe = 64, 16
		want := string(older)
		if len(older) > 0 && older[len(older)-1] != '\n' {
			want += "\n"
		}
		want += string(newer[:bytes.LastIndexByte(newer, '\n')+1])
		got := poll(t, l)
		if rest := newer[bytes.LastIndexByte(newer, '\n')+1:]; len(rest) >= record.MaxRecord {
			want += string(rest[:len(rest)/record.MaxRecord*record.MaxRecord])
		}
		same(t, "read", got, want)

		p, _, err := l.SeekTime(millis, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Go(p); err != nil {
			t.Fatal(err)
		}
		after := poll(t, l)
		if !strings.HasSuffix(want, after) {
			t.Errorf("after time %d: %.100q", millis, after)
		}
		// Each line there is can be found; of equal ones it may be any.
		var b record.Batch
		if err := l.Go(Position{}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Next(&b); err != nil {
			return
		}
		i := int(uint64(millis) % uint64(len(b.Recs)))
		id := b.ID(i)
		if p, err = l.SeekAfter(id); err != nil {
			t.Fatalf("record %d %q: %v", i, b.Bytes(i), err)
		}
		if err := l.Go(p); err != nil {
			t.Fatal(err)
		}
	})
}
