// Package file is the sink that appends records to a file: whole records only,
// rotated by size, compressed and synced as configured.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
)

// checkEvery is how often the path is compared with the open file, and with
// sync = "interval" how often it is synced at most.
const checkEvery = time.Second

// New returns the sink that cfg, whose Settings are a *Config, describes. It touches
// nothing: the file is opened when there is a record to write.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	return sinks.NewPump(cfg.Name, newWriter(cfg, enc, log, fileSystemOf(&cfg)), log)
}

// writer is the sinks.Writer of one file. But for what syncer and compressor
// do by themselves, everything is the Pump's goroutine's.
type writer struct {
	cfg      Config
	reserved []config.Reserved // what the file must not be
	enc      format.Encoder
	log      *zap.Logger
	fs       fileSystem

	made    time.Time
	guard   guard
	madeDir bool // the directory was missing
	unowned bool // owner or group was not known at ownedAt
	ownedAt time.Time
	dir     folder    // the directory of f
	real    string    // path of dir without links; "": any will do
	f       handle    // nil: not open
	id      fileID    // identity of f
	checked time.Time // when path and f were compared last
	synced  time.Time // when f was handed to be synced last
	dirty   bool      // records were written since, or syncing has failed
	failing bool      // the last Write failed
	lagging bool      // syncing in the background failed, and has not succeeded since
	midLine bool      // the last record written continues in the next
	stale   bool      // f is to be let go when the line is whole
	torn    bool      // f ends with a line without newline
	partial int       // bytes of the next record that stand at the end of f
	end     int64     // how large f was after the last write, 0: not known
	warned  map[string]bool
	cuts    cuts
	flaw    atomic.Pointer[string] // for Status, from any goroutine

	sync *syncer
	zip  *compressor
}

var (
	_ sinks.Extra  = (*writer)(nil)
	_ sinks.Steady = (*writer)(nil)
)

func newWriter(cfg config.Sink, enc format.Encoder, log *zap.Logger, fs fileSystem) *writer {
	settings := cfg.Settings.(*Config)
	g := guardOf(settings)
	log = log.With(zap.String("sink", cfg.Name))
	return &writer{
		made:     time.Now(),
		cfg:      *settings,
		reserved: cfg.Reserved,
		enc:      enc,
		log:      log,
		fs:       fs,
		warned:   make(map[string]bool),
		sync:     &syncer{fs: fs},
		guard:    g,
		zip:      newCompressor(settings.Path, settings.MaxFiles-1, g, fs, log),
	}
}

// Write implements sinks.Writer: one write(2) for the records of b, as far as
// they fit into the file.
func (w *writer) Write(ctx context.Context, b record.Batch) (int, error) {
	if len(b.Recs) == 0 {
		return 0, nil
	}
	w.failing = true // also if this panics
	n, err := w.write(ctx, b)
	w.failing = err != nil
	return n, err
}

// Steady implements sinks.Steady: a file that is written to works again when it can be synced, too.
func (w *writer) Steady() bool { return !w.failing && !w.lagging }

func (w *writer) write(ctx context.Context, b record.Batch) (int, error) {
	cont := b.Recs[0].Flags&record.Cont != 0
	size, err := w.readySoon(ctx, cont)
	if err != nil {
		return 0, err
	}

	if w.torn && !cont {
		size++ // with the newline that ends the torn line
	}
	out := w.enc.Encode(b)
	n := w.fitting(&out, b, size)
	if n == 0 {
		if err := w.rotate(); err != nil {
			return 0, err
		}
		if size, err = w.ready(cont); err != nil {
			return 0, err
		}
		n = max(out.Span(0), w.fitting(&out, b, size)) // 0 again: another program has filled it
	}
	if err := w.endTorn(cont); err != nil {
		return 0, err
	}

	before := w.partial
	n, err = w.append(&out, n)
	w.end = w.endAfter(&out, n, size-int64(before), err)
	if n > 0 {
		w.midLine = b.Recs[n-1].Flags&record.Open != 0
		w.dirty = true
	}
	if err == nil {
		err = w.syncIfDue()
	}
	return n, err
}

// ready makes sure that the right file is open, and returns its size. Within a line (cont) the open file stays.
func (w *writer) ready(cont bool) (int64, error) {
	if w.f != nil && !cont && (w.stale || w.replaced()) {
		if err := w.letGo(); err != nil {
			return 0, err
		}
	}
	if w.f == nil {
		return w.open()
	}
	st, err := w.f.Stat()
	if err != nil {
		return 0, w.fail("stat", err)
	}
	w.noteSize(st.Size)
	if st.Nlink == 0 && !cont { // deleted: do not write where no one can read
		if err := w.letGo(); err != nil {
			return 0, err
		}
		return w.open()
	}
	return st.Size, nil
}

// fitting returns how many records of out still fit into a file of that size.
// A line that comes in pieces is ended in the file it was begun in.
func (w *writer) fitting(out *format.Encoded, b record.Batch, size int64) int {
	limit := int64(w.cfg.MaxSize)
	if limit == 0 {
		return out.Len()
	}
	n, _ := out.Records(int(max(0, min(limit-size, int64(len(out.Bytes))))))
	if n == 0 && size == 0 {
		n = 1 // larger than any file may be
	}
	for n < out.Len() && b.Recs[n].Flags&record.Cont != 0 {
		n++
	}
	if n > 0 {
		n += out.Span(n-1) - 1
	}
	return n
}

// endTorn ends a line that a process before left without its newline, so
// that the next record does not run into it.
func (w *writer) endTorn(cont bool) error {
	if !w.torn {
		return nil
	}
	if !cont {
		if _, err := (&fullWriter{w.f}).Write([]byte{'\n'}); err != nil {
			return w.fail("write", err)
		}
	}
	w.torn = false
	return nil
}

