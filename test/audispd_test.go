package test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/testdata/captures"
)

// TestRunsWhatAudispdRan: with plugin_dir the relay reads audispd's own files
// and, in audispd's place, gives its consumers what audispd gave them. The
// stream is the one auditd 2.8.5 wrote to its dispatcher.
func TestRunsWhatAudispdRan(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("audisp/audispd.conf", "q_depth = 90000\noverflow_action = SYSLOG\npriority_boost = 4\nmax_restarts = 10\nname_format = USER\nname = old-host\n", 0o640)
	write("audisp/plugins.d/af_unix.conf", "active = yes\ndirection = out\npath = builtin_af_unix\ntype = builtin\nargs = 0600 DIR/audispd_events\nformat = string\n", 0o640)
	write("audisp/plugins.d/frames.conf", "active = yes\ndirection = out\npath = DIR/save\ntype = always\nargs = DIR/frames\nformat = binary\n", 0o640)
	write("audisp/plugins.d/off.conf", "active = no\ndirection = out\npath = DIR/save\ntype = always\nargs = DIR/off\nformat = string\n", 0o640)
	write("save", "#!/bin/sh\nexec /bin/cat >\"$1\"\n", 0o755)

	r := start(t, dir, `plugin_dir = "DIR/audisp/plugins.d"`+"\nqos = \"lossless\"\n", nil)
	conn := dial(t, r, "af_unix", filepath.Join(dir, "audispd_events"))
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(conn)
		got <- all
	}()
	data := captures.Read(t, "audit-2.8.5-direct.binary.gz")
	r.write(data)
	plain, records := reencode(t, data, format.Encoder{})
	until(t, "the child has all", func() bool { // what counts as delivered may be in its pipe still, for which there is little time at the end
		got, _ := os.ReadFile(filepath.Join(dir, "frames"))
		return countRecords(got) >= records
	})
	r.end()

	// audispd puts node= in front of what came without it, in string form only.
	lines, _ := reencode(t, data, format.Encoder{Node: "old-host"})
	if all := <-got; !bytes.Equal(all, lines) || !bytes.HasPrefix(all, []byte("node=old-host type=")) {
		t.Errorf("af_unix: %d bytes, want %d, beginning %.60q", len(all), len(lines), all)
	}
	frames, err := os.ReadFile(filepath.Join(dir, "frames"))
	if err != nil {
		t.Fatal(err)
	}
	back, n := reencode(t, frames, format.Encoder{})
	if n != records || !bytes.Equal(back, plain) {
		t.Errorf("binary plugin: %d records, want %d", n, records)
	}
	if _, err := os.Stat(filepath.Join(dir, "off")); err == nil {
		t.Error("an inactive plugin was run")
	}
}

// countRecords counts the records of a stream that may be on its way still.
func countRecords(data []byte) uint64 {
	r := stream.NewReader(bytes.NewReader(data))
	for b := new(record.Batch); r.Next(b) == nil; {
	}
	return r.Counts().Records
}

// reencode reads a stream and returns its records in another shape.
func reencode(t *testing.T, data []byte, enc format.Encoder) (out []byte, records uint64) {
	t.Helper()
	r := stream.NewReader(bytes.NewReader(data))
	var b record.Batch
	for {
		err := r.Next(&b)
		if err == io.EOF {
			return out, r.Counts().Records
		}
		if err != nil {
			t.Fatal(err)
		}
		e := enc.Encode(b)
		out = append(out, e.Bytes...)
	}
}
