package otlp

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"audisp-relay/config"
	"audisp-relay/host/trusted"
	"audisp-relay/sinks/remote"
)

// maxHeader is the most bytes of a header's value. Servers take 8 KiB of all headers at least.
const maxHeader = 6 << 10

// headers are those whose values are in files. They may be secrets, so that nothing shows them. They
// belong to the pump's goroutine.
type headers struct {
	files  map[string]string // by the header's name
	values map[string]string
	seen   map[string]stamp // of the files, as they were read
}

// stamp is by what a file is known to be the same.
type stamp struct {
	modified time.Time
	size     int64
	info     fs.FileInfo // for os.SameFile
}

func (s *stamp) same(info fs.FileInfo) bool {
	return s.info != nil && s.modified.Equal(info.ModTime()) && s.size == info.Size() && os.SameFile(s.info, info)
}

// refresh reads the files that have changed.
func (h *headers) refresh() error {
	for _, name := range sortedNames(h.files) {
		path := h.files[name]
		info, err := trusted.Stat(path)
		if err == nil {
			if was := h.seen[name]; was.same(info) {
				continue
			}
		}
		value, err := readHeader(path)
		if err != nil {
			return remote.Advise(fmt.Errorf("read headers.%s: %w", name, err), "put the header's value there, in one line, owned by root with mode 0600")
		}
		if h.values == nil {
			h.values, h.seen = make(map[string]string), make(map[string]stamp)
		}
		// info is from before it was read: a change meanwhile shows the next time.
		h.values[name], h.seen[name] = value, stamp{info.ModTime(), info.Size(), info}
	}
	return nil
}

// forget has all files read again.
func (h *headers) forget() { h.values, h.seen = nil, nil }

// put adds the headers to those of a request.
func (h *headers) put(to http.Header) {
	for name, value := range h.values {
		to.Set(name, value)
	}
}

// readHeader reads the value of a header, which others than root may not be able to. The error says
// nothing of what is in the file.
func readHeader(path string) (string, error) {
	text, err := config.ReadKeyFile(path)
	if err != nil {
		return "", err
	}
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return "", fmt.Errorf("%s is empty", path)
	case len(text) > maxHeader:
		return "", fmt.Errorf("%s has %d bytes, a header can have %d", path, len(text), maxHeader)
	case bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", fmt.Errorf("%s has more than one line, or something else than printable ASCII", path)
	}
	return string(text), nil
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
