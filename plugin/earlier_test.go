package plugin

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"audisp-relay/plugin/consumer"
	"audisp-relay/testdata/captures"
)

// TestWhatAnEarlierVersionLeft: its configuration is read, and what it had queued, of lines and
// of both kinds of frames, is delivered byte for byte as it would have done, once.
func TestWhatAnEarlierVersionLeft(t *testing.T) {
	dir := t.TempDir()
	unpackState(t, dir)
	config, err := os.ReadFile("../testdata/earlier/relay.toml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "relay.toml")
	if err := os.WriteFile(path, bytes.ReplaceAll(config, []byte("DIR"), []byte(dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "missing"), 0o750); err != nil {
		t.Fatal(err)
	}

	in, out := io.Pipe()
	p := New(Options{Config: path, In: in})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	for _, sink := range []string{"archive.log", "framed"} {
		want := unpack(t, sink+".gz")
		until(func() bool {
			got, _ := os.ReadFile(filepath.Join(dir, "missing", sink))
			return len(got) >= len(want)
		})
	}
	wait(t, "all counts as delivered", func() bool { // what a file has counts a moment later
		return !slices.ContainsFunc(p.Report().Consumers, func(c consumer.Report) bool {
			return c.Queued != 0 || (c.Name != "events" && c.Delivered != 518)
		})
	})
	out.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, sink := range []string{"archive.log", "framed"} {
		got, err := os.ReadFile(filepath.Join(dir, "missing", sink))
		want := unpack(t, sink+".gz")
		// In the boot of that version a hole in its serials is reported after that.
		rest, ok := bytes.CutPrefix(got, want)
		if err != nil || !ok || (len(rest) > 0 && bytes.Count(rest, []byte("op=relay-loss")) != 1) {
			t.Errorf("%s: %d bytes, want %d: %v", sink, len(got), len(want), err)
		}
	}
}

// unpack reads a file of the earlier version.
func unpack(t *testing.T, name string) []byte {
	t.Helper()
	return captures.ReadFrom(t, os.DirFS("../testdata/earlier"), name)
}

// unpackState makes DIR/state what the earlier version has left.
func unpackState(t *testing.T, dir string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(unpack(t, "state.tar.gz"))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		switch {
		case err != nil:
		case h.Typeflag == tar.TypeDir:
			err = os.MkdirAll(path, 0o700)
		default:
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
