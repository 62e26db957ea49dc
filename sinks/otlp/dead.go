package otlp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"audisp-relay/host/runnable"
)

// maxLetters is how many files there may be, whatever their size.
const maxLetters = 4096

// deadLetters are the requests that the receiver has refused, a file each in OTLP's JSON: a person
// can read it, and curl can send it again. When they are as many as they may be no more are written:
// those that are there are what is to be looked at first. They belong to the pump's goroutine.
type deadLetters struct {
	dir  string
	name string // of the sink: several may have one directory
	most int64  // bytes

	root  *os.Root // nil: not open yet
	size  int64    // of the sink's files
	files int
}

// errDeadFull is why no more are written.
var errDeadFull = errors.New("there are as many as dead_letter_size allows: look at them, then remove them")

// write writes one.
func (d *deadLetters) write(request *collector.ExportLogsServiceRequest, status int, now time.Time) error {
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(request) // as OTLP/HTTP wants enums
	if err != nil {
		return err
	}
	if err := d.open(); err != nil {
		return err
	}

	full := func() bool { return d.files >= maxLetters || d.size+int64(len(text)) > d.most }
	if full() {
		d.close() // some may have been removed
		if err := d.open(); err != nil {
			return err
		}
	}
	if full() {
		return fmt.Errorf("%s: %w", d.dir, errDeadFull)
	}

	if err := d.put(fmt.Sprintf("%s-%s-%03d%s", d.name, now.UTC().Format(letterTime), status%1000, letterEnd), text); err != nil {
		return fmt.Errorf("%s: %w", d.dir, err)
	}
	d.files++
	d.size += int64(len(text))
	return nil
}

// A letter is called SINK-TIME-STATUS.json, and has unfinished after that until it is whole.
const (
	letterTime = "20060102T150405.000000000Z"
	letterEnd  = ".json"
	unfinished = ".new"
)

// owns reports whether a file of that name is this sink's, not one of a sink whose name begins like it.
func (d *deadLetters) owns(name string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(name, unfinished), d.name+"-")
	stamp, status, _ := strings.Cut(rest, "-")
	digits, isLetter := strings.CutSuffix(status, letterEnd)
	_, err := time.Parse(letterTime, stamp)
	return ok && isLetter && err == nil && len(digits) == 3 && strings.Trim(digits, "0123456789") == ""
}

// put makes a file as a whole or not at all, and has it on disk when it returns.
func (d *deadLetters) put(name string, text []byte) error {
	next := name + unfinished
	f, err := d.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = d.root.Rename(next, name)
	}
	if err != nil {
		_ = d.root.Remove(next) // a full disk needs the room
		return err
	}

	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// open opens the directory, which is made where it is missing, and counts what is in it.
func (d *deadLetters) open() error {
	if d.root != nil {
		return nil
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}

	info, err := root.Stat(".")
	if err == nil && (!runnable.Trusted(info) || info.Mode().Perm()&0o022 != 0) {
		err = fmt.Errorf("%s: others than root can write to it: run chown root %s, chmod 0700 %s", d.dir, d.dir, d.dir)
	}
	if err == nil {
		err = d.count(root.FS())
	}
	if err != nil {
		root.Close()
		return err
	}
	d.root = root
	return nil
}

// count finds out how much of the sink's is there.
func (d *deadLetters) count(dir fs.FS) error {
	d.size, d.files = 0, 0
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return fmt.Errorf("%s: %w", d.dir, err)
	}
	for _, e := range entries {
		if !d.owns(e.Name()) {
			continue
		}
		if info, err := e.Info(); err == nil { // else it was removed meanwhile
			d.files++
			d.size += info.Size()
		}
	}
	return nil
}

// close has the directory opened and counted again when it is needed.
func (d *deadLetters) close() {
	if d.root != nil {
		d.root.Close()
		d.root = nil
	}
}
