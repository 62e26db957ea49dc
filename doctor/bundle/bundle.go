// Package bundle collects what a maintainer needs to see of a host in one file: no arguments of
// processes, no keys or certificates, no names of hosts and users, no addresses, nothing of audit
// records. redactor says how that is kept out.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/doctor"
)

// Bounds of a bundle, in bytes before it is compressed.
const (
	maxFile = 512 << 10 // of a file in it, whose end is cut off
	maxLog  = 128 << 10 // of the log that is read, from its end
)

// Entry is a file of a bundle.
type Entry struct {
	Name string `json:"name"`
	Size int    `json:"bytes"`
	Note string `json:"note"` // what it has, or why it was left out
}

// part makes one file.
type part struct {
	name, what string
	make       func(f *Facts, r *redactor) ([]byte, error)
}

var parts = []part{
	{"build.json", "version, Go and modules of this program", (*Facts).build},
	{"system.json", "kernel, distribution, auditd's version", (*Facts).system},
	{"config.json", "the relay's configuration, redacted, and its errors", (*Facts).configuration},
	{"auditd.json", "auditd.conf, redacted", (*Facts).auditd},
	{"plugins.json", "files of plugins.d, without arguments", (*Facts).plugins},
	{"status.json", "report of the running relay, redacted", (*Facts).status},
	{"findings.json", "what doctor has found, redacted", (*Facts).findings},
	{"process.txt", "limits, memory and capabilities of the running relay", (*Facts).process},
	{"unit.txt", "settings of auditd.service that concern a plugin", (*Facts).unit},
	{"log.txt", "the last lines of the relay's own log, redacted", (*Facts).log},
}

// Write makes the bundle at path, a compressed tar file with mode 0600 that must not exist yet, and
// returns what is in it. What cannot be had is left out, and noted. On an error there is no file.
func Write(path string, f *Facts) (entries []Entry, err error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("write %s: it exists: name a new file", path)
	case err != nil:
		return nil, fmt.Errorf("write %s: %w", path, err)
	}

	out := os.NewFile(uintptr(fd), path)
	if err = unix.Fchmod(fd, 0o600); err == nil { // whatever the umask is
		entries, err = f.write(out)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(path)
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return entries, nil
}

// write writes all files.
func (f *Facts) write(w io.Writer) ([]Entry, error) {
	packed := gzip.NewWriter(w)
	files := tar.NewWriter(packed)
	r := newRedactor()
	f.learn(r)
	var entries []Entry
	for _, p := range parts {
		e := Entry{Name: p.name, Note: p.what}
		text, err := p.run(f, r)
		if err != nil {
			e.Note = "left out: " + err.Error()
		} else if err := add(files, p.name, text); err != nil {
			return nil, err
		}
		e.Size = len(text)
		entries = append(entries, e)
	}

	if err := add(files, "README.txt", contents(entries)); err != nil {
		return nil, err
	}
	return entries, errors.Join(files.Close(), packed.Close())
}

// run makes one file; a panic over odd facts costs that one only. Its text says nothing of them.
func (p *part) run(f *Facts, r *redactor) (text []byte, err error) {
	defer func() {
		if recover() != nil {
			text, err = nil, errors.New("it could not be made")
		}
	}()
	if text, err = p.make(f, r); err == nil && len(text) == 0 {
		err = errLeftOut
	}
	if len(text) > maxFile {
		text = append(text[:maxFile:maxFile], "\n[cut off]\n"...)
	}
	return text, err
}

// add writes a file. The time is not that of a file of this host.
func add(w *tar.Writer, name string, text []byte) error {
	header := &tar.Header{Name: "audisp-relay-bundle/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: time.Now().Truncate(time.Second), Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}

// contents is the README of a bundle.
func contents(entries []Entry) []byte {
	var b bytes.Buffer
	b.WriteString("Made by audisp-relay doctor --bundle. Names of hosts, users and sinks, addresses, paths and texts of\n" +
		"unknown words are placeholders: the same one is the same text.\n\n")
	WriteText(&b, entries)
	return b.Bytes()
}

// WriteText lists what a bundle has.
func WriteText(w io.Writer, entries []Entry) {
	for _, e := range entries {
		fmt.Fprintf(w, "  %-14s %8d bytes  %s\n", e.Name, e.Size, e.Note)
	}
}

// WriteJSON lists it as one object, with the path of the bundle.
func WriteJSON(w io.Writer, path string, entries []Entry) error {
	return doctor.WriteJSON(w, struct {
		File  string  `json:"file"`
		Files []Entry `json:"files"`
	}{path, entries})
}

// marshal makes JSON that a person reads.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := doctor.WriteJSON(&b, v)
	return b.Bytes(), err
}

// lines redacts a log, line by line: lines of JSON keep their shape.
func (r *redactor) lines(text []byte) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		var fields map[string]any
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		if strings.HasPrefix(line, "{") && dec.Decode(&fields) == nil {
			if clean, err := json.Marshal(r.value(fields, maxDepth)); err == nil {
				b.Write(append(clean, '\n'))
				continue
			}
		}
		b.WriteString(r.Text(line) + "\n")
	}
	return b.Bytes()
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	buf  []byte
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 2*t.most; over > 0 {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.most:]...)
		t.cut = true
	}
	return len(p), nil
}

// text is the end, from the beginning of a line on.
func (t *tail) text() []byte {
	if over := len(t.buf) - t.most; over > 0 {
		t.buf, t.cut = t.buf[over:], true
	}
	if t.cut {
		_, t.buf, _ = bytes.Cut(t.buf, []byte{'\n'})
	}
	return t.buf
}
