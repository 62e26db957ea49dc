package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// segments is into how many files a full journal is divided, and minSegment how large each is at
// least: two of them, which are always kept, then hold more than a kill makes come again.
const (
	segments   = 8
	minSegment = 1 << 20
	// maxFile is what is read of a file at most.
	maxFile = 2 * maxEntry
	// maxFiles bounds how many files there are where each start of the relay has made one.
	maxFiles = 64
)

// suffix ends the names of segments, which begin with the number of their first record.
const suffix = ".batches"

var errLocked = errors.New("another relay uses it")

// thisRun marks the entries of this process.
var thisRun = rand.Uint64() | 1

// journal keeps the batches that were sent last, each written before it is sent. So what was on
// its way when the process was killed is known, byte for byte, and what an engine has lost
// although it had acknowledged it can be sent again. It is not synced: a kill takes nothing of
// it, a power cut the end. It belongs to one goroutine.
type journal struct {
	dir string
	max int64         // bytes
	age time.Duration // how long an acknowledged batch is kept

	lock  *os.File
	f     *os.File // the segment that is written; nil: the next entry begins one
	path  string
	size  int64     // of it
	begun time.Time // when its first entry was written
	buf   []byte
}

// found is what a journal had when it was opened.
type found struct {
	last    entry      // without its ids and body; Seq 0: none
	at      time.Time  // when it was written
	entries [][]uint64 // the records of each batch, of the last ones
	total   int        // records of them
	damage  error      // the first; nil: none
}

// openJournal opens the journal in dir, which is made where it is missing, and reads it.
func openJournal(dir string, size int64, age time.Duration) (*journal, *found, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}

	j := &journal{dir: dir, max: size, age: age, lock: lock}
	f, err := j.load()
	if err != nil {
		j.close()
		return nil, nil, err
	}
	return j, f, nil
}

// files lists the segments, oldest first.
func (j *journal) files() ([]string, error) {
	list, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), suffix) && e.Type().IsRegular() {
			names = append(names, filepath.Join(j.dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// load reads all files. Of a damaged file it takes what precedes the damage.
func (j *journal) load() (*found, error) {
	f := new(found)
	files, err := j.files()
	if err != nil {
		return nil, err
	}

	for _, path := range files {
		end, err := eachEntry(path, func(e *entry) error {
			f.add(e)
			return nil
		})
		if err != nil && !errors.Is(err, errDamaged) {
			return nil, err
		}
		if f.damage = cmp.Or(f.damage, err); err == nil && path == files[len(files)-1] {
			j.resume(path, end)
		}
	}

	if n := len(files); n > 0 {
		if info, err := os.Stat(files[n-1]); err == nil {
			f.at = info.ModTime()
		}
	}
	return f, nil
}

// resume makes the journal continue a segment, unless it is full.
func (j *journal) resume(path string, end int64) {
	if end >= j.segment() {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	j.f, j.path, j.size, j.begun = f, path, end, time.Now()
}

// add takes an entry in, and keeps the identities of the latest records only.
func (f *found) add(e *entry) {
	f.entries = append(f.entries, e.ids)
	f.last = *e
	f.last.ids, f.last.Body = nil, nil
	f.total += len(e.ids)
	for len(f.entries) > 1 && f.total-len(f.entries[0]) >= window {
		f.total -= len(f.entries[0])
		f.entries[0] = nil
		f.entries = f.entries[1:]
	}
}

// eachEntry calls do with the entries of a file, whose bodies are valid until the next one, and
// returns where the last one ends.
func eachEntry(path string, do func(*entry) error) (end int64, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return 0, err
	}

	for int(end) < len(data) {
		e, n, err := parseEntry(data[end:])
		if err != nil {
			return end, fmt.Errorf("%s %w, at byte %d", path, err, end)
		}
		if err := do(&e); err != nil {
			return end, err
		}
		end += int64(n)
	}
	return end, nil
}

func (j *journal) segment() int64 { return max(j.max/segments, minSegment) }

// append writes b. After an error the journal is as it was before.
func (j *journal) append(b *Batch) error {
	if j.f != nil && (j.size >= j.segment() || time.Since(j.begun) > j.age/segments) {
		j.f.Close()
		j.f = nil
		j.prune()
	}
	if j.f == nil {
		path := filepath.Join(j.dir, fmt.Sprintf("%020d-%s%s", b.Header.Seq, b.Header.Epoch, suffix))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		j.f, j.path, j.size, j.begun = f, path, 0, time.Now()
	}

	j.buf = appendEntry(j.buf[:0], b, thisRun)
	if _, err := j.f.Write(j.buf); err != nil {
		// What is left of it would hide what follows.
		if terr := j.f.Truncate(j.size); terr != nil {
			j.f.Close()
			j.f = nil
		}
		return err
	}
	j.size += int64(len(j.buf))
	return nil
}

// prune removes segments that are too many or too old, all but the last two.
func (j *journal) prune() {
	files, err := j.files()
	if err != nil {
		return
	}
	total := int64(0)
	for i := len(files) - 1; i >= 0; i-- {
		info, err := os.Lstat(files[i])
		if err != nil {
			continue
		}
		total += info.Size()
		newer := len(files) - 1 - i
		if old := time.Since(info.ModTime()) > j.age; newer >= 2 && (old || total > j.max-j.segment() || newer > maxFiles) {
			os.Remove(files[i])
		}
	}
}

// clear removes all batches, before those of another epoch: their numbers begin again, and files are in the
// order of numbers.
func (j *journal) clear() {
	if j.f != nil {
		j.f.Close()
		j.f = nil
	}
	files, _ := j.files() // none where they cannot be listed
	for _, path := range files {
		os.Remove(path)
	}
}

// replay calls do with the batches from number seq on that are not older than batches are
// kept, in order.
func (j *journal) replay(seq uint64, do func(*Batch) error) error {
	files, err := j.files()
	if err != nil {
		return err
	}

	for _, path := range files {
		if info, err := os.Lstat(path); err != nil || (path != j.path && time.Since(info.ModTime()) > j.age) {
			continue
		}
		_, err := eachEntry(path, func(e *entry) error {
			if e.Header.Next() <= seq {
				return nil
			}
			return do(&e.Batch)
		})
		if err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// close lets the journal go.
func (j *journal) close() {
	if j.f != nil {
		j.f.Close()
	}
	j.lock.Close()
}