// append writes the first n records of out. If the write was cut short, it removes what is not a whole record. It
// returns how many records are in the file and, where each batch is synced, on disk.
func (w *writer) append(out *format.Encoded, n int) (int, error) {
	data := out.Bytes[:out.End(n-1)]
	wrote := 0
	if len(data) > w.partial { // a batch of records this consumer does not get is empty
		k, err := w.f.Write(data[w.partial:])
		wrote = w.partial + k
		if wrote < len(data) {
			return w.takeBack(out, wrote, err)
		}
	}

	w.partial = 0
	if w.cfg.Sync != "batch" || wrote == 0 {
		return n, nil
	}
	if err := w.f.Sync(); err != nil {
		err = w.fail("fdatasync", err)
		// The kernel may have dropped the pages: they have to be written again.
		if cutErr := w.cut(wrote); cutErr != nil {
			return n, err
		}
		return 0, err
	}
	w.dirty = false
	return n, nil
}

// endAfter returns how large the file is now, 0 where that is not known: something may have been
// taken back. begin is where out begins in it.
func (w *writer) endAfter(out *format.Encoded, n int, begin int64, err error) int64 {
	switch {
	case err == nil && n > 0:
		return begin + int64(out.End(n-1))
	case w.partial > 0:
		if end, err := w.f.Pos(); err == nil {
			return end
		}
	}
	return 0
}

// takeBack deals with a write that got only as far as wrote bytes of out.
func (w *writer) takeBack(out *format.Encoded, wrote int, err error) (int, error) {
	n, end := out.Records(wrote)
	w.partial = 0
	if wrote > end {
		if cutErr := w.cut(wrote - end); cutErr != nil {
			// An append-only file (chattr +a) for one: the next write continues here.
			w.partial = wrote - end
		}
	}
	switch {
	case err != nil:
		return n, w.fail("write", err)
	case n > 0:
		return n, nil // the next write will say what is wrong
	}
	return 0, w.fail("write", io.ErrShortWrite)
}

// cut removes the last k bytes that were written.
func (w *writer) cut(k int) error {
	end, err := w.f.Pos() // O_APPEND: where the write ended, wherever it began
	if err != nil {
		return err
	}
	st, err := w.f.Stat()
	switch {
	case err != nil:
		return err
	case st.Size < end: // truncated by another program meanwhile, and they with it
		return nil
	case st.Size > end: // another program has written after them
		w.torn = true
		return nil
	}
	return w.f.Truncate(end - int64(k))
}

// syncIfDue hands the file to be synced when it is time.
func (w *writer) syncIfDue() error {
	if w.cfg.Sync != "interval" {
		return nil
	}
	if w.f != nil && w.dirty && time.Since(w.synced) >= checkEvery && w.sync.offer(w.f) {
		w.dirty, w.synced = false, time.Now()
	}
	synced, err := w.sync.outcome()
	if err != nil {
		w.lagging, w.dirty = true, true // tried again until it works: a quiet file shows that in no other way
		return w.fail("fdatasync", err)
	}
	w.lagging = w.lagging && !synced
	return nil
}

// Tick implements sinks.Writer: it syncs, lets go of a file that was renamed or
// deleted, and notices one that was truncated.
func (w *writer) Tick(context.Context) error {
	if w.f != nil && !w.midLine && w.replaced() {
		if err := w.letGo(); err != nil {
			return err
		}
	}
	if w.f != nil {
		if st, err := w.f.Stat(); err == nil {
			w.noteSize(st.Size)
		}
	}
	w.ownLate()
	return w.syncIfDue()
}

// Reopen implements sinks.Writer. Within a line that comes in pieces the file is
// kept until the line has ended.
func (w *writer) Reopen() error {
	w.stale, w.real = true, ""
	if w.f == nil || w.midLine {
		return nil
	}
	return w.letGo()
}

// Close implements sinks.Writer. It waits for syncer and compressor.
func (w *writer) Close() error {
	err := w.letGo()
	w.zip.close()
	w.sync.close()
	if _, syncErr := w.sync.outcome(); err == nil && syncErr != nil {
		err = w.fail("fdatasync", syncErr)
	}
	return err
}

// letGo closes the file, synced where that is asked.
func (w *writer) letGo() error {
	f := w.f
	if w.dir != nil {
		w.dir.Close()
	}
	w.f, w.dir, w.stale, w.torn, w.partial, w.end = nil, nil, false, false, 0, 0
	if f == nil {
		return nil
	}
	f.Unlock() // the syncer may need it for a while
	if w.cfg.Sync == "interval" {
		w.sync.retire(f)
		return nil
	}
	if err := f.Close(); err != nil {
		return w.fail("close", err)
	}
	return nil
}

// fail makes the one line that says what failed and what to do.
func (w *writer) fail(op string, err error) error {
	return fmt.Errorf("%s %s: %w%s", op, w.cfg.Path, err, advice(err))
}

// advice says what to do about err.
func advice(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, io.ErrShortWrite):
		return ": free space on its file system, or lower max_size and max_files"
	case errors.Is(err, unix.EFBIG):
		return ": raise the file size limit (ulimit -f) or lower max_size"
	case errors.Is(err, unix.EROFS):
		return ": remount the file system read-write"
	case errors.Is(err, unix.EIO):
		return ": check the disk (dmesg)"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return ": check owner and mode of the path, its attributes (lsattr) and SELinux denials"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return ": raise the limit of open files"
	}
	return ""
}
