package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// bzipped is "type=EOE msg=audit(1.000:1): \n", compressed by bzip2.
const bzipped = "QlpoOTFBWSZTWa4Lc1IAAA3dgAAQQGFgEgIApqJOICAAMUaMgaNMjQoAyGgZqQsam4jdQjlraJiDK3uABgPi7kinChIVwW5qQA=="

// TestOpenInputUnpacks: a stored stream is the same however it is compressed, whatever its name, in
// one piece or in two that were joined; one that is cut gives what there is, and an error.
func TestOpenInputUnpacks(t *testing.T) {
	text := "type=EOE msg=audit(1.000:1): \n"
	pack := func(to func(io.Writer) (io.WriteCloser, error)) string {
		var b bytes.Buffer
		w, err := to(&b)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	bz, err := base64.StdEncoding.DecodeString(bzipped)
	if err != nil {
		t.Fatal(err)
	}
	packed := map[string]string{
		"plain": text,
		"gzip":  pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"xz":    pack(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"zstd":  pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		"bzip2": string(bz),
	}
	dir := t.TempDir()
	read := func(name, data string) (string, error) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := OpenInput(path)
		if err != nil {
			return "", err
		}
		defer in.Close()
		got, err := io.ReadAll(in)
		return string(got), err
	}
	for name, data := range packed {
		if got, err := read(name, data); got != text || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if got, err := read(name+"2", data+data); got != text+text || err != nil {
			t.Errorf("%s, two joined: %q, %v", name, got, err)
		}
		if got, err := read(name+"-cut", data[:len(data)-5]); name != "plain" && (err == nil || !strings.HasPrefix(text, got)) {
			t.Errorf("%s, cut: %q, %v", name, got, err)
		}
		if err := checkLog(filepath.Join(dir, name)); (err == nil) != (name == "plain") {
			t.Errorf("%s as --log: %v", name, err)
		}
	}
	for _, short := range []string{"", "t", "\x1f", "BZ"} {
		if got, err := read("short", short); got != short || err != nil {
			t.Errorf("%q: %q, %v", short, got, err)
		}
	}
}
