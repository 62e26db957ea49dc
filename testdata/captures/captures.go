// Package captures holds recorded dispatcher streams for tests; README.md says
// what each of them is.
package captures

import (
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"path"
)

// TB is the part of testing.TB that is needed here, so that a program can read captures, too.
type TB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

//go:embed *.gz
var files embed.FS

// Read returns the unpacked capture of that file name.
func Read(t TB, name string) []byte {
	t.Helper()
	return ReadFrom(t, files, name)
}

// ReadFrom returns the unpacked gzip file of that name.
func ReadFrom(t TB, dir fs.FS, name string) []byte {
	t.Helper()
	f, err := dir.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Names returns the file names that match a pattern of path.Match, of which
// there must be some.
func Names(t TB, pattern string) (names []string) {
	t.Helper()
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if ok, err := path.Match(pattern, e.Name()); err != nil {
			t.Fatal(err)
		} else if ok {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		t.Fatalf("no capture matches %q", pattern)
	}
	return names
}
