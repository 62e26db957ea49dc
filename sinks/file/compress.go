package file

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/sinks"
)

// compressor turns rotated files into gzip files, one at a time in a goroutine
// of low priority: into a temporary file, synced, renamed to PATH.n.gz, and only
// then the plain one is removed. A crash leaves the plain file, or both, or a
// temporary file: the next start begins again with it.
type compressor struct {
	path  string
	base  string // of path
	keep  int    // rotated files there are at most
	guard guard
	fs    fileSystem
	log   *zap.Logger

	// names is held while rotated files are renamed or removed.
	names sync.Mutex

	cancel  context.CancelFunc // nil: not started
	pending chan struct{}
	done    chan struct{}
}

func newCompressor(path string, keep int, g guard, fs fileSystem, log *zap.Logger) *compressor {
	return &compressor{path: path, base: filepath.Base(path), keep: keep, guard: g, fs: fs, log: log,
		pending: make(chan struct{}, 1), done: make(chan struct{})}
}

// start begins with what an earlier run has left to do.
func (c *compressor) start() {
	if c.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wake()
	go c.run(ctx)
}

// wake says that there is a file to compress.
func (c *compressor) wake() { sinks.Poke(c.pending) }

// close gives up what is being compressed and waits until the goroutine has ended.
func (c *compressor) close() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	<-c.done
}

func (c *compressor) run(ctx context.Context) {
	defer close(c.done)
	cleaned := false
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	// Failing that it runs as the rest does.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19)

	for {
		select {
		case <-c.pending:
		case <-ctx.Done():
			return
		}
		dir, err := c.fs.OpenDir(filepath.Dir(c.path), c.guard)
		if err != nil {
			continue // the writer says why
		}
		if !cleaned {
			c.clean(dir)
			cleaned = true
		}
		if err := sinks.Guard(func() error { c.work(ctx, dir); return nil }); err != nil {
			c.log.Error("compression panicked: the file stays uncompressed", zap.Error(err))
		}
		dir.Close()
	}
}

// work compresses what there is in dir.
func (c *compressor) work(ctx context.Context, dir folder) {
	for {
		name := c.next(dir)
		if name == "" {
			return
		}
		if err := c.compress(ctx, dir, name); err != nil {
			if ctx.Err() == nil {
				c.log.Warn("rotated file stays uncompressed until the next rotation",
					zap.String("file", filepath.Join(filepath.Dir(c.path), name)), zap.Error(err))
			}
			return
		}
	}
}

// next returns the newest rotated file that is not compressed, "" for none.
func (c *compressor) next(dir folder) string {
	c.names.Lock()
	defer c.names.Unlock()
	for i := 1; i <= c.keep; i++ {
		name := rotatedName(c.base, i)
		if st, err := dir.Lstat(name); err == nil && regular(&st) {
			return name
		}
	}
	return ""
}

func (c *compressor) tempName() string { return tempName(c.base) }

// tempName is the file into which one called base is compressed.
func tempName(base string) string { return base + ".compress.tmp" }

// clean removes the temporary file that a crash or a failure has left; that
// there is none is fine.
func (c *compressor) clean(dir folder) { _ = dir.Remove(c.tempName()) }

func (c *compressor) compress(ctx context.Context, dir folder, name string) error {
	src, err := dir.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // rotated meanwhile: next finds its new name
	}
	if err != nil {
		return fmt.Errorf("open %s: %w%s", name, err, advice(err))
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return fmt.Errorf("stat %s: %w", name, err)
	}
	temp := c.tempName()
	if err := c.writeTemp(ctx, dir, temp, src, &st); err != nil {
		c.clean(dir)
		return fmt.Errorf("compress %s to %s: %w%s", name, temp, err, advice(err))
	}
	if err := c.replace(dir, temp, &st); err != nil {
		c.clean(dir)
		return fmt.Errorf("compress %s: %w%s", name, err, advice(err))
	}
	return nil
}

// writeTemp writes src compressed to temp, with src's owner and mode.
func (c *compressor) writeTemp(ctx context.Context, dir folder, temp string, src handle, st *unix.Stat_t) error {
	if err := dir.Remove(temp); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	dst, err := dir.Open(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := gzipTo(ctx, dst, src); err != nil {
		dst.Close()
		return err
	}
	_ = dst.Chown(int(st.Uid), int(st.Gid)) // not root: it stays ours
	err = cmp.Or(dst.Chmod(st.Mode&0o7777), dst.Sync())
	return cmp.Or(err, dst.Close())
}

func gzipTo(ctx context.Context, dst, src handle) error {
	gz, err := gzip.NewWriterLevel(&fullWriter{dst}, gzip.BestSpeed)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for off := int64(0); ; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := src.ReadAt(buf, off)
		off += int64(n)
		if _, err := gz.Write(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return gz.Close()
		}
		if err != nil {
			return err
		}
	}
}

// fullWriter writes until all is written or an error says why not.
type fullWriter struct{ f handle }

func (w *fullWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := w.f.Write(p[done:])
		done += n
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// replace puts temp in the place of the file st, wherever rotations have moved
// that meanwhile. If there is a compressed file beside it already, then a crash
// came between this rename and the removal: they hold the same.
func (c *compressor) replace(dir folder, temp string, st *unix.Stat_t) error {
	c.names.Lock()
	defer c.names.Unlock()
	for i := 1; i <= c.keep; i++ {
		name := rotatedName(c.base, i)
		now, err := dir.Lstat(name)
		if err != nil || idOf(&now) != idOf(st) {
			continue
		}
		if now.Size != st.Size { // a late writer: compress it again
			return dir.Remove(temp)
		}
		if err := dir.Rename(temp, name+gzSuffix, true); err != nil {
			return err
		}
		if err := dir.Sync(); err != nil {
			return err
		}
		return dir.Remove(name)
	}
	return dir.Remove(temp) // removed as the oldest meanwhile
}
